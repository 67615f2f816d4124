"""Outages of the mail server: waiting mail is sent as soon as one message gets through."""

from datetime import datetime

from sqlalchemy import ColumnElement, select, update

from crossroads.database import leases
from crossroads.mail import outbox
from models.base import AnySession, now
from models.message import Message

FORWARD = 1000  # mails brought forward at once; more when the next mail is accepted


def wait_for_server(session: AnySession, message: Message, owner: str, error: str) -> bool:
    """Try a message again as soon as the mail server accepts mail. False when the lease was lost.

    The try is not counted: an outage is not the mail's own failure and must not use up its tries.
    But five days after its first failed try the message is given up. Until the server is back, the
    wait between tries grows with the outage, from 30 seconds to 6 hours.
    """
    if outbox.is_last(message, server_away=True):
        return outbox.give_up(session, message, owner, error)
    since = message.awaits_server_since or now()
    wait = min(max(now() - since, outbox.FIRST_WAIT), outbox.LONGEST_WAIT)
    due_at = now() + leases.with_jitter(wait)
    uncounted = message.attempts - 1
    return outbox.try_at(
        session, message, owner, error, due_at, attempts=uncounted, awaits_server_since=since
    )


def awaits_server(session: AnySession, at: datetime) -> bool:
    """Return whether any mail that waits for the mail server is due later than `at`."""
    return session.scalar(select(Message.id).where(_awaiting(at)).limit(1)) is not None


def bring_forward(session: AnySession, at: datetime, most: int = FORWARD) -> int:
    """Make mail that waits for the mail server due now, the next due first; return how many.

    Call it when the server has accepted a mail, or with `most=1` to try one.
    """
    next_ = (
        select(Message.id)
        .where(_awaiting(at))
        .order_by(Message.due_at, Message.id)
        .limit(most)
        .with_for_update(skip_locked=True)
    )
    statement = update(Message).where(Message.id.in_(next_)).values(due_at=at).returning(Message.id)
    options = {"synchronize_session": False}
    return len(session.scalars(statement, execution_options=options).all())


def _awaiting(at: datetime) -> ColumnElement[bool]:
    return outbox.sendable() & Message.awaits_server_since.is_not(None) & (Message.due_at > at)
