"""Orders: fulfill, end, erase, find. `checkout/placement` makes them."""

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

# How long Stripe makes copies of a checkout that has run out.
# https://docs.stripe.com/payments/checkout/abandoned-carts
RECOVERABLE = timedelta(days=30)


class ForeignCheckout(Exception):
    """A checkout that is not what the order asked for: nothing is done on its word."""


def fulfill(session: AnySession, order_id: int, checkout: Checkout, cause: str) -> OrderState:
    """Bring the order to where its checkout at Stripe is; called by everyone, any number of times.

    Paid: enrollments, receipt and welcome mail, or when the seats were given back and others have
    them, a refund that is owed, a place on the waiting list and the mail about it, all in the
    caller's transaction. Paid again by a copy of the checkout: that payment is to be returned.
    Ended unpaid: the seats are given back. Not paid after all by a copy of one that ran out: the
    buyer is told. Raises Foreign when the checkout is not this order's,
    though not for a copy of another's.
    https://docs.stripe.com/checkout/fulfillment
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
    """End an order that was not paid and give its seats back; one that has ended stays as it is."""
    if ledger.balance_of(session, order).state.undecided:
        record(session, order, kind, cause, reason=reason)
        if reason == ELSEWHERE:
            order.session_url = None  # where it was to be paid is no page of this account
        holds.release(session, order)
        if kind == OrderEventKind.FAILED:  # days after the buyer was through with Stripe's page
            outbox.enqueue_for_order(session, MailKind.FAILED, order)


def _fail_copy(session: AnySession, order: Order, checkout: Checkout, cause: str) -> None:
    """Tell the buyer, who was through days ago, once."""
    number = record(session, order, OrderEventKind.COPY_FAILED, cause, subject=checkout.id)
    if number is not None:
        outbox.enqueue_for_order(session, MailKind.FAILED, order, number)


def erase(session: AnySession, theirs: Sequence[Order], own_seats: Sequence[Enrollment]) -> None:
    """Take a person out of orders and seats; what was sold, and for how much, stays."""
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
    """Return the order that this payment is of, or a duplicate of: no other concerns it."""
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
    """Return what is asked for an order, in words; the tax that Stripe adds is not known yet."""
    amount = money.display(order.amount, order.currency)
    added = order.checkout_options.get("tax_behavior") == "exclusive"
    return f"{amount} plus tax" if added else amount


def paid_session(session: AnySession, order: Order) -> str | None:
    """Return Stripe's id of the Checkout Session that was paid, None before that."""
    query = select(OrderEvent).where(
        OrderEvent.order_id == order.id, OrderEvent.kind == OrderEventKind.PAID
    )
    paid = session.scalar(query)
    return (paid.stripe_id or order.session_id) if paid else None


def recoverable(order: Order) -> bool:
    """Tell whether the order has run out and can be taken up again, or was, by a copy."""
    ended = order.state == OrderState.EXPIRED and "recovery" in order.checkout_options
    return bool(ended and order.email) and now() < order.session_until + RECOVERABLE


def enrollments(session: AnySession, order: Order) -> Sequence[Enrollment]:
    """Return who has each of the seats that the order has paid for, in their order."""
    query = select(Enrollment).where(Enrollment.order_id == order.id, Enrollment.ended_at.is_(None))
    return session.scalars(query.order_by(Enrollment.seat)).all()


def _require_own(session: AnySession, order: Order, checkout: Checkout) -> None:
    # What it sold, and for how much, is Stripe's to say: the desk shows when that is not the price.
    own = checkout.id == order.session_id or checkout.recovered_from is not None
    named = (checkout.reference, checkout.currency) == (order.token, order.currency)
    if not (own and named and identity.is_ours(session, checkout.site)):
        raise ForeignCheckout(f"checkout {checkout.id} is not what order {order.id} asked for")


def _pay(session: AnySession, order: Order, checkout: Checkout, cause: str) -> None:
    order.payment_intent = checkout.payment_intent
    seated = (
        session.get(Hold, order.id) is not None
        or not identity.counting(session, order)  # it takes no seat from anybody
        or _seats_again(session, order)
    )
    record(
        session, order, OrderEventKind.PAID, cause, stripe_id=checkout.id,
        amount_subtotal=checkout.amount_subtotal, amount_discount=checkout.amount_discount,
        amount_tax=checkout.amount_tax, amount_total=checkout.amount_total,
    )  # fmt: skip
    if not seated:
        record(session, order, OrderEventKind.UNSEATED, cause)
        refunds.return_late(session, order)
        waiting_list.keep_place(session, order)
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


def _seats_again(session: AnySession, order: Order) -> bool:
    """Tell whether the seats that were given back are still free, and let nobody else take them."""
    return seats.lock_and_count(session, order.course, order.cohort) >= order.seats
