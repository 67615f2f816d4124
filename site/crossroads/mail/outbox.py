"""The outbox: queue a mail in the caller's transaction, give it to one worker, store the result.

A message is claimed under a lease. If a worker dies, its message is released when another worker on
its machine finds that out, or when the lease expires. Another worker then sends it, perhaps for the
second time: mail is delivered at least once and never lost.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    bindparam,
    func,
    insert,
    or_,
    select,
    update,
)

from crossroads.database import leases
from crossroads.mail.addresses import Address
from crossroads.mail.kinds import LIMITED, About, MailKind
from models import personal_data
from models.announcement import Announcement, AnnouncementState
from models.base import AnySession, now, table_of
from models.enrollment import Enrollment
from models.lead import Lead
from models.message import Message, MessageState, new_reference
from models.order import Order
from models.user import User
from models.waiting_list import Waiting

HOUR = timedelta(hours=1)
MAILS_AN_HOUR = 3
REMINDERS_AN_HOUR = 1

TRIES = 12
FIRST_WAIT = timedelta(seconds=30)
LONGEST_WAIT = timedelta(hours=6)
# A failing mail is given up this long after its first failed try (RFC 5321 section 4.5.4.1:
# at least four to five days).
LONGEST = timedelta(days=5)
ERROR_LENGTH = 500
ERASED = "the receiver was erased"


_MESSAGE: Final = table_of(Message)
_LIMITED_SINCE: Final = select(func.count()).where(
    _MESSAGE.c.address_hash == bindparam("address"),
    _MESSAGE.c.created_at >= bindparam("since"),
    or_(*(_MESSAGE.c.kind == kind for kind in LIMITED)),  # IN is compiled for each call
)
_QUEUED: Final = (
    *("kind", "lead_id", "waiting_id", "recipient", "address_hash", "reference", "state"),
    *("attempts", "due_at", "error", "created_at"),
)
# Every sign-up runs this, so it is one statement, built once.
_QUEUE_LIMITED: Final = insert(_MESSAGE).from_select(
    _QUEUED,
    select(*(bindparam(name, type_=_MESSAGE.c[name].type) for name in _QUEUED)).where(
        _LIMITED_SINCE.scalar_subquery() < bindparam("most")
    ),
    include_defaults=False,
)
_QUEUE_LIMITED_RETURNING: Final = _QUEUE_LIMITED.returning(_MESSAGE.c.id)


def enqueue_rate_limited(
    session: AnySession,
    kind: MailKind,
    lead: Lead,
    *,
    most: int = MAILS_AN_HOUR,
    waiting: Waiting | None = None,
) -> bool:
    """Queue a mail to the lead unless its address had `most` limited mails in the last hour.

    Counted by address: the form, the spelling, and an erased lead that signs up again make no
    difference. The caller holds the lead's lock, so that simultaneous requests are counted one
    after the other. Returns whether the mail was queued.
    """
    session.flush()  # mail that was queued a moment ago counts, too
    values = _within(_to(lead, kind, waiting), most)
    return session.scalar(_QUEUE_LIMITED_RETURNING, values) is not None


def enqueue_first(
    session: AnySession, kind: MailKind, leads: Sequence[tuple[int, Address]]
) -> None:
    """Queue a mail of this kind to each newly added lead, given by id and address.

    The usual limit applies: the address of an erased lead may have been mailed in the last hour.
    """
    at = now()
    values = [_values(kind, number, address.typed, address.hash, at) for number, address in leads]
    session.execute(_QUEUE_LIMITED, [_within(one, MAILS_AN_HOUR) for one in values])


def _require(kind: MailKind, *about: About) -> None:
    """Raise ValueError unless the kind of mail is about one of these."""
    if kind.about not in about:
        raise ValueError(f"a mail of kind {kind} is about {kind.about}, not {' or '.join(about)}")


def _within(values: dict[str, Any], most: int) -> dict[str, Any]:
    lately = {"address": values["address_hash"], "since": values["created_at"] - HOUR, "most": most}
    return {**values, **lately}


def _to(lead: Lead, kind: MailKind, waiting: Waiting | None) -> dict[str, Any]:
    waiting_id = waiting.id if waiting else None
    return _values(kind, lead.id, lead.email, lead.address_hash, now(), waiting_id)


def _values(
    kind: MailKind,
    lead_id: int,
    recipient: str,
    address_hash: str,
    due_at: datetime,
    waiting_id: int | None = None,
) -> dict[str, Any]:
    _require(kind, About.LEAD, About.WAITING)
    return {
        "kind": kind,
        "lead_id": lead_id,
        "waiting_id": waiting_id,
        "recipient": recipient,
        "address_hash": address_hash,
        "reference": new_reference(),
        "state": MessageState.DUE,
        "attempts": 0,
        "due_at": due_at,
        "error": "",
        "created_at": now(),
    }


def enqueue_for_order(
    session: AnySession, kind: MailKind, order: Order, event_id: int | None = None
) -> None:
    """Queue a mail of this kind to the buyer of an order.

    Neither the rate limit nor a suppression applies to it.
    `event_id` is the id of the order event that the mail is about, where there can be several.
    """
    _require(kind, About.ORDER, About.UNPAID_ORDER)
    session.add(
        Message(
            kind=kind,
            order_id=order.id,
            order_event_id=event_id,
            recipient=order.email,
            address_hash=order.address_hash,
        )
    )


def enqueue_for_participant(session: AnySession, kind: MailKind, enrollment: Enrollment) -> None:
    """Queue a mail of this kind to a participant; none when the seat has no address."""
    _require(kind, About.SEAT)
    if enrollment.email is None:
        return
    session.flush()  # a newly added row has no id before that
    session.add(
        Message(
            kind=kind,
            order_id=enrollment.order_id,
            enrollment_id=enrollment.id,
            recipient=enrollment.email,
            address_hash=enrollment.address_hash,
        )
    )


def announce(
    session: AnySession, announcement_id: int, lead: Lead, waiting: Waiting | None, due_at: datetime
) -> None:
    """Queue an announcement to a lead; with `waiting`, as mail to that waiting list."""
    session.add(
        Message(
            kind=MailKind.SEATS if waiting else MailKind.ANNOUNCEMENT,
            announcement_id=announcement_id,
            lead_id=lead.id,
            waiting_id=waiting.id if waiting else None,
            recipient=lead.email,
            address_hash=lead.address_hash,
            due_at=due_at,
        )
    )


def announcement_kind(announcement: Announcement) -> MailKind:
    """Return the kind of an announcement's mails: for a waiting list or for confirmed leads."""
    return MailKind.SEATS if announcement.waiting else MailKind.ANNOUNCEMENT


def announce_to_staff(session: AnySession, announcement: Announcement, user: User) -> None:
    """Queue a test mail of an announcement to a staff account."""
    session.add(
        Message(
            kind=announcement_kind(announcement),
            announcement_id=announcement.id,
            user_id=user.id,
            recipient=user.email,
            address_hash="",  # no lead's
        )
    )


def erase(session: AnySession, address_hash: str) -> None:
    """Remove a person from all mail, sent or queued; queued mail is held."""
    theirs = Message.address_hash == address_hash
    session.execute(update(Message).where(theirs).values(personal_data.blank(Message)))
    queued = update(Message).where(theirs, Message.state == MessageState.DUE)
    session.execute(
        queued.values(state=MessageState.HELD, owner=None, lease_until=None, error=ERASED)
    )


def claim(session: AnySession, owner: str, at: datetime) -> Message | None:
    """Lease the message that has been due longest; None when there is none.

    Skips mail of a paused announcement, except its test mails.
    """
    return leases.claim(session, Message, sendable(), owner, at)


def sendable() -> ColumnElement[bool]:
    """Return the SQL condition that a mail is to be sent, and no paused announcement stops it."""
    paused = select(Announcement.id).where(Announcement.state == AnnouncementState.PAUSED)
    return (Message.state == MessageState.DUE) & or_(
        Message.announcement_id.is_(None),
        Message.user_id.is_not(None),
        Message.announcement_id.not_in(paused),
    )


def under_rate_limit(session: AnySession, address_hash: str, most: int = MAILS_AN_HOUR) -> bool:
    """Return whether fewer limited mails than this were queued to the address in the last hour."""
    session.flush()  # mail that was queued a moment ago counts, too
    lately = {"address": address_hash, "since": now() - HOUR}
    return (session.scalar(_LIMITED_SINCE, lately) or 0) < most


def hold(session: AnySession, message: Message, owner: str, reason: str) -> bool:
    """Mark the message held: its receiver may not be mailed. False when the lease was lost."""
    return _close(session, message, owner, state=MessageState.HELD, error=reason)


def defer(session: AnySession, message: Message, owner: str, due_at: datetime) -> bool:
    """Make the message due at `due_at` without counting a try. False when the lease was lost."""
    tries = message.attempts - 1
    return _close(session, message, owner, error=message.error, due_at=due_at, attempts=tries)


def mark_sent(session: AnySession, message: Message, owner: str) -> bool:
    """Mark the message sent. False when the lease was lost to another worker."""
    return _close(session, message, owner, state=MessageState.SENT, error="", sent_at=now())


def retry_later(session: AnySession, message: Message, owner: str, error: str) -> bool:
    """Try the message again later, or give it up after 12 tries or 5 days.

    The wait doubles from 30 seconds to 6 hours, plus up to a quarter at random, so that a server
    that is back after an outage does not get all mail at once. False when the lease was lost.
    """
    if is_last(message):
        return give_up(session, message, owner, error)
    due_at = now() + leases.backoff(message.attempts, FIRST_WAIT, LONGEST_WAIT)
    return try_at(session, message, owner, error, due_at)


def try_at(
    session: AnySession,
    message: Message,
    owner: str,
    error: str,
    due_at: datetime,
    **values: object,
) -> bool:
    """Store a failed try, and make the next one due at `due_at`. False when the lease was lost."""
    since = message.failing_since or now()
    return _close(
        session, message, owner, error=error, due_at=due_at, failing_since=since, **values
    )


def is_last(message: Message, *, server_away: bool = False) -> bool:
    """Return whether a claimed message is given up if this try fails."""
    if message.attempts >= TRIES and not server_away:
        return True
    return message.failing_since is not None and now() - message.failing_since >= LONGEST


def give_up(session: AnySession, message: Message, owner: str, error: str) -> bool:
    """Mark the message dead: it is not tried again. False when the lease was lost."""
    return _close(session, message, owner, state=MessageState.DEAD, error=error)


def send_again(session: AnySession, *which: ColumnElement[bool]) -> int:
    """Queue the dead messages among these again, as if never tried; return how many.

    Each keeps its Message-ID, and its receiver's eligibility is checked again. A message with an
    erased receiver stays dead.
    """
    statement = (
        update(Message)
        .where(Message.state == MessageState.DEAD, Message.recipient != "", *which)
        .values(state=MessageState.DUE, due_at=now(), attempts=0, error="")
        .values(awaits_server_since=None, failing_since=None)
        .returning(Message.id)
    )
    options = {"synchronize_session": False}
    return len(session.scalars(statement, execution_options=options).all())


def _close(
    session: AnySession, message: Message, owner: str, *, error: str, **values: object
) -> bool:
    values = {"awaits_server_since": None, **values}
    statement = (
        update(Message)
        .where(Message.id == message.id, Message.owner == owner, Message.state == MessageState.DUE)
        .values(owner=None, lease_until=None, error=error[:ERROR_LENGTH], **values)
        .returning(Message.id)
    )
    options = {"synchronize_session": False}
    return session.scalar(statement, execution_options=options) is not None
