"""Settling an order with Stripe: ask what is true there, then let it be true here.

Worker, order page, desk, commands and sweep all come through here. No transaction is open while
Stripe is asked.
"""

from dataclasses import replace

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from crossroads.database import identity
from crossroads.database.writing_session import writing_session
from crossroads.fulfillment import matching, other_accounts, webhook_events
from crossroads.orders import disputes, duplicate_payments, ledger, projections, refunds
from crossroads.orders import lifecycle as orders
from crossroads.orders.checkout import placement
from crossroads.payments import (
    Checkout,
    Gateway,
    PaymentsAway,
    PaymentsError,
    PaymentsRefused,
    Purchase,
    Refund,
)
from models import Order, StripeEvent, now
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
    PaymentsAway, PaymentsRefused, and Foreign when the checkout is not the order's.
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
    return settle_payment(engine, gateway, order_id, cause, event)


def follow(
    engine: Engine, gateway: Gateway, order_id: int, session_id: str, cause: str
) -> OrderState:
    """Bring an order to where its checkout is at Stripe. Raises as settle does."""
    checkout = gateway.retrieve(session_id)
    with writing_session(engine) as session:
        return orders.fulfill(session, order_id, checkout, cause)


def invoice_page(gateway: Gateway, session_id: str) -> str | None:
    """Return where the invoice of a paid checkout is read now, None while Stripe has none.

    Its address does not last: it is asked for each time. Raises PaymentsAway and PaymentsRefused.
    https://docs.stripe.com/invoicing/hosted-invoice-page
    """
    invoice = gateway.retrieve(session_id).invoice
    return gateway.retrieve_invoice(invoice).page if invoice else None


def settle_payment(
    engine: Engine, gateway: Gateway, order_id: int, cause: str, event: StripeEvent | None = None
) -> OrderState:
    """Give back what is asked for, and note every refund and dispute of the order's payments.

    Raises PaymentsAway and PaymentsRefused; asking again returns nothing twice.
    """
    with Session(engine, expire_on_commit=False) as session:
        order = session.get_one(Order, order_id)
        balance = ledger.balance_of(session, order)
    payment = order.payment_intent
    try:
        found = list(gateway.refunds(payment)) if payment else []
    except PaymentsRefused as error:
        if not other_accounts.is_elsewhere(gateway, order, error):
            raise
        return other_accounts.refuse_refunds(engine, order, balance, cause, event)
    refused, needless = {}, []
    # An answer may have been lost, and a key is good for a day: what was made is looked for first.
    for refund in refunds.missing(balance, found) if payment else ():
        amount = refunds.due(refund, balance, found)
        if not amount:
            needless.append(refund)
            continue
        try:
            found.append(_return(engine, gateway, order, refund, amount, cause))
        except PaymentsRefused as error:
            refused[refund.reference] = error.code or str(error)
    payments = [*([payment] if payment else []), *(one.reference for one in balance.duplicates)]
    try:
        twice = [
            (one, *_return_duplicate(engine, gateway, order_id, one, cause))
            for one in balance.duplicates
        ]
        disputed = [dispute for each in payments for dispute in gateway.disputes(each)]
    except PaymentsRefused as error:
        if not other_accounts.is_elsewhere(gateway, order, error):
            raise
        return other_accounts.refuse_refunds(engine, order, balance, cause, event)
    with writing_session(engine) as session:
        order = ledger.lock(session, order_id)
        for one in found:
            refunds.record_status(session, order, one, cause)
        for reference, reason in refused.items():
            refunds.record_refusal(session, order, reference, reason, cause)
        for refund in needless:
            refunds.dismiss(session, order, refund, cause)
        for duplicate, returned, reason in twice:
            duplicate_payments.record_status(session, order, duplicate, returned, cause)
            if reason:
                duplicate_payments.record_refusal(session, order, duplicate, reason, cause)
        for dispute in disputed:
            disputes.record_status(session, order, dispute, cause)
        if event is not None:
            webhook_events.done(session, event.id)
        return ledger.balance_of(session, order).state


def _return(
    engine: Engine,
    gateway: Gateway,
    order: Order,
    refund: projections.RefundState,
    amount: int,
    cause: str,
) -> Refund:
    try:
        return gateway.refund(
            str(order.payment_intent),
            amount,
            key=refunds.key(refund),
            reference=refund.reference,
        )
    except PaymentsAway as error:
        if error.key_spent:
            with writing_session(engine) as session:
                refunds.retry_with_new_key(session, order.id, refund.reference, cause)
        raise


def _return_duplicate(
    engine: Engine, gateway: Gateway, order_id: int, duplicate: projections.RefundState, cause: str
) -> tuple[list[Refund], str]:
    """Return a duplicate's refunds, newest first, and why Stripe refused the one missing, if so."""
    found = list(gateway.refunds(duplicate.reference))
    if not duplicate_payments.missing(duplicate, found):
        return found, ""
    try:
        key = duplicate_payments.key(duplicate)
        found.insert(0, gateway.refund(duplicate.reference, None, key=key, reference=key))
    except PaymentsRefused as error:
        return found, error.code or str(error)
    except PaymentsAway as error:
        if error.key_spent:
            with writing_session(engine) as session:
                duplicate_payments.retry_with_new_key(session, order_id, duplicate, cause)
        raise
    return found, ""


def find_duplicates(engine: Engine, gateway: Gateway, order: Order, cause: str) -> bool:
    """Bring an order that has run out to where copies of its checkout are, if any was paid.

    Return whether the money for one is still on its way. Raises PaymentsAway and PaymentsRefused.
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
    """Mark an event done that nothing has to be done about."""
    with writing_session(engine) as session:
        webhook_events.done(session, event.id)


def postpone(engine: Engine, event: StripeEvent, error: PaymentsError) -> None:
    """Have an event followed later, as Stripe could not be asked."""
    with writing_session(engine) as session:
        webhook_events.postpone(session, event, str(error))


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

    Raises as settle does.
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
    return settle(engine, gateway, order_id, cause)


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
