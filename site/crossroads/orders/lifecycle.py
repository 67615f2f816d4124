"""Orders: fulfill, end, erase and find them. `checkout/placement` creates them."""

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import select

from crossroads import money
from crossroads.database import identity
from crossroads.leads import waiting_list
from crossroads.mail import outbox
from crossroads.mail.kinds import MailKind
from crossroads.orders import duplicate_payments, ledger, refunds, seats
from crossroads.orders.checkout import holds
from crossroads.orders.ledger import lock, record
from crossroads.payments import Checkout
from models import Enrollment, Hold, Order, OrderEvent, now, personal_data
from models.base import AnySession
from models.order import ELSEWHERE, OrderEventKind, OrderState

# How long Stripe creates copies of an expired checkout.
# https://docs.stripe.com/payments/checkout/abandoned-carts
RECOVERABLE = timedelta(days=30)


class ForeignCheckout(Exception):
    """A checkout that does not belong to the order, so the order is left unchanged."""


def fulfill(session: AnySession, order_id: int, checkout: Checkout, cause: str) -> OrderState:
    """Update the order to match its checkout at Stripe. Idempotent.

    Paid: creates enrollments, receipt and welcome mail. Paid after its seats were released and
    sold to others: requests a refund, and adds the buyer to the waiting list with a mail about it.
    Paid again by a copy of the checkout: requests a refund of that payment. Ended unpaid: releases
    the seats. Payment of a copy failed: queues a mail to the buyer. All of it in the caller's
    transaction. Raises ForeignCheckout when the checkout is not this order's, but not for a copy
    of an expired one. https://docs.stripe.com/checkout/fulfillment
    """
    order = lock(session, order_id)
    before = ledger.balance_of(session, order)
    if checkout.paid and before.paid and checkout.id != paid_session(session, order):
        _require_own(session, order, checkout)
        duplicate_payments.note(session, order, checkout, cause)
        return before.state
    if before.paid:
        return before.state
    if not before.state.undecided and not checkout.paid:
        if checkout.failed and checkout.recovered_from is not None:
            _fail_copy(session, order, checkout, cause)
        return before.state
    _require_own(session, order, checkout)
    if checkout.paid:
        _pay(session, order, checkout, cause)
    elif checkout.failed:
        end(session, order, OrderEventKind.FAILED, cause)
    elif checkout.status == "expired":
        end(session, order, OrderEventKind.EXPIRED, cause)
        order.session_url = checkout.recovery_url
    elif checkout.pending:
        record(session, order, OrderEventKind.PENDING, cause)
    return ledger.balance_of(session, order).state


def end(
    session: AnySession, order: Order, kind: OrderEventKind, cause: str, reason: str = ""
) -> None:
    """End an unpaid order and release its seats. An order that has ended stays unchanged."""
    if ledger.balance_of(session, order).state.undecided:
        record(session, order, kind, cause, reason=reason)
        if reason == ELSEWHERE:
            order.session_url = None  # the payment page belongs to another account
        holds.release(session, order)
        if kind == OrderEventKind.FAILED:  # days after the buyer completed Stripe's page
            outbox.enqueue_for_order(session, MailKind.FAILED, order)


def _fail_copy(session: AnySession, order: Order, checkout: Checkout, cause: str) -> None:
    """Record that the payment of a copy failed, and mail the buyer once."""
    number = record(session, order, OrderEventKind.COPY_FAILED, cause, subject=checkout.id)
    if number is not None:
        outbox.enqueue_for_order(session, MailKind.FAILED, order, number)


def erase(session: AnySession, theirs: Sequence[Order], own_seats: Sequence[Enrollment]) -> None:
    """Erase a person's data from orders and seats. Items and amounts stay."""
    for order in theirs:
        personal_data.erase(order)
        holds.erase(session, order)
    for seat in own_seats:
        personal_data.erase(seat)


def find(session: AnySession, token: str) -> Order | None:
    """Return the order with this token."""
    return session.scalar(select(Order).where(Order.token == token))


def find_by_session(session: AnySession, session_id: str) -> Order | None:
    """Return the order that this Checkout Session belongs to."""
    return session.scalar(select(Order).where(Order.session_id == session_id))


def find_by_payment(session: AnySession, payment_intent: str | None) -> Order | None:
    """Return the order that this payment, or duplicate payment, belongs to."""
    if payment_intent is None:
        return None
    order = session.scalar(select(Order).where(Order.payment_intent == payment_intent))
    if order is not None:
        return order
    twice = select(OrderEvent.order_id).where(
        OrderEvent.kind == OrderEventKind.DUPLICATE, OrderEvent.subject == payment_intent
    )
    return session.scalar(select(Order).where(Order.id.in_(twice)))


def total(order: Order) -> str:
    """Return an order's total as text, marked when Stripe will add tax to it."""
    amount = money.display(order.amount, order.currency)
    added = order.checkout_options.get("tax_behavior") == "exclusive"
    return f"{amount} plus tax" if added else amount


def paid_session(session: AnySession, order: Order) -> str | None:
    """Return Stripe's id of the Checkout Session that was paid, None when the order is unpaid."""
    query = select(OrderEvent).where(
        OrderEvent.order_id == order.id, OrderEvent.kind == OrderEventKind.PAID
    )
    paid = session.scalar(query)
    return (paid.stripe_id or order.session_id) if paid else None


def recoverable(order: Order) -> bool:
    """Tell whether the order has expired and can still be paid through a copy of its checkout."""
    ended = order.state == OrderState.EXPIRED and "recovery" in order.checkout_options
    return bool(ended and order.email) and now() < order.session_until + RECOVERABLE


def enrollments(session: AnySession, order: Order) -> Sequence[Enrollment]:
    """Return the current enrollments of the order, by the number of the seat."""
    query = select(Enrollment).where(Enrollment.order_id == order.id, Enrollment.ended_at.is_(None))
    return session.scalars(query.order_by(Enrollment.seat)).all()


def _require_own(session: AnySession, order: Order, checkout: Checkout) -> None:
    # Items and amounts are not compared: Stripe decides them, and the desk shows a difference.
    own = checkout.id == order.session_id or checkout.recovered_from is not None
    named = (checkout.reference, checkout.currency) == (order.token, order.currency)
    if not (own and named and identity.is_ours(session, checkout.site)):
        raise ForeignCheckout(f"checkout {checkout.id} is not what order {order.id} asked for")


def _pay(session: AnySession, order: Order, checkout: Checkout, cause: str) -> None:
    order.payment_intent = checkout.payment_intent
    seated = (
        session.get(Hold, order.id) is not None
        or not identity.counting(session, order)  # takes no seats
        or _reclaim_seats(session, order)
    )
    record(
        session, order, OrderEventKind.PAID, cause, stripe_id=checkout.id,
        amount_subtotal=checkout.amount_subtotal, amount_discount=checkout.amount_discount,
        amount_tax=checkout.amount_tax, amount_total=checkout.amount_total,
    )  # fmt: skip
    if not seated:
        record(session, order, OrderEventKind.UNSEATED, cause)
        refunds.return_late(session, order)
        waiting_list.add_buyer(session, order)
        outbox.enqueue_for_order(session, MailKind.UNSEATED, order)
        return
    for seat in range(1, order.seats + 1):
        buyers = seat == 1
        session.add(
            Enrollment(
                order_id=order.id,
                seat=seat,
                course=order.course,
                cohort=order.cohort,
                email=(order.email or None) if buyers else None,
                name=order.name if buyers else "",
                address_hash=order.address_hash if buyers and order.email else "",
            )
        )
    holds.release(session, order)
    outbox.enqueue_for_order(session, MailKind.RECEIPT, order)
    outbox.enqueue_for_order(session, MailKind.ENROLLED, order)


def _reclaim_seats(session: AnySession, order: Order) -> bool:
    """Lock the cohort, and tell whether the released seats are still free."""
    return seats.lock_and_count(session, order.course, order.cohort) >= order.seats
