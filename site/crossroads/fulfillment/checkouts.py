"""The checkout of an order at Stripe: open, cancel and resume it.

No transaction is open during calls to Stripe.
"""

from dataclasses import replace

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from crossroads.database import identity
from crossroads.database.writing_session import writing_session
from crossroads.fulfillment import other_accounts, settlement
from crossroads.orders import ledger
from crossroads.orders import lifecycle as orders
from crossroads.orders.checkout import placement
from crossroads.payments import Checkout, Gateway, PaymentsRefused, PaymentsUnavailable, Purchase
from models import Order, now
from models.order import ELSEWHERE, OrderEventKind, OrderState


def open_checkout(engine: Engine, gateway: Gateway, order: Order, base_url: str) -> Checkout:
    """Create the order's checkout, or find it, and store it on the order.

    Raises PaymentsUnavailable and PaymentsRefused. A retry creates no second one.
    """
    if other_accounts.of_other_mode(gateway, order):
        raise PaymentsRefused(code=other_accounts.OTHER_MODE)
    with Session(engine) as session:
        site_id = identity.of(session).site_id
        session.commit()
    try:
        checkout = _create(gateway, placement.purchase(order, base_url, site_id))
    except PaymentsUnavailable as error:
        if error.key_spent:
            with writing_session(engine) as session:
                placement.retry_with_new_key(session, order.id, order.attempt)
        raise
    with writing_session(engine) as session:
        placement.attach(session, order.id, checkout)
    return checkout


def _create(gateway: Gateway, purchase: Purchase) -> Checkout:
    """Create a checkout, or find it. If Stripe refuses the address, the buyer enters one there.

    Only Stripe knows which addresses it accepts, and an erased buyer has none.
    """
    try:
        return gateway.create(purchase)
    except PaymentsRefused as error:
        if error.param != "customer_email":
            raise
    return gateway.create(replace(purchase, email="", key=f"{purchase.key}-unaddressed"))


def cancel(engine: Engine, gateway: Gateway, order: Order, base_url: str, cause: str) -> OrderState:
    """End an unpaid order and release its seats. Ends it at Stripe first: it may be paid there.

    Raises PaymentsUnavailable and PaymentsRefused.
    """
    if other_accounts.of_other_mode(gateway, order) and gateway.live:
        return _end(engine, order, OrderEventKind.CANCELED, cause, ELSEWHERE)
    try:
        session_id = _checkout_of(engine, gateway, order, base_url)
    except PaymentsRefused as error:
        if other_accounts.refused_by_mode(error):
            raise
        return _end(engine, order, OrderEventKind.CANCELED, cause, str(error))
    if session_id is None:
        return _end(engine, order, OrderEventKind.CANCELED, cause)
    try:
        checkout = gateway.expire(session_id)
    except PaymentsRefused as error:
        if not other_accounts.is_elsewhere(gateway, order, error):
            raise
        return other_accounts.end(engine, order, OrderEventKind.CANCELED, cause)
    if checkout.status == "expired":
        return _end(engine, order, OrderEventKind.CANCELED, cause)
    with writing_session(engine) as session:
        return orders.fulfill(session, order.id, checkout, cause)


def resume(
    engine: Engine, gateway: Gateway, order_id: int, base_url: str, cause: str
) -> OrderState:
    """Update an order to match Stripe, even if the id of its checkout was never stored.

    Raises the same exceptions as settlement.settle.
    """
    with Session(engine, expire_on_commit=False) as session:
        order = session.get_one(Order, order_id)
    if other_accounts.of_other_mode(gateway, order) and gateway.live:  # it moved no money
        return _end(engine, order, OrderEventKind.EXPIRED, cause, ELSEWHERE)
    try:
        session_id = _checkout_of(engine, gateway, order, base_url)
    except PaymentsRefused as error:
        # Until then the buyer may try again, and staff may remove the cause.
        if other_accounts.refused_by_mode(error) or now() < order.session_until:
            raise
        return _end(engine, order, OrderEventKind.EXPIRED, cause, str(error))
    if session_id is None:
        return _end(engine, order, OrderEventKind.EXPIRED, cause)
    return settlement.settle(engine, gateway, order_id, cause)


def _checkout_of(engine: Engine, gateway: Gateway, order: Order, base_url: str) -> str | None:
    """Return the id of the order's checkout, or None when Stripe never made one and never will.

    Stripe's answer may have been lost: a retry with the same key finds the checkout. If there is
    none and less than 30 minutes are left until it would expire, Stripe refuses to create it, now
    and later. Raises PaymentsRefused when it refuses for another reason. (Stripe deletes keys after
    a day. An older checkout with a lost answer was never shown to the buyer: the redirect happens
    after it is stored.)
    """
    if order.session_id is not None:
        return order.session_id
    try:
        return open_checkout(engine, gateway, order, base_url).id
    except PaymentsRefused as error:
        if error.param == "expires_at":
            return None
        raise


def _end(
    engine: Engine, order: Order, kind: OrderEventKind, cause: str, reason: str = ""
) -> OrderState:
    with writing_session(engine) as session:
        locked = ledger.lock(session, order.id)
        orders.end(session, locked, kind, cause, reason[:255])
        return ledger.balance_of(session, locked).state
