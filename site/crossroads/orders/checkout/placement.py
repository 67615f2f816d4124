"""Place an order, and attach the checkout that Stripe made for it."""

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
    """Fewer seats are left than were asked for: `left` of them."""

    def __init__(self, left: int) -> None:
        super().__init__(f"{left} seats left")
        self.left = left


class HasOpenCheckout(OrderError):
    """The order can be placed once the one that it replaces has ended: `order`."""

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


def _item(course: Course, cohort: Cohort) -> str:
    return f"{course.title}, {cohort.title or cohort.code}"[:250]
