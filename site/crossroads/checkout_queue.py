"""The queue for payment pages: orders whose buyers wait while others are served at Stripe."""

from datetime import datetime, timedelta

from sqlalchemy import delete, exists, select, update

from models import CheckoutRequest, insert_for, now
from models.base import AnySession

# A call to Stripe ends within 12 seconds. After that a killed worker's job is another's.
LEASE = timedelta(seconds=15)
PAUSES = (1, 2, 4, 8)  # seconds after each attempt that failed; after the last there is no other


def add(session: AnySession, order_id: int) -> None:
    """Have the worker open the order's checkout. Asked again, it is still one job, due at once."""
    insert = insert_for(session, CheckoutRequest).values(
        order_id=order_id, due_at=now(), attempts=0
    )
    session.execute(
        insert.on_conflict_do_update(
            index_elements=[CheckoutRequest.order_id], set_={"attempts": 0}
        )
    )


def has(session: AnySession, order_id: int) -> bool:
    """Tell whether the order waits in the queue, or is being served."""
    return session.get(CheckoutRequest, order_id) is not None


def any_due(session: AnySession, at: datetime) -> bool:
    """Tell whether a job is due, without a lock."""
    return bool(session.scalar(select(exists().where(CheckoutRequest.due_at <= at))))


def claim(session: AnySession, at: datetime) -> CheckoutRequest | None:
    """Take the job that has waited longest, for the time of LEASE; None when none is due.

    One statement: of several workers that ask at once each gets another job.
    """
    first = (
        select(CheckoutRequest.order_id)
        .where(CheckoutRequest.due_at <= at)
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
        remove(session, job.order_id)
        return
    session.execute(
        update(CheckoutRequest)
        .where(CheckoutRequest.order_id == job.order_id)
        .values(due_at=now() + timedelta(seconds=PAUSES[job.attempts - 1]))
    )


def remove(session: AnySession, order_id: int) -> None:
    """Take the order out of the queue."""
    session.execute(delete(CheckoutRequest).where(CheckoutRequest.order_id == order_id))
