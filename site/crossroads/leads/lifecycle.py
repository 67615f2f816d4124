"""Leads: capture, confirm, unsubscribe, erase. The only code that changes a stored lead."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any, Literal

from sqlalchemy import ColumnElement, Select, select, update
from sqlalchemy.orm import make_transient_to_detached
from sqlalchemy.sql.dml import ReturningInsert

from crossroads.leads import consent, search_index
from crossroads.leads.consent import Evidence
from crossroads.leads.imports import batches
from crossroads.mail import outbox, suppressions
from crossroads.mail.addresses import Address
from crossroads.mail.kinds import MailKind
from models import ConsentEvent, Lead, Message, Waiting, now, personal_data
from models.base import AnySession, insert_on, table_of
from models.consent import ConsentKind
from models.lead import LeadState, new_token
from models.suppression import SuppressionReason

CONFIRM_DAYS = 7
A_MINUTE = timedelta(minutes=1)

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


@dataclass(frozen=True, kw_only=True)
class Submission:
    """What a form brought: who signs up, where they came from, what they agreed to and the proof.

    A `suspect` one, which a bot may have sent, is stored and gets no mail: autofill trips traps
    too, so it must not be lost.
    """

    address: Address
    name: str
    touch: Touch
    wording: str
    evidence: Evidence
    suspect: bool = False


def capture(session: AnySession, signups: Sequence[Submission]) -> None:
    """Record sign-ups: a lead for each new address, the consent event and the mail to send.

    A known address keeps its name, its first touch and its state: only the owner of the
    mailbox can change that, with the link that is mailed.
    """
    numbers = _add(session, signups)
    new: list[tuple[int, Submission]] = []
    known = []
    for signup in signups:
        number = numbers.pop(signup.address.key, None)  # of equal ones, the first was added
        if number is None:
            known.append(signup)
        else:
            new.append((number, signup))
            suppressions.inherit(session, signup.address)
    _begin(session, new)
    for signup in known:
        lead = record(session, signup, _kind(signup))
        if not signup.suspect:
            send_confirmation(session, lead)


def record(session: AnySession, signup: Submission, kind: ConsentKind) -> Lead:
    """Append an event of this kind to the ledger of the lead that signed up; return it locked."""
    state = consent.first_state(kind)
    lead = find_or_add(
        session, address=signup.address, name=signup.name, touch=signup.touch, state=state
    )
    consent.record(session, lead, kind, signup.evidence, signup.wording)
    return lead


def _add(session: AnySession, signups: Sequence[Submission]) -> dict[str, int]:
    """Add leads for addresses that are not stored yet; return their ids by address key."""
    rows = [
        _values(one.address, one.name, one.touch, consent.first_state(_kind(one)))
        for one in signups
    ]
    added = session.execute(_insert(session.get_bind().dialect.name), rows)
    return {key: number for number, key in added}


def _begin(session: AnySession, added: Sequence[tuple[int, Submission]]) -> None:
    """Open the ledgers of leads that were just added, and queue their first mail."""
    if not added:
        return
    events = [
        consent.event(number, one.address.hash, _kind(one), one.evidence, one.wording)
        for number, one in added
    ]
    consent.append(session, events)
    asked = [(number, one.address) for number, one in added if not one.suspect]
    if asked:
        outbox.enqueue_first(session, MailKind.CONFIRM, asked)


def _kind(signup: Submission) -> ConsentKind:
    return ConsentKind.HELD if signup.suspect else ConsentKind.GIVEN


def send_confirmation(session: AnySession, lead: Lead) -> None:
    """Mail a confirmation link, or "already subscribed", within the hourly limit."""
    if lead.state == LeadState.CONFIRMED and not suppressions.find(session, lead.address_hash):
        outbox.enqueue_rate_limited(session, MailKind.ALREADY, lead, most=outbox.REMINDERS_AN_HOUR)
    elif outbox.enqueue_rate_limited(session, MailKind.CONFIRM, lead):
        until = now() + timedelta(days=CONFIRM_DAYS)
        if until - lead.confirm_until > A_MINUTE:  # that of a new lead is right already
            lead.confirm_until = until


def find_or_add(
    session: AnySession, *, address: Address, name: str, touch: Touch, state: LeadState
) -> Lead:
    """Return the lead of an address, locked, added in this state when it is new.

    The touch is its last one, unless it has confirmed: then anyone may have typed the address.
    """
    values = _values(address, name, touch, state)
    while True:
        added = session.execute(_insert(session.get_bind().dialect.name), values).first()
        if added is not None:
            suppressions.inherit(session, address)
            return _added(session, added.id, values)
        lead = session.scalar(_query(Lead.email_key == address.key, lock=True))
        if lead is not None:  # or it was erased in between
            break
    if lead.email.rpartition("@")[0] != address.typed.rpartition("@")[0]:
        # Stored before there was one spelling to mail.
        search_index.remove(session, [lead.id])
        lead.email, lead.words = address.typed, None
    if lead.state != LeadState.CONFIRMED:
        lead.last_signup_at = values["last_signup_at"]
        for field, value in _last(touch).items():
            setattr(lead, field, value)
    return lead


def _values(address: Address, name: str, touch: Touch, state: LeadState) -> dict[str, Any]:
    at = now()
    return {
        "email": address.typed,
        "email_key": address.key,
        "address_hash": address.hash,
        "name": name,
        "state": state,
        "confirm_token": new_token(),
        "confirm_until": at + timedelta(days=CONFIRM_DAYS),
        "unsubscribe_token": new_token(),
        "created_at": at,
        "last_signup_at": at,
        **vars(touch),
        **_last(touch),
        "confirmed_at": None,
        "unsubscribed_at": None,
    }


def _last(touch: Touch) -> dict[str, Any]:
    return {f"last_{field}": value for field, value in vars(touch).items()}


@cache
def _insert(dialect: str) -> ReturningInsert[int, str]:
    """Return the statement that adds leads and returns number and key of those not known yet.

    The unique index decides who is first: two equal sign-ups at once make one lead. Made once:
    that takes longer than to run it.
    """
    table = table_of(Lead)
    insert = insert_on(dialect, table).on_conflict_do_nothing(index_elements=["email_key"])
    return insert.returning(table.c.id, table.c.email_key)


def _added(session: AnySession, number: int, values: dict[str, Any]) -> Lead:
    """Return the lead that was just added, as if the session had loaded it."""
    lead = Lead(**values)
    lead.id = number
    make_transient_to_detached(lead)
    session.add(lead)
    return lead


def by_confirm_token(session: AnySession, token: str, *, lock: bool = False) -> Lead | None:
    """Return the lead whose confirmation link has the token, locked for the caller."""
    return session.scalar(_query(Lead.confirm_token == token, lock=lock))


def by_unsubscribe_token(session: AnySession, token: str, *, lock: bool = False) -> Lead | None:
    """Return the lead whose unsubscribe link has the token, locked for the caller."""
    return session.scalar(_query(Lead.unsubscribe_token == token, lock=lock))


def of_address(session: AnySession, address: Address, *, lock: bool = False) -> Lead | None:
    """Return the lead of an address, locked for the caller."""
    return session.scalar(_query(Lead.email_key == address.key, lock=lock))


def link_expired(lead: Lead, at: datetime) -> bool:
    """Return whether the confirmation link has expired. A used link never expires."""
    return lead.state != LeadState.CONFIRMED and lead.confirm_until < at


def confirm(session: AnySession, token: str, evidence: Evidence) -> Outcome:
    """Confirm the lead of a mailed link. Confirming twice changes nothing more."""
    lead = by_confirm_token(session, token, lock=True)
    if lead is None:
        return "unknown"
    at = now()
    if link_expired(lead, at):
        return "expired"
    if lead.state != LeadState.CONFIRMED or suppressions.find(session, lead.address_hash):
        lead.confirmed_at = lead.confirmed_at or at
        lead.unsubscribed_at = None
        consent.record(session, lead, ConsentKind.CONFIRMED, evidence)
        suppressions.lift(session, lead.address_hash)
        outbox.enqueue_rate_limited(session, MailKind.WELCOME, lead)
    return "done"


def renew_link(session: AnySession, token: str) -> Outcome:
    """Mail a new confirmation link to the owner of an expired one."""
    lead = by_confirm_token(session, token, lock=True)
    if lead is None:
        return "unknown"
    if lead.state == LeadState.CONFIRMED:
        return "done"
    send_confirmation(session, lead)
    return "expired"


def unsubscribe(session: AnySession, token: str, evidence: Evidence) -> Outcome:
    """Unsubscribe the lead of a mailed link from every list. Repeating it changes nothing."""
    lead = by_unsubscribe_token(session, token, lock=True)
    if lead is None:
        return "unknown"
    if lead.state != LeadState.UNSUBSCRIBED:
        lead.unsubscribed_at = now()
        for waiting in _waiting(session, lead):
            waiting.left_at = waiting.left_at or lead.unsubscribed_at
        _void_links(session, lead)
        consent.record(session, lead, ConsentKind.UNSUBSCRIBED, evidence)
    return "done"


def undo_unsubscribe(session: AnySession, token: str, evidence: Evidence) -> Outcome:
    """Restore the state that the lead of a mailed link had before it unsubscribed."""
    lead = by_unsubscribe_token(session, token, lock=True)
    if lead is None:
        return "unknown"
    if lead.state == LeadState.UNSUBSCRIBED:
        for waiting in _waiting(session, lead):
            if waiting.left_at == lead.unsubscribed_at:
                waiting.left_at = None
        lead.unsubscribed_at = None
        consent.record(session, lead, ConsentKind.RESUBSCRIBED, evidence)
    return "done"


def bounced(session: AnySession, message: Message) -> None:
    """Stop all list mail to an address that does not exist, by the mail server's answer.

    A new sign-up that is confirmed is mailed again; mail about orders is still sent.
    """
    if not message.address_hash:  # a mail to the staff
        return
    suppressions.add(session, message.address_hash, SuppressionReason.BOUNCED)
    lead = session.scalar(
        _query(
            (Lead.address_hash == message.address_hash) & (Lead.state != LeadState.ERASED),
            lock=True,
        )
    )
    if lead is not None:
        _void_links(session, lead)
        consent.record(session, lead, ConsentKind.BOUNCED, Evidence(form="mail"))


def release(session: AnySession, lead_id: int, evidence: Evidence) -> Lead | None:
    """Approve a held lead as a person: it gets the mail that asks it to confirm.

    Returns the lead, or None when none is held under that number.
    """
    lead = session.scalar(_query((Lead.id == lead_id) & (Lead.state == LeadState.HELD), lock=True))
    if lead is None:
        return None
    if any(event.kind == ConsentKind.HELD for event in consent.events_of(session, lead.id)):
        consent.record(session, lead, ConsentKind.RELEASED, evidence)
        send_confirmation(session, lead)
    else:
        consent.record(session, lead, ConsentKind.ASKED_TO_WAIT, evidence)
    return lead


def erase(session: AnySession, lead: Lead, evidence: Evidence) -> None:
    """Remove the personal data from a lead and its ledger; the row and the events stay."""
    search_index.remove(session, [lead.id])
    batches.erase(session, lead)
    personal_data.erase(lead)
    for waiting in _waiting(session, lead):
        session.delete(waiting)
    consent.record(session, lead, ConsentKind.ERASED, evidence)
    theirs = update(ConsentEvent).where(ConsentEvent.lead_id == lead.id)
    session.execute(theirs.values(personal_data.blank(ConsentEvent)))


def _void_links(session: AnySession, lead: Lead) -> None:
    """Invalidate confirmation links: an old one must not resubscribe a person who left.

    A new sign-up mails a new one.
    """
    lead.confirm_token = new_token()
    for waiting in _waiting(session, lead):
        waiting.token = new_token()


def _waiting(session: AnySession, lead: Lead) -> Sequence[Waiting]:
    return session.scalars(select(Waiting).where(Waiting.lead_id == lead.id)).all()


def _query(which: ColumnElement[bool], *, lock: bool) -> Select[Lead]:
    """Return the query for one lead.

    What is decided from a locked row cannot be decided by two at once: one click, one mail.
    """
    query = select(Lead).where(which)
    return query.with_for_update() if lock else query  # SQLite has one writer at a time anyway
