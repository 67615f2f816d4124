"""The doctor: checks settings, database, mail, Stripe and content.

Its output never contains a key or a password. It sends no mail and moves no money; with a test key
it opens a checkout at Stripe, of no order, and ends it.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from sqlalchemy import Engine, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from crossroads import content as content_module
from crossroads import money
from crossroads.content import Content
from crossroads.database import schema
from crossroads.logs import first_line
from crossroads.mail.addresses import address_hash
from crossroads.mail.smtp import Mailer, PermanentFailure, TemporaryFailure
from crossroads.mail_headers import parse_mailbox
from crossroads.middleware import proxies
from crossroads.ops.doctor import account, background, cohorts, site, trial, webhook
from crossroads.ops.doctor.finding import Finding
from crossroads.payments import Gateway
from crossroads.settings import Settings
from models import Lead
from models.lead import LeadState

SAMPLE_DOMAINS: Final = ("example.com", "example.org", "example.net")


def examine(
    settings: Settings, engine: Engine, gateway: Gateway, mailer: Mailer, content: Content
) -> Iterator[Finding]:
    """Yield a finding for each check, in the order in which to fix them.

    Faults of settings and content that stop the start have stopped it before.
    """
    yield from _database(engine)
    yield from _addresses(settings, engine)
    yield from _proxies(settings)
    whose = yield from account.examine(settings, gateway)
    yield from site.examine(engine, gateway, whose)
    yield from trial.examine(settings, gateway, whose, content)
    yield from webhook.examine(settings, engine, gateway, whose)
    yield from _prices(content)
    yield from _mail(settings, mailer)
    yield from background.examine(engine)
    yield from _content(settings, content)
    yield from cohorts.examine(engine, content)
    yield from _pictures(settings, content)


def _database(engine: Engine) -> Iterator[Finding]:
    try:
        fault = schema.mismatch(engine)
    except SQLAlchemyError as error:
        yield Finding("wrong", f"DATABASE_URL: the database cannot be used: {first_line(error)}")
        return
    yield Finding("wrong", str(fault)) if fault else Finding("fine", "database, at this version")


def _addresses(settings: Settings, engine: Engine) -> Iterator[Finding]:
    """Check that the suppression key is the one that stored addresses were hashed with."""
    oldest = select(Lead).where(Lead.state != LeadState.ERASED).order_by(Lead.id).limit(1)
    try:
        with Session(engine) as session:
            lead = session.scalar(oldest)
    except SQLAlchemyError:  # reported above
        return
    if lead is None:
        return
    if address_hash(lead.email_key, settings.suppression_key) == lead.address_hash:
        yield Finding("fine", "suppression key")
    else:
        yield Finding(
            "wrong",
            "SUPPRESSION_KEY: stored addresses were hashed with another key, so the do-not-mail "
            "list cannot be read: put that key back",
        )


def _proxies(settings: Settings) -> Iterator[Finding]:
    problem = proxies.stored_problem(settings.instance, settings.trusted_proxies)
    if (
        problem is None
        and settings.base_url.startswith("https://")
        and not settings.trusted_proxies
    ):
        problem = (
            "TRUSTED_PROXIES: is 0, but the https of BASE_URL comes from a proxy in front: set it "
            "to the number of proxies, or all visitors count as one"
        )
    if problem:
        yield Finding("wrong", problem)
    elif settings.trusted_proxies:
        yield Finding("fine", f"proxies in front: {settings.trusted_proxies}")


def _prices(content: Content) -> Iterator[Finding]:
    low = False
    for course in content.courses:
        amount, currency = course.price.amount, course.price.currency
        least = money.minimum(currency)
        if least is not None and amount < least:
            low = True
            shown, lowest = money.display(amount, currency), money.display(least, currency)
            yield Finding(
                "wrong", f"the price of {course.slug}, {shown}, is below Stripe's minimum, {lowest}"
            )
    if not low:
        yield Finding("fine", "prices: above Stripe's minimum")


def _mail(settings: Settings, mailer: Mailer) -> Iterator[Finding]:
    sample = parse_mailbox(settings.mail_from)[1].rpartition("@")[2] in SAMPLE_DOMAINS
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
    from crossroads.content import (
        share_images,  # imported here: it loads a renderer
    )

    missing = share_images.missing(content, settings.share_folder)
    later = f": drawn when first asked for: {', '.join(missing)}" if missing else ""
    yield Finding("fine", f"share pictures{later}")
