"""From the course page to Stripe and back: the order's summary, its start, its page."""

from secrets import token_urlsafe

import structlog
from flask import Blueprint, Response, abort, current_app, make_response, render_template, request
from werkzeug.utils import redirect
from werkzeug.wrappers import Response as AnyResponse

from crossroads import money, orders, seats, settlement
from crossroads.content import Course
from crossroads.forms import EnrollForm
from crossroads.guard import policy_with_payment, refuse_cross_site
from crossroads.limits import client_network
from crossroads.orders import Foreign, Holding, SoldOut, TooManyHolds
from crossroads.payments import Gateway, PaymentsAway, PaymentsRefused
from crossroads.seats import Place
from crossroads.settings import Settings
from crossroads.shelf import current_content
from models import Order, db, now, writing

bp = Blueprint("checkout", __name__)

KEY_LENGTH = 64
log = structlog.get_logger()


@bp.get("/courses/<slug>/enroll")
def ask(slug: str) -> Response:
    course = _course(slug)
    form = EnrollForm(
        formdata=None, cohort=request.args.get("cohort"), request_key=token_urlsafe(24)
    )
    return _summary(course, form)


@bp.post("/courses/<slug>/enroll")
def enroll(slug: str) -> AnyResponse:
    """Take the seats, then send the buyer to Stripe: two transactions, with the call between."""
    refuse_cross_site(_settings().base_url)
    course = _course(slug)
    form = EnrollForm()
    form.cohort.choices = [(place.cohort.code, "") for place in _places(course)]
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
    except TooManyHolds:
        return _summary(course, form, 429, notice="holds")
    except (PaymentsAway, PaymentsRefused) as error:
        log.warning("older order not ended", error=str(error))
        return _summary(course, form, 503, notice="away")
    if placed is None:
        return _summary(course, form, 409, notice="paid")
    return _to_stripe(placed)


@bp.get("/orders/<token>")
def order(token: str) -> Response:
    """Show where the order stands, after a look at what Stripe says: a reload does no harm."""
    return _order_page(_order(token))


@bp.post("/orders/<token>")
def act(token: str) -> AnyResponse:
    """Go on to pay, or cancel an order that is not paid."""
    refuse_cross_site(_settings().base_url)
    found = _order(token)
    if request.form.get("action") == "cancel":
        try:
            settlement.cancel(db.engine, _gateway(), found, _address(found), "buyer")
        except (PaymentsAway, PaymentsRefused) as error:
            log.warning("order not canceled", order=found.id, error=str(error))
            return _order_page(found, trouble=True)
        return redirect(f"/orders/{token}", 303)
    return _to_stripe(found)


def _place(course: Course, form: EnrollForm) -> Order | None:
    """Place the order; an older one that the buyer has open in the cohort is ended first.

    None when that one turns out to be paid: then it is not a new one that is wanted.
    """
    cohort = course.cohort(form.cohort.data)
    assert cohort is not None  # noqa: S101 - the form offers no other
    while True:
        writing(db.session)
        try:
            placed = orders.place(
                db.session,
                course,
                cohort,
                request_key=(form.request_key.data or token_urlsafe(24))[:KEY_LENGTH],
                email=form.email.data,
                name=form.name.data,
                number=int(form.seats.data),
                network=client_network(),
            )
            db.session.commit()
            return placed
        except Holding as error:
            older = error.order
            db.session.expunge(older)
            db.session.rollback()
        state = settlement.cancel(
            db.engine, _gateway(), older, _address(older), "a new order of the buyer"
        )
        if state in ("paid", "pending"):
            return None


def _to_stripe(order: Order) -> AnyResponse:
    """Send the buyer to the order's checkout, made now if it was not, while it can be paid."""
    url = order.session_url
    detached = _detached(order)
    if url is None:
        try:
            address = _address(detached)
            url = settlement.open_checkout(db.engine, _gateway(), detached, address).url
        except (PaymentsAway, PaymentsRefused) as error:
            log.warning("checkout not opened", order=detached.id, error=str(error))
            return _order_page(detached, trouble=True)
    answer = redirect(url or _address(detached), 303)
    answer.headers["Referrer-Policy"] = "no-referrer"
    return answer


def _order_page(order: Order, *, trouble: bool = False) -> Response:
    order = _detached(order)
    if order.session_id is not None and not trouble:
        try:
            settlement.settle(db.engine, _gateway(), order.id, order.session_id, "order page")
        except (PaymentsAway, PaymentsRefused, Foreign) as error:
            # What is known here is shown; the worker goes on asking.
            log.warning("order page not fresh", order=order.id, error=str(error))
            trouble = True
    ledger = orders.events(db.session, order)
    course = current_content().course(order.course)
    page = render_template(
        "checkout/order.html",
        order=order,
        course=course,
        cohort=course.cohort(order.cohort) if course else None,
        state=orders.state(ledger),
        events={event.kind: event for event in ledger},
        enrollments=orders.enrollments(db.session, order),
        trouble=trouble,
        money=money.display,
        noindex=True,
    )
    return _private(page, 503 if trouble and request.method == "POST" else 200)


def _summary(
    course: Course, form: EnrollForm, status: int = 200, *, notice: str = "", left: int = 0
) -> Response:
    places = _places(course)
    form.cohort.choices = [(place.cohort.code, place.cohort.title or "") for place in places]
    if form.cohort.data is None and places:
        form.cohort.data = places[0].cohort.code
    number = int(form.seats.data) if not form.seats.errors and form.seats.data.isdecimal() else 1
    amount = course.price.amount * number
    form.amount.data = str(amount)
    page = render_template(
        "checkout/enroll.html",
        course=course,
        form=form,
        places=places,
        notice=notice,
        left=left,
        number=number,
        total=money.display(amount, course.price.currency),
        noindex=True,
    )
    return _private(page, status)


def _private(page: str, status: int) -> Response:
    answer = make_response(page, status, {"Cache-Control": "no-store"})
    answer.headers["Content-Security-Policy"] = policy_with_payment(_settings().pay_page_origins)
    answer.headers["Referrer-Policy"] = "no-referrer"
    return answer


def _places(course: Course) -> list[Place]:
    """Return the cohorts that can be bought now."""
    found = seats.places(db.session, course, now())
    return [place for place in found if place.state in ("open", "few")]


def _detached(order: Order) -> Order:
    """Return the order free of the session, whose transaction ends: Stripe is asked next."""
    if order in db.session:
        db.session.refresh(order)
        db.session.expunge(order)
    db.session.rollback()
    return order


def _address(order: Order) -> str:
    return f"{_settings().base_url}/orders/{order.token}"


def _order(token: str) -> Order:
    found = orders.find(db.session, token)
    if found is None:
        abort(404)
    return found


def _course(slug: str) -> Course:
    course = current_content().course(slug)
    if course is None:
        abort(404)
    return course


def _gateway() -> Gateway:
    gateway: Gateway = current_app.extensions["crossroads.gateway"]
    return gateway


def _settings() -> Settings:
    settings: Settings = current_app.extensions["crossroads.settings"]
    return settings
