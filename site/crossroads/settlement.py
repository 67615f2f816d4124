"""Settling an order with Stripe: ask what is true there, then let it be true here.

Worker, order page and sweep all come through here. No transaction is open while Stripe is asked.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

import structlog
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from crossroads import orders, stripe_events
from crossroads.orders import Foreign, State
from crossroads.payments import Checkout, Gateway, PaymentsAway, PaymentsRefused
from models import Order, StripeEvent, now, writing
from models.order import CANCELED, EXPIRED

# A buyer's own request is left this long to finish before the sweep steps in.
SWEEP_AFTER = timedelta(minutes=2)

log = structlog.get_logger()


@dataclass(frozen=True, kw_only=True)
class Drift:
    """An order that was not where Stripe had it, and is now."""

    order: int
    before: State
    after: State


def open_checkout(engine: Engine, gateway: Gateway, order: Order, base_url: str) -> Checkout:
    """Create the order's checkout, or find it, and store it on the order.

    Raises PaymentsAway and PaymentsRefused; asking again makes no second one.
    """
    try:
        checkout = gateway.create(orders.purchase(order, base_url))
    except PaymentsAway as error:
        if error.key_spent:
            with Session(engine) as session:
                writing(session)
                orders.try_anew(session, order.id, order.attempt)
                session.commit()
        raise
    with Session(engine) as session:
        writing(session)
        orders.attach(session, order.id, checkout)
        session.commit()
    return checkout


def settle(
    engine: Engine,
    gateway: Gateway,
    order_id: int,
    session_id: str,
    cause: str,
    event: StripeEvent | None = None,
) -> State:
    """Bring an order to where its checkout is at Stripe, and mark the event done with it.

    Raises PaymentsAway, PaymentsRefused, and Foreign when the checkout is not the order's.
    """
    checkout = gateway.retrieve(session_id)
    with Session(engine) as session:
        writing(session)
        state = orders.fulfill(session, order_id, checkout, cause)
        if event is not None:
            stripe_events.done(session, event.id)
        session.commit()
    return state


def cancel(engine: Engine, gateway: Gateway, order: Order, base_url: str, cause: str) -> State:
    """End an unpaid order and give its seats back, at Stripe first: there it may be paid by now.

    Raises PaymentsAway and PaymentsRefused.
    """
    session_id = _checkout_of(engine, gateway, order, base_url)
    if session_id is None:
        return _end(engine, order, CANCELED, cause)
    checkout = gateway.expire(session_id)
    if checkout.status == "expired":
        return _end(engine, order, CANCELED, cause)
    with Session(engine) as session:
        writing(session)
        state = orders.fulfill(session, order.id, checkout, cause)
        session.commit()
    return state


def sweep(engine: Engine, gateway: Gateway, base_url: str) -> Iterator[Drift]:
    """Settle every order that has not ended, whatever its age; yield those that had drifted.

    An order that Stripe is in trouble about is left for the next sweep.
    """
    with Session(engine) as session:
        waiting = orders.unfinished(session, now() - SWEEP_AFTER)
    for number in waiting:
        with Session(engine, expire_on_commit=False) as session:
            order = session.get_one(Order, number)
            before = orders.state(orders.events(session, order))
        try:
            after = _heal(engine, gateway, order, base_url)
        except (PaymentsAway, PaymentsRefused, Foreign) as error:
            log.warning("order not settled", order=number, error=str(error))
            continue
        if after != before:
            log.info("order healed", order=number, before=before, after=after)
            yield Drift(order=number, before=before, after=after)


def _heal(engine: Engine, gateway: Gateway, order: Order, base_url: str) -> State:
    session_id = _checkout_of(engine, gateway, order, base_url)
    if session_id is None:
        return _end(engine, order, EXPIRED, "sweep")
    return settle(engine, gateway, order.id, session_id, "sweep")


def _checkout_of(engine: Engine, gateway: Gateway, order: Order, base_url: str) -> str | None:
    """Return the id of the order's checkout, or None when Stripe never made one and never will.

    An answer of Stripe may have been lost: asking again with the same key finds what was made.
    When nothing was and its time is over, Stripe refuses to make it. (Keys are forgotten after
    a day. A checkout from before whose answer was lost was never shown to anyone either: a buyer
    is sent on only after it is stored.)
    """
    if order.session_id is not None:
        return order.session_id
    try:
        return open_checkout(engine, gateway, order, base_url).id
    except PaymentsRefused as error:
        if error.param == "expires_at" and order.session_until < now():
            return None
        raise


def _end(engine: Engine, order: Order, kind: str, cause: str) -> State:
    with Session(engine) as session:
        writing(session)
        locked = orders.lock(session, order.id)
        orders.end(session, locked, kind, cause)
        state = orders.state(orders.events(session, locked))
        session.commit()
    return state
