"""Stripe's events as jobs: noted when they come, done when the order has followed them."""

from datetime import datetime, timedelta

from sqlalchemy import update

from crossroads import leases
from crossroads.payments import Event
from models import StripeEvent, insert_for
from models.base import AnySession, now

# All that moves an order of ours. Anything else is answered and forgotten.
# https://docs.stripe.com/checkout/fulfillment#delayed-notification
FOLLOWED = frozenset(
    {
        "checkout.session.completed",
        "checkout.session.async_payment_succeeded",
        "checkout.session.async_payment_failed",
        "checkout.session.expired",
        "charge.refunded",
        "refund.created",
        "refund.updated",
        "refund.failed",
        "charge.dispute.created",
        "charge.dispute.updated",
        "charge.dispute.closed",
        "charge.dispute.funds_withdrawn",
        "charge.dispute.funds_reinstated",
    }
)
FIRST_WAIT = timedelta(seconds=5)
LONGEST_WAIT = timedelta(hours=1)
ERROR_LENGTH = 500


def receive(session: AnySession, event: Event) -> None:
    """Note an event as a job that is due. The same event again changes nothing."""
    session.execute(
        insert_for(session, StripeEvent)
        .values(
            id=event.id,
            kind=event.kind,
            object_id=event.object_id,
            attempts=0,
            error="",
            due_at=now(),
            received_at=now(),
        )
        .on_conflict_do_nothing()
    )


def claim(session: AnySession, owner: str, at: datetime) -> StripeEvent | None:
    """Take the event that has been due longest under a lease; None when there is none."""
    return leases.claim(session, StripeEvent, StripeEvent.done_at.is_(None), owner, at)


def done(session: AnySession, event_id: str) -> None:
    """Mark the event done, in the transaction that did what it asked for."""
    _close(session, event_id, done_at=now(), error="")


def postpone(session: AnySession, event: StripeEvent, error: str) -> None:
    """Try the event again later, however often it takes: someone may have paid."""
    wait = leases.wait(event.attempts, FIRST_WAIT, LONGEST_WAIT)
    _close(session, event.id, due_at=now() + wait, error=error[:ERROR_LENGTH])


def _close(session: AnySession, event_id: str, **values: object) -> None:
    session.execute(
        update(StripeEvent)
        .where(StripeEvent.id == event_id, StripeEvent.done_at.is_(None))
        .values(owner=None, lease_until=None, **values)
    )
