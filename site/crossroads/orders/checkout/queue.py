"""The queue for payment pages: orders whose buyers wait while others are served at Stripe."""

from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import delete, exists, select, update

from crossroads.payments import Why
from models import CheckoutRequest, insert_for, now
from models.base import AnySession

# Seconds for all calls of one attempt. Stripe answers in one or two as a rule, and after a call
# that hangs there is time for another attempt before the buyer has waited for 15.
ATTEMPT: Final = 8.0
# An attempt has ended by then, with a slow look-up of Stripe's name and what it writes here. After
# that a killed worker's job is another's.
LEASE: Final = timedelta(seconds=ATTEMPT + 4)
PAUSES = (1, 2, 4, 8)  # seconds after each attempt that failed; after the last there is no other

WAITING: Final = CheckoutRequest.trouble == ""


def add(session: AnySession, order_id: int) -> None:
    """Have the worker open the order's checkout. Asked again, it is still one job, due at once."""
    fresh = {"due_at": now(), "attempts": 0, "trouble": ""}
    insert = insert_for(session, CheckoutRequest).values(order_id=order_id, **fresh)
    session.execute(
        insert.on_conflict_do_update(index_elements=[CheckoutRequest.order_id], set_=fresh)
    )


def find(session: AnySession, order_id: int) -> CheckoutRequest | None:
    """Return the order's job, whose `trouble` is a Why once the worker has given up."""
    return session.get(CheckoutRequest, order_id)


def any_due(session: AnySession, at: datetime) -> bool:
    """Tell whether a job is due, without a lock."""
    return bool(session.scalar(select(exists().where(WAITING, CheckoutRequest.due_at <= at))))


def claim(session: AnySession, at: datetime) -> CheckoutRequest | None:
    """Take the job that has waited longest, for the time of LEASE; None when none is due.

    One statement: of several workers that ask at once each gets another job.
    """
    first = (
        select(CheckoutRequest.order_id)
        .where(WAITING, CheckoutRequest.due_at <= at)
        .order_by(CheckoutRequest.due_at, CheckoutRequest.order_id)
        .limit(1)
        .with_for_update(skip_locked=True)  # left out on SQLite, which has one writer at a time
    )
    statement = (
        update(CheckoutRequest)
        .where(CheckoutRequest.order_id == first.scalar_subquery())
        .values(due_at=at + LEASE, attempts=CheckoutRequest.attempts + 1)
        .returning(CheckoutRequest)
    )
    options = {"synchronize_session": False, "populate_existing": True}
    return session.scalars(statement, execution_options=options).one_or_none()


def postpone(session: AnySession, job: CheckoutRequest) -> None:
    """Try again later, or give up after the last attempt: then the buyer is told to try again."""
    if job.attempts > len(PAUSES):
        give_up(session, job, "away")
        return
    session.execute(
        update(CheckoutRequest)
        .where(CheckoutRequest.order_id == job.order_id)
        .values(due_at=now() + timedelta(seconds=PAUSES[job.attempts - 1]))
    )


def give_up(session: AnySession, job: CheckoutRequest, why: Why) -> None:
    """Open the order's checkout no more, and keep for the buyer's page why that is."""
    session.execute(
        update(CheckoutRequest).where(CheckoutRequest.order_id == job.order_id).values(trouble=why)
    )


def remove(session: AnySession, order_id: int) -> None:
    """Take the order out of the queue."""
    session.execute(delete(CheckoutRequest).where(CheckoutRequest.order_id == order_id))
