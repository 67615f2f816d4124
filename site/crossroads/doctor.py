"""The doctor: looks at settings, database, mail, Stripe and content, and names what is wrong.

What it says never holds a key or a password. It sends no mail and moves no money.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parseaddr
from typing import Final, Literal
from urllib.parse import urlsplit

from sqlalchemy import Engine, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from crossroads import content as content_module
from crossroads import schema
from crossroads.addresses import address_hash
from crossroads.content import Content
from crossroads.logs import first_line
from crossroads.mailer import Mailer, PermanentFailure, TemporaryFailure
from crossroads.payments import Gateway, PaymentsDenied, PaymentsError
from crossroads.settings import Settings
from models import Lead
from models.lead import ERASED

# https://docs.stripe.com/keys#obtain-api-keys
SECRET_KEY: Final = re.compile(r"(sk|rk)_(test|live)_[A-Za-z0-9_]+")
SIGNING_SECRET: Final = re.compile(r"whsec_[A-Za-z0-9+/=_-]+")
STRIPE: Final = "https://api.stripe.com"
SAMPLE_DOMAINS: Final = ("example.com", "example.org", "example.net")


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. A note is worth knowing, and right in development."""

    weight: Literal["fine", "note", "wrong"]
    text: str


def examine(
    settings: Settings, engine: Engine, gateway: Gateway, mailer: Mailer, content: Content
) -> Iterator[Finding]:
    """Yield a finding for each thing looked at, in the order in which to mend them.

    Faults of settings and content that stop the start have stopped it before.
    """
    yield from _database(engine)
    yield from _addresses(settings, engine)
    yield from _stripe(settings, gateway)
    yield from _webhook(settings)
    yield from _mail(settings, mailer)
    yield from _content(settings, content)
    yield from _pictures(settings, content)


def _database(engine: Engine) -> Iterator[Finding]:
    try:
        fault = schema.fault(engine)
    except SQLAlchemyError as error:
        yield Finding("wrong", f"DATABASE_URL: the database cannot be used: {first_line(error)}")
        return
    yield Finding("wrong", str(fault)) if fault else Finding("fine", "database, at this version")


def _addresses(settings: Settings, engine: Engine) -> Iterator[Finding]:
    """Tell whether the key at hand is the one by which people who said no are known."""
    oldest = select(Lead).where(Lead.state != ERASED).order_by(Lead.id).limit(1)
    try:
        with Session(engine) as session:
            lead = session.scalar(oldest)
    except SQLAlchemyError:  # said above
        return
    if lead is None:
        return
    if address_hash(lead.email_key, settings.suppression_key) == lead.address_hash:
        yield Finding("fine", "suppression key")
    else:
        yield Finding(
            "wrong",
            "SUPPRESSION_KEY: is not the one that stored addresses were hashed with, so nobody who "
            "was erased or bounced is known: put that one back",
        )


def _stripe(settings: Settings, gateway: Gateway) -> Iterator[Finding]:
    yield from (Finding("wrong", fault) for fault in _stripe_faults(settings))
    # A key that is none is not asked about, and one that moves money is shown to Stripe alone.
    base = _base(settings)
    if not SECRET_KEY.fullmatch(settings.stripe_secret_key):
        return
    if base != STRIPE and (settings.production or gateway.live):
        return
    try:
        gateway.check()
    except PaymentsDenied:
        yield Finding(
            "wrong",
            "STRIPE_SECRET_KEY: Stripe refuses it: copy it again from the dashboard; a restricted "
            "key must be allowed to write Checkout Sessions and to read PaymentIntents",
        )
    except PaymentsError as error:
        hint = "" if base == STRIPE else "; flask sandbox stands in for Stripe"
        yield Finding("wrong", f"Stripe does not answer at {base}: {error}{hint}")
    else:
        who = "Stripe" if base == STRIPE else f"what stands in for Stripe at {base}"
        yield Finding("fine", f"{who} takes the key, in {'live' if gateway.live else 'test'} mode")


def _stripe_faults(settings: Settings) -> Iterator[str]:
    key = settings.stripe_secret_key
    if not key:
        yield "STRIPE_SECRET_KEY: set it to the secret key of your Stripe account"
    elif key.startswith("pk_"):
        yield "STRIPE_SECRET_KEY: is the publishable key, pk_…: set it to the secret one"
    elif not SECRET_KEY.fullmatch(key):
        yield "STRIPE_SECRET_KEY: is no secret key of Stripe's: those begin with sk_ or rk_"
    elif "_live_" in key and not settings.production:
        yield "STRIPE_SECRET_KEY: moves real money, and this is development: use a test key"
    elif "_test_" in key and settings.production:
        yield "STRIPE_SECRET_KEY: is a test key, and this is production: nobody would pay"
    if settings.production and _base(settings) != STRIPE:
        yield f"STRIPE_API_BASE: points to {_base(settings)}, and this is production: leave it out"


def _webhook(settings: Settings) -> Iterator[Finding]:
    secrets = settings.webhook_secrets
    if not secrets:
        yield Finding(
            "wrong",
            "STRIPE_WEBHOOK_SECRET: set it to the whsec_… of the endpoint "
            f"{settings.base_url}/webhooks/stripe",
        )
    elif not all(SIGNING_SECRET.fullmatch(secret) for secret in secrets):
        yield Finding(
            "wrong",
            "STRIPE_WEBHOOK_SECRET: is no signing secret: copy the whsec_… that the endpoint "
            "shows in Stripe's dashboard",
        )
    else:
        yield Finding("fine", "webhook secret")


def _mail(settings: Settings, mailer: Mailer) -> Iterator[Finding]:
    sample = parseaddr(settings.mail_from)[1].rpartition("@")[2] in SAMPLE_DOMAINS
    if sample and settings.smtp_url:
        yield Finding(
            "wrong", "MAIL_FROM: is a sample: set it to your own, like The Team <hello@your.domain>"
        )
    try:
        mailer.check()
    except (TemporaryFailure, PermanentFailure) as error:
        name = "SMTP_URL" if settings.smtp_url else "INSTANCE"
        yield Finding("wrong", f"{name}: {error}")
    else:
        place = "mail server" if settings.smtp_url else f"mail, captured in {settings.mail_folder}"
        yield Finding("fine", place)


def _content(settings: Settings, content: Content) -> Iterator[Finding]:
    for problem in content_module.expired(content, datetime.now(UTC).date()):
        yield Finding("wrong", str(problem))
    for sample in content.samples:
        yield Finding("wrong" if settings.production else "note", sample)
    counted = f"{len(content.comparisons)} comparisons, {len(content.courses)} courses"
    yield Finding("fine", f"content: {counted}")


def _pictures(settings: Settings, content: Content) -> Iterator[Finding]:
    from crossroads import pictures  # loads a renderer that nothing else here needs

    missing = pictures.missing(content, settings.share_folder)
    for name in missing:
        yield Finding("wrong", f"share picture {name} is missing: run flask setup")
    if not missing:
        yield Finding("fine", "share pictures")


def _base(settings: Settings) -> str:
    """Return where Stripe is asked, without a password that may stand in the address."""
    if not settings.stripe_api_base:
        return STRIPE
    parts = urlsplit(settings.stripe_api_base)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
