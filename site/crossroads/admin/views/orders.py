"""Orders at the desk: list, disputes, one order, refunds, export."""

import structlog
from flask import (
    Response,
    abort,
    flash,
    redirect,
    render_template,
    request,
    url_for,
)
from werkzeug.wrappers import Response as AnyResponse

from crossroads import current, money
from crossroads.admin import access, download, order_record
from crossroads.admin.forms import OrderFilterForm, RefundForm
from crossroads.admin.list_view import ListView
from crossroads.database import identity
from crossroads.fulfillment import repayments, settlement
from crossroads.orders import disputes as order_disputes
from crossroads.orders import ledger, listing, refunds, seats
from crossroads.orders.checkout import lost_checkouts
from crossroads.orders.ledger import Balance
from crossroads.orders.lifecycle import enrollments, paid_session
from crossroads.orders.listing import ORDERS, OrderFilter
from crossroads.orders.refunds import RefundError
from crossroads.payments import WHOLE_REQUEST, PaymentsError
from models import Order, db, now, writing
from models.site import TEST
from models.stripe_words import RefundStatus

bp = access.blueprint("admin_orders", roles=access.MONEY_ROLES)

log = structlog.get_logger()


@bp.get("/orders")
def orders() -> str:
    at = now()
    courses = listing.courses(db.session, current.content())
    listed = ListView(ORDERS, OrderFilterForm(courses), access.ORDERS)
    return render_template(
        "admin/orders.html",
        list=listed,
        active_disputes=len(order_disputes.open_cases(db.session)),
        overbooked=seats.overbooked(db.session, current.content().courses, at),
        others=identity.count_excluded(db.session, TEST),
        lost=len(lost_checkouts.awaiting_staff(db.session)),
        at=at,
        standings=listing.standings(db.session, listed.shown.rows),
        cohorts=dict(courses),
        money=money.display,
    )


@bp.get("/orders/disputes")
def disputes() -> str:
    """List disputes and inquiries, the nearest response deadline first."""
    cases = order_disputes.open_cases(db.session), order_disputes.closed_cases(db.session)
    return render_template(
        "admin/disputes.html",
        open=cases[0],
        closed=cases[1],
        payment_page=current.gateway().payment_page,
        at=now(),
        money=money.display,
    )


@bp.get("/orders/<int:order_id>")
def order(order_id: int) -> str:
    found = _find(order_id)
    course = current.content().course(found.course)
    gateway = current.gateway()
    return render_template(
        "admin/order.html",
        order=found,
        record=order_record.load(db.session, found),
        cohort=course.cohort(found.cohort) if course else None,
        at=now(),
        payment=gateway.payment_page(found.payment_intent) if found.payment_intent else None,
        payment_page=gateway.payment_page,
        money=money.display,
    )


@bp.get("/orders/<int:order_id>/invoice")
def invoice(order_id: int) -> AnyResponse:
    """Redirect to the invoice's current address at Stripe."""
    found = _find(order_id)
    session_id = paid_session(db.session, found)
    if session_id is None or not found.checkout_options.get("invoices"):
        abort(404)
    db.session.rollback()
    try:
        page = settlement.invoice_page(current.gateway().with_time_limit(WHOLE_REQUEST), session_id)
    except PaymentsError as error:
        log.warning("invoice not found", order=order_id, error=str(error))
        page = None
    if page is None:
        flash("The invoice is not there yet, or Stripe does not answer. Try again later.", "warn")
    return redirect(page or url_for(".order", order_id=order_id), 303)


@bp.get("/orders/<int:order_id>/refund")
def ask_refund(order_id: int) -> AnyResponse:
    """Ask what to refund; then show the amount and ask for confirmation."""
    found = _find(order_id)
    balance = ledger.balance_of(db.session, found)
    if not balance.refundable:
        return redirect(url_for(".order", order_id=order_id), 303)
    form = RefundForm(found, balance)
    return _refund_page(found, balance, form, chosen="what" in request.args and form.validate())


@bp.post("/orders/<int:order_id>/refund")
def refund(order_id: int) -> AnyResponse:
    """Note the refund, then have Stripe make it: two transactions, with the calls between."""
    writing(db.session)
    found = ledger.lock(db.session, _find(order_id).id)
    balance = ledger.balance_of(db.session, found)
    if not balance.refundable:
        return redirect(url_for(".order", order_id=order_id), 303)
    form = RefundForm(found, balance)
    if form.number.data != str(
        refunds.next_number(found, balance)
    ):  # the button may have been pressed twice
        flash("A refund was asked for since: see below, before you ask for another.", "warn")
        return redirect(url_for(".order", order_id=order_id), 303)
    if not form.validate():
        return _refund_page(found, balance, form, status=422)
    cause = f"desk, user {access.signed_in().id}"
    try:
        amount, _ = refunds.price(found, balance, form.seats, form.sum)
        if str(amount) != form.returns.data:  # something was refunded since the page was opened
            return _refund_page(found, balance, form, chosen=True, status=409)
        refunds.request(
            db.session,
            order_id,
            cause,
            seats=form.seats,
            amount=form.sum,
            wanted=form.seat.data if form.seats else (),
        )
    except RefundError:
        return _refund_page(found, balance, form, chosen=True, status=422)
    db.session.commit()
    log.info("refund asked for", order=order_id, user=access.signed_in().id)
    try:
        gateway = current.gateway().with_time_limit(WHOLE_REQUEST)
        repayments.settle_payment(db.engine, gateway, order_id, cause)
    except PaymentsError as error:
        log.warning("refund not answered", order=order_id, error=str(error))
        flash("Stripe does not answer. The refund is noted, and the worker asks again.", "warn")
    else:
        flash("Stripe has answered: see below how the refund stands.", "ok")
    return redirect(url_for(".order", order_id=order_id), 303)


@bp.post("/orders/<int:order_id>/refunds")
def acknowledge_failure(order_id: int) -> AnyResponse:
    """Note what staff did about a refund that failed."""
    writing(db.session)
    status = RefundStatus.known(request.form.get("status", ""))
    if status not in (RefundStatus.ELSEWHERE, RefundStatus.DISMISSED):
        abort(400)
    number, who = _find(order_id).id, access.signed_in().id
    try:
        refunds.acknowledge_failure(
            db.session, number, request.form.get("refund", ""), status, f"desk, user {who}"
        )
    except RefundError as error:
        flash(f"Nothing was noted: {error}.", "warn")
    else:
        db.session.commit()
        log.info("failed refund seen to", order=order_id, user=who, status=status)
        flash("That is noted.", "ok")
    return redirect(url_for(".order", order_id=order_id), 303)


@bp.post("/orders/export")
def export_orders() -> Response:
    return download.send(listing.SHEET, OrderFilter.read(request.form))


def _refund_page(
    order: Order, balance: Balance, form: RefundForm, *, chosen: bool = False, status: int = 200
) -> Response:
    price: tuple[int, int] | None = None
    numbers: tuple[int, ...] = ()
    refusal = ""
    if chosen:
        try:
            amount, taken = refunds.price(order, balance, form.seats, form.sum)
            wanted = form.seat.data if form.seats else ()
            numbers = refunds.choose(db.session, order, balance, taken, wanted)
            price = amount, taken
            form.returns.data = str(amount)
            form.number.data = str(refunds.next_number(order, balance))
        except RefundError as error:
            refusal = str(error)
    page = render_template(
        "admin/refund.html",
        order=order,
        balance=balance,
        form=form,
        price=price,
        numbers=numbers,
        seated={one.seat: one for one in enrollments(db.session, order)},
        refusal=refusal,
        money=money.display,
    )
    return Response(page, 422 if refusal else status)


def _find(order_id: int) -> Order:
    found = ORDERS.find(db.session, order_id)
    if found is None:
        abort(404)
    return found
