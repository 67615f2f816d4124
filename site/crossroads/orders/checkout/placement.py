"""Places an order, and stores the checkout that Stripe created for it."""

from datetime import timedelta

from crossroads.content import Cohort, Course
from crossroads.database import identity, page_cache_version
from crossroads.mail.addresses import Address
from crossroads.orders import seats
from crossroads.orders.checkout import holds, queue, requests
from crossroads.orders.checkout.holds import HoldLimits
from crossroads.orders.ledger import lock, record
from crossroads.payments import Checkout, Options, Purchase
from models import Order, now
from models.base import AnySession
from models.order import OrderEventKind

# Stripe refuses less than 30 minutes by its own clock, and ours may be some minutes slow.
# https://docs.stripe.com/api/checkout/sessions/create#create_checkout_session-expires_at
CHECKOUT_MINUTES = 35


class OrderError(Exception):
    """An order that cannot be placed."""


class SoldOut(OrderError):
    """Fewer seats are left than requested: `left`."""

    def __init__(self, left: int) -> None:
        super().__init__(f"{left} seats left")
        self.left = left


class HasOpenCheckout(OrderError):
    """The `order` that the new one replaces is still open, and has to end first."""

    def __init__(self, order: Order) -> None:
        super().__init__(f"order {order.id} is open")
        self.order = order


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
    """Place an order for `number` seats at the content's current price, and hold the seats.

    `live`: the key moves real money. An order in another mode than the database's takes no seat.

    A repeated request returns the order that it created, unless that was canceled. The new order
    replaces the buyer's order with the token `replaced`, or from the same form: that one has to end
    first. Raises SoldOut, TooManyHeld, and otherwise HasOpenCheckout for such an order.
    """
    raised = identity.raise_to_live(session, live=live)
    mode = identity.mode_of_new_order(session, live=live)
    seats.lock(session, course, cohort)
    if raised:
        page_cache_version.advance(session)
    again = requests.find_order(session, request_key)
    if again is not None:
        return again
    older = requests.find_replaced(session, course, request_key, replaced)
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
    """Return the order's parameters for Stripe: the same ones for the same idempotency key."""
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
    """Use a new idempotency key: Stripe would answer the attempt's key with the same failure."""
    order = lock(session, order_id)
    if order.attempt == attempt:
        order.attempt += 1


def attach(session: AnySession, order_id: int, checkout: Checkout) -> Order:
    """Store the checkout that was created for the order: only this one may fulfill it.

    The reference alone proves nothing: anyone can add one to the address of a payment link.
    https://docs.stripe.com/payment-links/url-parameters
    """
    identity.adopt_mode(session, order_id, checkout.site, live=checkout.live)
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


def _item(course: Course, cohort: Cohort) -> str:
    return f"{course.title}, {cohort.title or cohort.code}"[:250]
