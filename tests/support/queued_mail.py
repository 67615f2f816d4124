"""Mail in the outbox, for tests of its delivery."""

from datetime import datetime

from sqlalchemy import func, select, update

from crossroads.mail import outbox
from crossroads.mail.kinds import MailKind
from models import Lead, Message
from models.base import AnySession

NO_LIMIT = 1_000_000


def queue_mail(
    session: AnySession, kind: MailKind, lead: Lead, *, due_at: datetime | None = None
) -> None:
    """Queue a mail to a lead without the hourly limit of its address; due now by default."""
    assert outbox.enqueue_rate_limited(session, kind, lead, most=NO_LIMIT)
    if due_at is not None:
        newest = select(func.max(Message.id)).scalar_subquery()
        session.execute(update(Message).where(Message.id == newest).values(due_at=due_at))
