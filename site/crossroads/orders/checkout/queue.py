"""Queue for payment pages: orders that wait for the worker to open their checkout at Stripe."""

from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import delete, exists, select, update

from crossroads.payments import Why
from models import CheckoutRequest, insert_for, now
from models.base import AnySession

# Seconds for all calls of one attempt. Stripe usually answers in one or two. If a call hangs, there
# is time for another attempt within 15 seconds.
ATTEMPT: Final = 8.0
# Longer than an attempt with a slow DNS lookup and its writes. After it another worker takes over
# the job of a killed one.
LEASE: Final = timedelta(seconds=ATTEMPT + 4)
PAUSES = (1, 2, 4, 8)  # seconds after each failed attempt; one more attempt follows the last pause

WAITING: Final = CheckoutRequest.trouble == ""


def add(session: AnySession, order_id: int) -> None:
    """Queue the order's checkout for the worker, due now. An order has at most one job."""
    fresh = {"due_at": now(), "attempts": 0, "trouble": ""}
    insert = insert_for(session, CheckoutRequest).values(order_id=order_id, **fresh)
    session.execute(
        insert.on_conflict_do_update(index_elements=[CheckoutRequest.order_id], set_=fresh)
    )


def find(session: AnySession, order_id: int) -> CheckoutRequest | None:
    """Return the order's job. Its `trouble` is a Why after the worker has given up."""
    return session.get(CheckoutRequest, order_id)


def any_due(session: AnySession, at: datetime) -> bool:
    """Tell whether a job is due, without a lock."""
    return bool(session.scalar(select(exists().where(WAITING, CheckoutRequest.due_at <= at))))


def claim(session: AnySession, at: datetime) -> CheckoutRequest | None:
    """Claim the job that has waited longest, for the time of LEASE; None when none is due.

    One statement, so that concurrent workers claim different jobs.
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
    """Schedule the next attempt, or give up after the last one."""
    if job.attempts > len(PAUSES):
        give_up(session, job, "away")
        return
    session.execute(
        update(CheckoutRequest)
        .where(CheckoutRequest.order_id == job.order_id)
        .values(due_at=now() + timedelta(seconds=PAUSES[job.attempts - 1]))
    )


def give_up(session: AnySession, job: CheckoutRequest, why: Why) -> None:
    """Stop trying to open the order's checkout, and store the reason for the buyer's page."""
    session.execute(
        update(CheckoutRequest).where(CheckoutRequest.order_id == job.order_id).values(trouble=why)
    )


def remove(session: AnySession, order_id: int) -> None:
    """Remove the order from the queue."""
    session.execute(delete(CheckoutRequest).where(CheckoutRequest.order_id == order_id))
