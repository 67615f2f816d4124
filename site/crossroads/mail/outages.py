"""Mail that waits for a mail server that was away: it goes as soon as one mail gets through."""

from datetime import datetime

from sqlalchemy import ColumnElement, case, select, update

from crossroads.mail import outbox
from models.base import AnySession
from models.message import Message

FORWARD = 1000  # mails brought forward at once: the next ones when a mail gets through after that


def awaits_server(session: AnySession, at: datetime) -> bool:
    """Tell whether any mail waits for the mail server until later than this."""
    return session.scalar(select(Message.id).where(_awaiting(at)).limit(1)) is not None


def bring_forward(session: AnySession, at: datetime, most: int = FORWARD) -> int:
    """Have mail that waits for the mail server be due now, the next due first; return how many.

    Call it when a mail got through, or with 1 to try one. The try that failed was not the mail's
    own failure and is not counted: a server that is away for long, or takes every other mail, must
    not use up the tries of all that waits for it.
    """
    next_ = (
        select(Message.id)
        .where(_awaiting(at))
        .order_by(Message.due_at, Message.id)
        .limit(most)
        .with_for_update(skip_locked=True)
    )
    fewer = case((Message.attempts > 0, Message.attempts - 1), else_=0)
    statement = (
        update(Message)
        .where(Message.id.in_(next_))
        .values(due_at=at, attempts=fewer)
        .returning(Message.id)
    )
    options = {"synchronize_session": False}
    return len(session.scalars(statement, execution_options=options).all())


def _awaiting(at: datetime) -> ColumnElement[bool]:
    return outbox.going() & Message.awaits_server_since.is_not(None) & (Message.due_at > at)
