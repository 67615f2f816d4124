"""The mail queue, and moving its time forward."""

from datetime import timedelta
from typing import Any

from sqlalchemy import Engine, select, update
from sqlalchemy.orm import Session

from crossroads.mail.kinds import MailKind
from models import Lead, Message, now, writing
from models.lead import LeadState
from tests.support.people import hashed
from tests.support.queued_mail import queue_mail


def queue(
    engine: Engine, kind: MailKind, *keys: str, state: str = "pending", **values: Any
) -> None:
    """Queue one mail for each of these people, in one transaction."""
    with Session(engine) as session:
        writing(session)
        for key in keys:
            lead = Lead(
                email=f"{key}@example.com",
                email_key=f"{key}@example.com",
                address_hash=hashed(f"{key}@example.com"),
                state=LeadState(state),
                confirm_until=now() + timedelta(days=7),
                **values,
            )
            session.add(lead)
            queue_mail(session, kind, lead)
        session.commit()


def messages(engine: Engine) -> list[Message]:
    with Session(engine, expire_on_commit=False) as session:
        return list(session.scalars(select(Message).order_by(Message.id)))


def let_time_pass(engine: Engine) -> None:
    """End every pause and every lease, as if hours had passed."""
    past = now() - timedelta(seconds=1)
    with Session(engine) as session:
        writing(session)
        session.execute(update(Message).where(Message.state == "due").values(due_at=past))
        session.execute(
            update(Message).where(Message.lease_until.is_not(None)).values(lease_until=past)
        )
        session.commit()
