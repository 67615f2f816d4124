"""Rules for the settings of a production site."""

import re
from typing import TYPE_CHECKING, Final

from crossroads import service_urls

if TYPE_CHECKING:
    from crossroads.settings import Settings

SECRET_LENGTH: Final = 32


def unsafe(settings: "Settings") -> list[str]:
    """Return one sentence for each setting that stops the start in production."""
    problems = [
        f"{name.upper()}: set it to {SECRET_LENGTH} random characters or more, for example from "
        "python3 -c 'import secrets; print(secrets.token_urlsafe(32))'"
        for name in ("secret_key", "suppression_key")
        if len(getattr(settings, name)) < SECRET_LENGTH
    ]
    if settings.secret_key and settings.secret_key == settings.suppression_key:
        problems.append("SUPPRESSION_KEY: must differ from SECRET_KEY")
    if not settings.database_url:
        problems.append("DATABASE_URL: set it to postgresql://… or sqlite:////path/to/file")
    if not settings.base_url.startswith("https://"):
        problems.append("BASE_URL: set it to the site's https:// address")
    if "trusted_proxies" not in settings.model_fields_set:
        problems.append(
            "TRUSTED_PROXIES: set it to the number of proxies in front of the site, 1 as a rule: "
            "0 if they send no X-Forwarded-For, then all visitors count as one"
        )
    if not settings.stripe_secret_key:
        problems.append("STRIPE_SECRET_KEY: set it to the secret key of your Stripe account")
    elif settings.stripe_live and settings.stripe_test:
        problems.append("STRIPE_TEST: is 1, and STRIPE_SECRET_KEY is a live key: leave one out")
    elif "_test_" in settings.stripe_secret_key and not settings.stripe_test:
        problems.append(
            "STRIPE_SECRET_KEY: is a test key, and this is production: set it to a live key, "
            "or set STRIPE_TEST=1 to try the site without real money"
        )
    if not settings.stripe_webhook_secret:
        problems.append("STRIPE_WEBHOOK_SECRET: set it to the whsec_… of your webhook endpoint")
    base = settings.stripe_api_base
    if base and not base.startswith("https://") and not service_urls.is_loopback(base):
        problems.append("STRIPE_API_BASE: the secret key goes there: leave it unset, or use https")
    if not settings.smtp_url:
        problems.append("SMTP_URL: set it to your mail server, like smtp://user:password@host:587")
    if re.search(r"@example\.(com|org|net)>?$", settings.mail_from):
        problems.append("MAIL_FROM: set it to your own address, like The Team <hello@your.domain>")
    return problems
