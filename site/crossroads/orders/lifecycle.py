"""Orders: place, fulfill, end. The only code that changes an order or what it holds."""

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import select

from crossroads import money
from crossroads.content import Cohort, Course
from crossroads.database import identity, page_cache_version
from crossroads.leads import waiting_list
from crossroads.mail import outbox
from crossroads.mail.addresses import Address
from crossroads.mail.kinds import MailKind
from crossroads.orders import duplicate_payments, ledger, refunds, seats
from crossroads.orders.checkout import holds, queue, requests
from crossroads.orders.checkout.holds import HoldLimits
from crossroads.orders.ledger import lock, record
from crossroads.payments import Checkout, Options, Purchase
from models import Enrollment, Hold, Order, OrderEvent, now, personal_data
from models.base import AnySession
from models.order import ELSEWHERE, OrderEventKind, OrderState

# Stripe refuses less than 30 minutes by its own clock, and ours may be some minutes slow.
# https://docs.stripe.com/api/checkout/sessions/create#create_checkout_session-expires_at
CHECKOUT_MINUTES = 35
# How long Stripe makes copies of a checkout that has run out.
# https://docs.stripe.com/payments/checkout/abandoned-carts
RECOVERABLE = timedelta(days=30)


class OrderError(Exception):
    """An order that cannot be placed."""


class SoldOut(OrderError):
    """Fewer seats are left than were asked for: `left` of them."""

    def __init__(self, left: int) -> None:
        super().__init__(f"{left} seats left")
        self.left = left


class HasOpenCheckout(OrderError):
    """The order can be placed once the one that it replaces has ended: `order`."""

    def __init__(self, order: Order) -> None:
        super().__init__(f"order {order.id} is open")
        self.order = order


class ForeignCheckout(Exception):
    """A checkout that is not what the order asked for: nothing is done on its word."""


def place(
    session: AnySession,
    course: Course,
    cohort: Cohort,
    *,
    request_key: str,
    address: Address,
    name: str,
    number: int,
    network: str,
    limits: HoldLimits,
    replaced: str = "",
    live: bool = False,
) -> Order:
    """Take `number` seats off the offer for an order at the price of the content as it is now.

    `live` tells whether the key moves real money: an order of another mode than the database's
    takes no seat.

    The same request again returns the order that it made, unless that was canceled. One of the
    buyer's that has the token `replaced`, or that the same form made, is replaced: it is to end
    first. Raises SoldOut, TooManyHeld, and when neither holds, Replaces for such an order.
    """
    raised = identity.raise_to_live(session, live=live)
    mode = identity.admit(session, live=live)
    seats.lock(session, course, cohort)
    if raised:
        page_cache_version.advance(session)
    again = requests.find_made(session, request_key)
    if again is not None:
        return again
    older = requests.older(session, course, request_key, replaced)
    left = seats.seats_left(session, course, cohort)
    if older is not None and older.cohort == cohort.code:
        left += older.seats
    if number > left:
        raise SoldOut(max(left, 0))
    order = Order(
        course=course.slug,
        cohort=cohort.code,
        email=address.typed,
        email_key=address.key,
        address_hash=address.hash,
        name=name,
        item=_item(course, cohort),
        seats=number,
        unit_amount=course.price.amount,
        currency=course.price.currency,
        checkout_options=course.checkout.model_dump(exclude_defaults=True),
        session_until=now() + timedelta(minutes=CHECKOUT_MINUTES),
        request_key=requests.fresh_key(session, request_key),
        mode=mode,
        cohort_starts=cohort.starts,
        cohort_ends=cohort.ends,
        cohort_timezone=cohort.timezone,
    )
    holds.require_room(session, limits, order, network, older)
    if older is not None:
        raise HasOpenCheckout(older)
    session.add(order)
    session.flush()
    if identity.counting(session, order):
        holds.take(session, order, network)
    record(session, order, OrderEventKind.PLACED, "buyer")
    return order


def purchase(order: Order, base_url: str, site_id: str) -> Purchase:
    """Return what Stripe is asked for: always the same, under one key as long as it is good."""
    return Purchase(
        reference=order.token,
        site=site_id,
        number=order.id,
        course=order.course,
        cohort=order.cohort,
        key=f"order-{order.token}-{order.attempt}",
        email=order.email,
        item=order.item,
        unit_amount=order.unit_amount,
        currency=order.currency,
        quantity=order.seats,
        return_url=f"{base_url}/orders/{order.token}",
        terms_url=f"{base_url}/terms",
        expires_at=order.session_until,
        options=Options(**order.checkout_options),
    )


def retry_with_new_key(session: AnySession, order_id: int, attempt: int) -> None:
    """Ask under a new key from now on, as Stripe keeps a failure under that of the attempt."""
    order = lock(session, order_id)
    if order.attempt == attempt:
        order.attempt += 1


def attach(session: AnySession, order_id: int, checkout: Checkout) -> Order:
    """Store the checkout that was made for the order; from here on no other may fulfill it.

    Its reference alone does not tell it: anyone adds one to the address of a payment link.
    https://docs.stripe.com/payment-links/url-parameters
    """
    identity.greet(session, order_id, checkout.site, live=checkout.live)
    order = lock(session, order_id)
    ours = checkout.reference == checkout.made_for == order.token and identity.is_ours(
        session, checkout.site
    )
    if order.session_id is None and ours:
        order.session_id = checkout.id
        order.session_url = checkout.url
        identity.set_mode(session, order, live=checkout.live)
    queue.remove(session, order_id)
    return order


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


def _item(course: Course, cohort: Cohort) -> str:
    return f"{course.title}, {cohort.title or cohort.code}"[:250]


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
