"""The checkout of an order at Stripe: open, cancel and resume it.

No transaction is open while Stripe is asked.
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
from crossroads.payments import Checkout, Gateway, PaymentsAway, PaymentsRefused, Purchase
from models import Order, now
from models.order import ELSEWHERE, OrderEventKind, OrderState


def open_checkout(engine: Engine, gateway: Gateway, order: Order, base_url: str) -> Checkout:
    """Create the order's checkout, or find it, and store it on the order.

    Raises PaymentsAway and PaymentsRefused; asking again makes no second one.
    """
    if other_accounts.of_other_mode(gateway, order):
        raise PaymentsRefused(code=other_accounts.OTHER_MODE)
    with Session(engine) as session:
        site_id = identity.of(session).site_id
        session.commit()
    try:
        checkout = _create(gateway, placement.purchase(order, base_url, site_id))
    except PaymentsAway as error:
        if error.key_spent:
            with writing_session(engine) as session:
                placement.retry_with_new_key(session, order.id, order.attempt)
        raise
    with writing_session(engine) as session:
        placement.attach(session, order.id, checkout)
    return checkout


def _create(gateway: Gateway, purchase: Purchase) -> Checkout:
    """Create a checkout, or find it. Where Stripe refuses the address, the buyer types one there.

    Which addresses are good is Stripe's to say, and who was erased has none.
    """
    try:
        return gateway.create(purchase)
    except PaymentsRefused as error:
        if error.param != "customer_email":
            raise
    return gateway.create(replace(purchase, email="", key=f"{purchase.key}-unaddressed"))


def cancel(engine: Engine, gateway: Gateway, order: Order, base_url: str, cause: str) -> OrderState:
    """End an unpaid order and give its seats back, at Stripe first: there it may be paid by now.

    Raises PaymentsAway and PaymentsRefused.
    """
    if other_accounts.of_other_mode(gateway, order) and gateway.live:
        return _end(engine, order, OrderEventKind.CANCELED, cause, ELSEWHERE)
    try:
        session_id = _checkout_of(engine, gateway, order, base_url)
    except PaymentsRefused as error:
        if other_accounts.not_asked(error):
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
    """Bring an order to where Stripe has it, one too whose checkout nobody knows of here.

    Raises as settlement.settle does.
    """
    with Session(engine, expire_on_commit=False) as session:
        order = session.get_one(Order, order_id)
    if other_accounts.of_other_mode(gateway, order) and gateway.live:  # it moved no money
        return _end(engine, order, OrderEventKind.EXPIRED, cause, ELSEWHERE)
    try:
        session_id = _checkout_of(engine, gateway, order, base_url)
    except PaymentsRefused as error:
        # Until then the buyer may try again, and staff may remove the cause.
        if other_accounts.not_asked(error) or now() < order.session_until:
            raise
        return _end(engine, order, OrderEventKind.EXPIRED, cause, str(error))
    if session_id is None:
        return _end(engine, order, OrderEventKind.EXPIRED, cause)
    return settlement.settle(engine, gateway, order_id, cause)


def _checkout_of(engine: Engine, gateway: Gateway, order: Order, base_url: str) -> str | None:
    """Return the id of the order's checkout, or None when Stripe never made one and never will.

    An answer of Stripe may have been lost: asking again with the same key finds what was made.
    When nothing was and less than 30 minutes are left of its time, Stripe refuses to make it, now
    and later. Raises PaymentsRefused when it refuses for another reason. (Keys are forgotten after
    a day. A checkout from before whose answer was lost was never shown to anyone either: a buyer is
    sent on only after it is stored.)
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
