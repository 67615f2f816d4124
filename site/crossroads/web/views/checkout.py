"""From the course page to Stripe and back: order summary, checkout and order page."""

import time
from logging import ERROR, WARNING
from secrets import token_urlsafe
from typing import Final

import structlog
from flask import (
    Blueprint,
    Response,
    abort,
    render_template,
    request,
)
from werkzeug.utils import redirect
from werkzeug.wrappers import Response as AnyResponse

from crossroads import current, money
from crossroads.content import Course
from crossroads.fulfillment import checkouts, settlement
from crossroads.mail import addresses, domain_hints
from crossroads.middleware import rate_limits
from crossroads.middleware.rate_limits import client_network
from crossroads.middleware.security import refuse_cross_site
from crossroads.orders import lifecycle as orders
from crossroads.orders import seats
from crossroads.orders.checkout import placement, queue, requests
from crossroads.orders.checkout.holds import HoldLimits, TooManyHeld
from crossroads.orders.checkout.placement import HasOpenCheckout, SoldOut
from crossroads.orders.lifecycle import ForeignCheckout
from crossroads.orders.seats import CohortAvailability
from crossroads.payments import (
    PaymentsRefused,
    PaymentsUnavailable,
    TooManyCalls,
    is_our_fault,
    why,
)
from crossroads.web import order_page, signup_form
from crossroads.web.forms import SEATS_AT_ONCE, EnrollForm, SignupForm
from crossroads.web.order_view import Trouble
from crossroads.web.signup_form import Signup, WaitingForm
from models import Order, db, now, writing
from models.order import OrderState

bp = Blueprint("checkout", __name__)

log = structlog.get_logger()

# What the order's page says of a payment page that was not opened, by what payments.why says.
UNOPENED: Final[dict[str, Trouble]] = {"away": "pay", "refused": "refused", "ours": "ours"}


@bp.get("/courses/<slug>/enroll")
def ask(slug: str) -> Response:
    course = _course(slug)
    form = EnrollForm(
        formdata=None, cohort=request.args.get("cohort"), request_key=token_urlsafe(24)
    )
    return _summary(course, form)


@bp.post("/courses/<slug>/enroll")
def enroll(slug: str) -> AnyResponse:
    """Take the seats, then send the buyer to Stripe: two transactions, with the call between.

    Raises TooMany.
    """
    course = _course(slug)
    form = EnrollForm()
    if form.action.data == "change":  # the order page asks for the form, and nothing is done yet
        form.request_key.data = token_urlsafe(24)
        return _summary(course, form)
    refuse_cross_site(current.settings().base_url)
    # Full ones too: the last place may be held by the very order that this form has made before.
    form.cohort.choices = _choices(_places(course))
    db.session.rollback()  # what was read above may not stand before what is written below
    if not form.validate():
        return _summary(course, form, 422)
    if form.amount.data and form.amount.data != str(course.price.amount * int(form.seats.data)):
        # The number of seats or the price has changed since the button was labeled: nobody is
        # sent on to pay an amount that was not shown.
        return _summary(course, form, 200, notice="total")
    try:
        placed = _place(course, form)
    except SoldOut as error:
        return _summary(course, form, 409, notice="full", left=error.left)
    except TooManyHeld:
        return _summary(course, form, 429, notice="held")
    except TooManyCalls:  # Stripe was not asked: the earlier order is as it was
        log.warning("older order not ended", error="crowded")
        return _summary(course, form, 503, notice="busy")
    except (PaymentsUnavailable, PaymentsRefused, ForeignCheckout) as error:
        fault = is_our_fault(error)
        log.log(ERROR if fault else WARNING, "older order not ended", error=str(error))
        return _summary(course, form, 503, notice="ours" if fault else "away")
    if placed is None:
        return _summary(course, form, 409, notice="paid")
    return _to_stripe(placed)


@bp.get("/orders/<token>")
def order(token: str) -> AnyResponse:
    """Show the order's state, after asking Stripe: reloading the page is safe.

    A buyer who waits for the payment page, and nobody else, is sent on to it once it is made.
    """
    found = order_page.find(token)
    waited = order_page.seconds_waited(request.args.get("pay", ""))
    if waited is None or order_page.state(found) != "open":
        return order_page.show(found)
    job = queue.find(db.session, found.id)
    db.session.refresh(found)  # after that look: the worker may just have made it
    if found.session_url is not None:
        return order_page.redirect_without_referer(found.session_url)
    if job is None or job.trouble:  # the worker has given up
        return order_page.show(found, trouble=UNOPENED[job.trouble if job else "away"])
    return order_page.show(found, waited=waited)


@bp.post("/orders/<token>")
def act(token: str) -> AnyResponse:
    """Go on to pay, or cancel an order that is not paid. Raises TooMany."""
    # Anyone with the address may act: the page that was sent to it is of no other site. (Its
    # referrer policy has older browsers send no Origin, so there is nothing to look at either.)
    found = order_page.detach(order_page.find(token))
    rate_limits.count((current.settings().order_look_limit, "order", found.token))
    if request.form.get("action") == "cancel":
        try:
            _cancel(found, "buyer")
        except (PaymentsUnavailable, PaymentsRefused, ForeignCheckout) as error:
            log.warning("order not canceled", order=found.id, error=str(error))
            return order_page.show(found, trouble="cancel")
        return redirect(f"/orders/{token}", 303)
    return _to_stripe(found)


@bp.get("/orders/<token>/invoice")
def invoice(token: str) -> AnyResponse:
    """Redirect to the invoice's current address at Stripe. Raises TooMany."""
    found = order_page.find(token)
    session_id = orders.paid_session(db.session, found)
    if session_id is None or not found.checkout_options.get("invoices"):
        abort(404)
    found = order_page.detach(found)
    order_page.count_look(found)
    try:
        page = settlement.invoice_page(order_page.gateway(), session_id)
    except (PaymentsUnavailable, PaymentsRefused) as error:
        log.warning("invoice not found", order=found.id, error=str(error))
        page = None
    if page is None:
        return order_page.show(found, trouble="invoice")
    answer = redirect(page, 303)
    answer.headers["Referrer-Policy"] = "no-referrer"
    answer.headers["Cache-Control"] = "no-store"
    return answer


def _place(course: Course, form: EnrollForm) -> Order | None:
    """Place the order; the one that it replaces is ended first.

    None when that one turns out to be paid: then it is not a new one that is wanted.
    """
    cohort = course.cohort(form.cohort.data)
    assert cohort is not None  # noqa: S101 - the form offers no other
    settings = current.settings()
    address = addresses.parse(form.email.data, settings.suppression_key)
    request_key = _request_key(form)
    known = requests.find_order(db.session, request_key)
    known_token = known.token if known else ""
    db.session.rollback()
    if known_token:  # no other order, and perhaps another call to Stripe
        rate_limits.count((settings.order_look_limit, "order", known_token))
    else:
        rate_limits.count(
            (settings.order_limit, "orders", client_network()),
            (settings.order_address_limit, "orders of an address", address.hash),
        )
    while True:
        writing(db.session)
        try:
            placed = placement.place(
                db.session,
                course,
                cohort,
                request_key=request_key,
                address=address,
                name=form.name.data,
                number=int(form.seats.data),
                network=client_network(),
                limits=_held_seats(),
                replaced=form.replaces.data or "",
                live=order_page.gateway().live,
            )
            db.session.commit()
            return placed
        except HasOpenCheckout as error:
            older = error.order
            db.session.expunge(older)
            db.session.rollback()
        state = _cancel(older, "a new order of the buyer")
        if state not in ("expired", "failed", "canceled"):
            return None


def _cancel(order: Order, cause: str) -> OrderState:
    """End an unpaid order at Stripe and here. Raises as checkouts.cancel does."""
    base_url = current.settings().base_url
    return checkouts.cancel(db.engine, order_page.gateway(), order, base_url, cause)


def _to_stripe(order: Order) -> AnyResponse:
    """Send the buyer to the order's checkout, made now if it was not, while it can be paid.

    When as many wait for Stripe as may, the worker makes it and the order's page waits for it.
    """
    detached = order_page.detach(order)
    if order_page.state(detached) != "open":
        return redirect(f"/orders/{detached.token}", 303)
    url = detached.session_url
    if url is None:
        try:
            checkout = checkouts.open_checkout(
                db.engine, order_page.gateway(), detached, current.settings().base_url
            )
            url = checkout.url
        except TooManyCalls:
            return _queue(detached)
        except (PaymentsUnavailable, PaymentsRefused) as error:
            level = ERROR if is_our_fault(error) else WARNING
            log.log(level, "checkout not opened", order=detached.id, error=str(error))
            return order_page.show(detached, trouble=UNOPENED[why(error)])
    return order_page.redirect_without_referer(url or f"/orders/{detached.token}")


def _queue(order: Order) -> AnyResponse:
    writing(db.session)
    queue.add(db.session, order.id)
    db.session.commit()
    log.info("checkout queued", order=order.id)
    return order_page.redirect_without_referer(f"/orders/{order.token}?pay={int(time.time())}")


def _summary(
    course: Course, form: EnrollForm, status: int = 200, *, notice: str = "", left: int = 0
) -> Response:
    places = _places(course)
    form.cohort.choices = _choices([one for one in places if one.state != "full"])
    codes = [code for code, _ in form.cohort.choices]
    wanted = next((one for one in places if one.cohort.code == form.cohort.data), None)
    full = wanted if wanted and wanted.state == "full" else None
    if full and form.cohort.errors:
        notice = notice or "full"  # it was not, when the form was opened
    if full is None and places and not codes:
        full = places[0]
    if request.method == "GET" and form.cohort.data not in codes:
        form.cohort.data = codes[0] if codes else None
    number = int(form.seats.data) if not form.seats.errors and form.seats.data.isdecimal() else 1
    amount = course.price.amount * number
    form.amount.data = str(amount)
    page = render_template(
        "checkout/enroll.html",
        course=course,
        form=form,
        places=places,
        full=full,
        to_wait=_to_wait(course, wanted if notice == "full" and wanted else full, form),
        notice=notice,
        held_seats=_held_seats(),
        left=left,
        number=number,
        suggestion=domain_hints.suggest(form.email.data or ""),
        total=money.display(amount, course.price.currency),
        totals=[
            money.display(course.price.amount * seats, course.price.currency)
            for seats in range(1, SEATS_AT_ONCE + 1)
        ],
        noindex=True,
    )
    return order_page.private(page, status)


def _held_seats() -> HoldLimits:
    settings = current.settings()
    return HoldLimits(
        per_address=settings.held_seats_per_address, per_network=settings.held_seats_per_network
    )


def _to_wait(
    course: Course, place: CohortAvailability | None, form: EnrollForm
) -> WaitingForm | None:
    """Return the form for the waiting list of dates that cannot be bought, with what was typed."""
    if place is None:
        return None
    typed = {"email": form.email.data, "name": form.name.data}
    return signup_form.waiting_form(
        course, place, Signup(form=SignupForm(formdata=None, data=typed))
    )


def _places(course: Course) -> list[CohortAvailability]:
    """Return the cohorts that have not started, including full ones."""
    return [one for one in seats.availabilities(db.session, course, now()) if one.state != "past"]


def _choices(places: list[CohortAvailability]) -> list[tuple[str, str]]:
    return [(one.cohort.code, one.cohort.title or "") for one in places]


def _request_key(form: EnrollForm) -> str:
    """Return one key for the same form with the same words in it, however often it is sent.

    Its first half names the form: a buyer who comes back to it from the payment page and asks for
    something else replaces the order that was made with it.
    """
    typed = [form[name].data or "" for name in ("cohort", "seats", "name", "email")]
    return requests.key(form.request_key.data or token_urlsafe(24), "\0".join(typed))


def _course(slug: str) -> Course:
    course = current.content().course(slug)
    if course is None:
        abort(404)
    return course
