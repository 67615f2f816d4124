"""Queue of Stripe's webhook events: stored on receipt, done when their order is settled."""

import json
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Final

from sqlalchemy import Insert, delete, func, select, update

from crossroads.database import leases
from crossroads.payments import Event
from models import RefusedEvent, StripeEvent, insert_for
from models.base import AnySession, insert_on, now, table_of

# The events that can change an order. All others are answered and not stored.
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
EVENT_ID: Final = re.compile(r"evt_[A-Za-z0-9_]{1,200}")
KEPT: Final = timedelta(days=30)  # as Stripe keeps its events


@dataclass(frozen=True, kw_only=True)
class Reception:
    """Receipt of events: the requested ones that are `here`, and when the `last` event arrived.

    `refused` is a requested one that arrived later than that, signed with an unknown secret.
    """

    here: Collection[str]
    last: datetime | None
    refused: str | None


def receive(session: AnySession, events: Sequence[Event], *, delivered: bool = True) -> None:
    """Store events as jobs that are due now. A repeated event adds no job.

    They were `delivered` to the webhook, or found in Stripe's list.
    """
    at = now()
    rows = [
        {
            "id": event.id,
            "kind": event.kind,
            "object_id": event.object_id,
            "attempts": 0,
            "error": "",
            "due_at": at,
            "received_at": at,
            "delivered": delivered,
        }
        for event in events
    ]
    session.execute(_note(session.get_bind().dialect.name), rows)


@cache
def _note(dialect: str) -> Insert:
    """Return the INSERT for an event. Cached: compiling it takes longer than running it."""
    table = table_of(StripeEvent)
    insert = insert_on(dialect, table)
    return insert.on_conflict_do_update(
        index_elements=[table.c.id],
        set_={"delivered": True},
        where=table.c.delivered.is_(False) & insert.excluded.delivered,
    )


def refuse(session: AnySession, body: bytes) -> None:
    """Record the claimed id of an event whose signature did not verify.

    Anyone can send such an event: it matters only if Stripe knows the id.
    """
    try:
        claimed = json.loads(body)["id"]
    except (ValueError, LookupError, TypeError):
        return
    if not isinstance(claimed, str) or not EVENT_ID.fullmatch(claimed):
        return
    session.execute(delete(RefusedEvent).where(RefusedEvent.refused_at < now() - KEPT))
    insert = insert_for(session, RefusedEvent).values(id=claimed, refused_at=now())
    session.execute(
        insert.on_conflict_do_update(
            index_elements=[RefusedEvent.id], set_={"refused_at": insert.excluded.refused_at}
        )
    )


def reception(session: AnySession, ids: Sequence[str]) -> Reception:
    """Return how these events of Stripe's, and events at all, have come to the webhook."""
    came = StripeEvent.delivered.is_(True)
    last = session.scalar(select(func.max(StripeEvent.received_at)).where(came))
    refused = select(RefusedEvent.id).where(RefusedEvent.id.in_(ids))
    if last is not None:
        refused = refused.where(RefusedEvent.refused_at > last)
    return Reception(
        here=set(session.scalars(select(StripeEvent.id).where(came, StripeEvent.id.in_(ids)))),
        last=last,
        refused=session.scalar(refused.order_by(RefusedEvent.refused_at.desc()).limit(1)),
    )


def claim(session: AnySession, owner: str, at: datetime) -> StripeEvent | None:
    """Take the event that has been due longest under a lease; None when there is none."""
    return leases.claim(session, StripeEvent, StripeEvent.done_at.is_(None), owner, at)


def pending(session: AnySession) -> Sequence[str]:
    """Return the ids of all events that are not done, those of a later due too, oldest first."""
    query = select(StripeEvent.id).where(StripeEvent.done_at.is_(None))
    return session.scalars(query.order_by(StripeEvent.received_at, StripeEvent.id)).all()


def take(
    session: AnySession, ids: Collection[str], owner: str, at: datetime
) -> Sequence[StripeEvent]:
    """Claim those of the events, under a lease, that are neither done nor claimed."""
    open_ = StripeEvent.id.in_(ids) & StripeEvent.done_at.is_(None)
    statement = (
        update(StripeEvent)
        .where(open_, leases.free(StripeEvent, at))
        .values(owner=owner, lease_until=at + leases.LEASE, attempts=StripeEvent.attempts + 1)
        .returning(StripeEvent)
    )
    options = {"synchronize_session": False, "populate_existing": True}
    return session.scalars(statement, execution_options=options).all()


def done(session: AnySession, event_id: str) -> None:
    """Mark the event done, in the transaction that did what it asked for."""
    _close(session, event_id, done_at=now(), error="")


def postpone(session: AnySession, event: StripeEvent, error: str) -> None:
    """Schedule the next attempt, without a limit: someone may have paid."""
    wait = leases.backoff(event.attempts, FIRST_WAIT, LONGEST_WAIT)
    _close(session, event.id, due_at=now() + wait, error=error[:ERROR_LENGTH])


def _close(session: AnySession, event_id: str, **values: object) -> None:
    session.execute(
        update(StripeEvent)
        .where(StripeEvent.id == event_id, StripeEvent.done_at.is_(None))
        .values(owner=None, lease_until=None, **values)
    )
