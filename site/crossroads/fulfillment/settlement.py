"""Settlement: fetches an order's checkout and payment from Stripe, and updates the order to match.

Worker, order page, desk, commands and sweep all use it. No transaction is open during calls to
Stripe.
"""

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from crossroads.database.writing_session import writing_session
from crossroads.fulfillment import matching, other_accounts, repayments, webhook_events
from crossroads.orders import ledger
from crossroads.orders import lifecycle as orders
from crossroads.payments import (
    Gateway,
    PaymentsError,
    PaymentsRefused,
)
from models import Order, StripeEvent
from models.order import OrderEventKind, OrderState


def settle(
    engine: Engine,
    gateway: Gateway,
    order_id: int,
    cause: str,
    event: StripeEvent | None = None,
    *,
    copy_id: str | None = None,
) -> OrderState:
    """Bring an order to where Stripe has it, from its checkout to what came back of its payment.

    `copy_id` names a copy of its checkout, as an event may too: such a one can be paid after the
    checkout itself has run out. The event is done in the commit that does what it asked for.
    An order that is not paid and whose checkout Stripe does not know ends: it was made with a key
    of another account. Raises PaymentElsewhere when the payment of such a one is on its way,
    PaymentsUnavailable, PaymentsRefused, and Foreign when the checkout is not the order's.
    """
    with Session(engine, expire_on_commit=False) as session:
        order = session.get_one(Order, order_id)
        paid = ledger.balance_of(session, order).paid
    if not paid and order.session_id is not None:
        try:
            follow(engine, gateway, order_id, order.session_id, cause)
        except PaymentsRefused as error:
            if not other_accounts.is_elsewhere(gateway, order, error):
                raise
            return other_accounts.end(engine, order, OrderEventKind.EXPIRED, cause, event)
    if event is not None and event.kind.startswith("checkout."):
        copy_id = event.object_id
    if copy_id not in (None, order.session_id):
        follow(engine, gateway, order_id, str(copy_id), cause)
    return repayments.settle_payment(engine, gateway, order_id, cause, event)


def follow(
    engine: Engine, gateway: Gateway, order_id: int, session_id: str, cause: str
) -> OrderState:
    """Update an order to match its checkout. Raises the same exceptions as settle."""
    checkout = gateway.retrieve(session_id)
    with writing_session(engine) as session:
        return orders.fulfill(session, order_id, checkout, cause)


def invoice_page(gateway: Gateway, session_id: str) -> str | None:
    """Return the address of a paid checkout's invoice, None while Stripe has none.

    The address expires, so it is fetched each time. Raises PaymentsUnavailable and PaymentsRefused.
    https://docs.stripe.com/invoicing/hosted-invoice-page
    """
    invoice = gateway.retrieve(session_id).invoice
    return gateway.retrieve_invoice(invoice).page if invoice else None


def find_duplicates(engine: Engine, gateway: Gateway, order: Order, cause: str) -> bool:
    """Update an expired order to match the copies of its checkout, if one was paid.

    Returns whether the payment of one is still pending. Raises PaymentsUnavailable and
    PaymentsRefused.
    """
    copies = [
        checkout
        for checkout in gateway.checkouts(order.created_at, email=order.email)
        if (checkout.paid or checkout.pending)
        and checkout.reference == order.token
        and checkout.recovered_from is not None
        and matching.order_of_checkout(engine, gateway, checkout) == order.id
    ]
    for checkout in reversed(copies):  # the oldest one counts
        if checkout.paid:
            follow(engine, gateway, order.id, checkout.id, cause)
    return any(checkout.pending for checkout in copies)


def close(engine: Engine, event: StripeEvent) -> None:
    """Mark an event done that needs no action."""
    with writing_session(engine) as session:
        webhook_events.done(session, event.id)


def postpone(engine: Engine, event: StripeEvent, error: PaymentsError) -> None:
    """Process an event later, because the call to Stripe failed."""
    with writing_session(engine) as session:
        webhook_events.postpone(session, event, str(error))
