"""Leads: capture, confirm, unsubscribe. The only code that changes a lead."""

import unicodedata
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from email_validator import EmailSyntaxError, validate_email
from sqlalchemy import ColumnElement, Select, select

from crossroads import consent, outbox
from crossroads.consent import Evidence
from models import Lead, Waiting, insert_for, now
from models.base import AnySession
from models.lead import CONFIRMED, HELD, PENDING, UNSUBSCRIBED, WAITING, new_token

CONFIRM_DAYS = 7
KEY_LENGTH = 320  # what the column holds
# What anyone can trigger by typing an address stays bearable for its owner.
MAILS_AN_HOUR = 3
REMINDERS_AN_HOUR = 1

Outcome = Literal["done", "expired", "unknown"]


@dataclass(frozen=True, kw_only=True)
class Touch:
    """Where a person came from. What is not known is None."""

    page: str | None = None
    utm_source: str | None = None
    utm_medium: str | None = None
    utm_campaign: str | None = None
    utm_term: str | None = None
    utm_content: str | None = None


def email_key(email: str) -> str:
    """Return what two spellings of one person's address have in common.

    Case and Unicode form do not tell people apart, and a domain is one in both its spellings:
    RFC 5321 lets a mailbox name be case-sensitive, but no provider of note does so.
    Raises email_validator.EmailNotValidError, also for an address whose key grows too long to
    keep: there are letters that stand for eighteen others.
    """
    address = validate_email(email, check_deliverability=False)
    local = unicodedata.normalize("NFKC", address.local_part).casefold()
    key = f"{local}@{address.ascii_domain or address.domain}"
    if len(key) > KEY_LENGTH:
        raise EmailSyntaxError("The address is too long.")
    return key


def capture(
    session: AnySession,
    *,
    email: str,
    name: str,
    touch: Touch,
    wording: str,
    evidence: Evidence,
    suspect: bool = False,
) -> None:
    """Record a sign-up: lead if new, consent event, and the mail that is owed.

    A known address keeps its name, its first touch and its state: only the owner of the
    mailbox can change that, with the link that is mailed. A `suspect` one, which a robot may
    have sent, is kept and owed nothing: autofill trips traps too, so it must not be lost.
    Raises EmailNotValidError.
    """
    at = now()
    state = HELD if suspect else PENDING
    lead = find_or_add(session, email=email, name=name, touch=touch, state=state, at=at)
    consent.record(session, lead, consent.GIVEN, evidence, wording)
    if suspect:
        return
    if lead.state in (HELD, WAITING):
        lead.state = PENDING
    mailed = outbox.recent(session, lead.id, since=at - timedelta(hours=1))
    if lead.state == CONFIRMED:
        if mailed < REMINDERS_AN_HOUR:
            outbox.enqueue(session, "already", lead)
    elif mailed < MAILS_AN_HOUR:
        lead.confirm_until = at + timedelta(days=CONFIRM_DAYS)
        outbox.enqueue(session, "confirm", lead)


def find_or_add(
    session: AnySession, *, email: str, name: str, touch: Touch, state: str, at: datetime
) -> Lead:
    """Return the lead of an address, locked, added in this state when it is new.

    Raises EmailNotValidError.
    """
    key = email_key(email)
    values: dict[str, Any] = {
        "email": email,
        "email_key": key,
        "name": name,
        "state": state,
        "confirm_token": new_token(),
        "confirm_until": at + timedelta(days=CONFIRM_DAYS),
        "unsubscribe_token": new_token(),
        "created_at": at,
        **asdict(touch),
    }
    # The unique index decides who is first: two equal sign-ups at once make one lead.
    session.execute(
        insert_for(session, Lead)
        .values(values)
        .on_conflict_do_nothing(index_elements=[Lead.email_key])
    )
    return session.execute(_query(Lead.email_key == key, lock=True)).scalar_one()


def by_confirm_token(session: AnySession, token: str, *, lock: bool = False) -> Lead | None:
    """Return the lead whose confirmation link carries the token, locked for who will act on it."""
    return session.scalar(_query(Lead.confirm_token == token, lock=lock))


def by_unsubscribe_token(session: AnySession, token: str, *, lock: bool = False) -> Lead | None:
    """Return the lead whose unsubscribe link carries the token, locked for who will act on it."""
    return session.scalar(_query(Lead.unsubscribe_token == token, lock=lock))


def link_expired(lead: Lead, at: datetime) -> bool:
    """Tell whether the confirmation link is too old to act on. A used one never is."""
    return lead.state != CONFIRMED and lead.confirm_until < at


def confirm(session: AnySession, token: str, evidence: Evidence) -> Outcome:
    """Confirm the lead of a mailed link; a second time is as good as the first."""
    lead = by_confirm_token(session, token, lock=True)
    if lead is None:
        return "unknown"
    at = now()
    if link_expired(lead, at):
        return "expired"
    if lead.state != CONFIRMED:
        _subscribe(session, lead, consent.CONFIRMED, evidence, at)
        outbox.enqueue(session, "welcome", lead)
    return "done"


def renew_link(session: AnySession, token: str) -> Outcome:
    """Mail a new confirmation link to the owner of an expired one."""
    lead = by_confirm_token(session, token, lock=True)
    if lead is None:
        return "unknown"
    at = now()
    if lead.state == CONFIRMED:
        return "done"
    if outbox.recent(session, lead.id, since=at - timedelta(hours=1)) < MAILS_AN_HOUR:
        lead.confirm_until = at + timedelta(days=CONFIRM_DAYS)
        outbox.enqueue(session, "confirm", lead)
    return "expired"


def unsubscribe(session: AnySession, token: str, evidence: Evidence) -> Outcome:
    """Take the lead of a mailed link off every list; a second time changes nothing more."""
    lead = by_unsubscribe_token(session, token, lock=True)
    if lead is None:
        return "unknown"
    if lead.state != UNSUBSCRIBED:
        lead.state = UNSUBSCRIBED
        lead.unsubscribed_at = now()
        for waiting in _waiting(session, lead):
            waiting.token = new_token()
            waiting.left_at = waiting.left_at or lead.unsubscribed_at
        # An old confirmation link must not bring back someone who left: signing up anew
        # mails a new one.
        lead.confirm_token = new_token()
        consent.record(session, lead, consent.UNSUBSCRIBED, evidence)
    return "done"


def undo_unsubscribe(session: AnySession, token: str, evidence: Evidence) -> Outcome:
    """Put the lead of a mailed link back to what it was before it unsubscribed."""
    lead = by_unsubscribe_token(session, token, lock=True)
    if lead is None:
        return "unknown"
    if lead.state == UNSUBSCRIBED:
        back = [one for one in _waiting(session, lead) if one.left_at == lead.unsubscribed_at]
        for waiting in back:
            waiting.left_at = None
        if lead.confirmed_at is None:
            lead.state = WAITING if back else PENDING
            lead.unsubscribed_at = None
            consent.record(session, lead, consent.RESUBSCRIBED, evidence)
        else:
            _subscribe(session, lead, consent.RESUBSCRIBED, evidence, now())
    return "done"


def _subscribe(
    session: AnySession, lead: Lead, kind: str, evidence: Evidence, at: datetime
) -> None:
    lead.state = CONFIRMED
    lead.confirmed_at = lead.confirmed_at or at
    lead.unsubscribed_at = None
    consent.record(session, lead, kind, evidence)


def _waiting(session: AnySession, lead: Lead) -> Sequence[Waiting]:
    return session.scalars(select(Waiting).where(Waiting.lead_id == lead.id)).all()


def _query(which: ColumnElement[bool], *, lock: bool) -> Select[Lead]:
    """Return the query for one lead.

    What is decided from a locked row cannot be decided by two at once: one click, one mail.
    """
    query = select(Lead).where(which)
    return query.with_for_update() if lock else query  # SQLite has one writer at a time anyway
