"""Loads an order for its page, and handles the page's forms."""

import time
from datetime import timedelta
from logging import ERROR, WARNING
from typing import Final

import structlog
from flask import Response, abort, g, make_response, render_template, request
from werkzeug.utils import redirect
from werkzeug.wrappers import Response as AnyResponse

from crossroads import current
from crossroads.content import Cohort, schedule
from crossroads.fulfillment import settlement
from crossroads.leads import waiting_list
from crossroads.middleware import rate_limits
from crossroads.middleware.rate_limits import TooMany
from crossroads.middleware.security import policy_with_payment
from crossroads.orders import enrollments, ledger, participants
from crossroads.orders import lifecycle as orders
from crossroads.orders.ledger import Balance
from crossroads.orders.lifecycle import ForeignCheckout
from crossroads.payments import (
    WHOLE_REQUEST,
    Gateway,
    PaymentsRefused,
    PaymentsUnavailable,
    is_our_fault,
)
from crossroads.web import order_view
from crossroads.web.forms import ParticipantForm
from crossroads.web.order_view import OrderView, RejectedNames, SeatsView, Trouble
from models import Order, db, now, personal_data
from models.order import OrderEventKind, OrderState

# Seconds until a waiting page refreshes; a page with a form to fill in does not.
AGAIN: Final = {"open": 30, "pending": 120, "look": 10}
AGAIN_WAITING: Final = 2
LATE_SECONDS: Final = 15.0  # within which the payment page opens: later the page says so
WAITING_SECONDS: Final = 120.0  # how long a page waits for it
DONE: Final = ("named", "invited")

log = structlog.get_logger()


def show(
    order: Order,
    *,
    trouble: Trouble = "",
    rejected: RejectedNames | None = None,
    waited: float | None = None,
    status: int = 200,
) -> Response:
    """Return the page, after asking Stripe about a payment that may still arrive.

    `waited` is for how many seconds the buyer has waited for the payment page, if at all.
    """
    order = detach(order)
    confirming = False  # a copy of a checkout that has run out was paid, and its money comes later
    failed = trouble != ""  # what was asked for, and not only the look at Stripe
    try:
        if not trouble and order.session_id is not None and state(order).undecided:
            count_look(order)
            settlement.follow(db.engine, gateway(), order.id, order.session_id, "order page")
        elif not trouble and orders.recoverable(order):
            count_look(order)
            confirming = settlement.find_duplicates(db.engine, gateway(), order, "order page")
    except (TooMany, PaymentsUnavailable, PaymentsRefused, ForeignCheckout) as error:
        # The page shows the stored state; the worker keeps asking Stripe.
        level = ERROR if is_our_fault(error) else WARNING
        log.log(level, "order page not fresh", order=order.id, error=str(error))
        trouble = "look"
    order = find(order.token)  # as it is after Stripe was asked
    page = render_template(
        "checkout/order.html",
        view=_view(
            order,
            trouble,
            confirming=confirming,
            waited=waited,
            rejected=rejected or RejectedNames(),
        ),
        noindex=True,
    )
    answer = private(page, 503 if failed else status)
    answer.headers["Referrer-Policy"] = "no-referrer"
    return answer


def _view(
    order: Order,
    trouble: Trouble,
    *,
    confirming: bool,
    waited: float | None,
    rejected: RejectedNames,
) -> OrderView:
    balance = ledger.balance_of(db.session, order)
    confirming = confirming and not balance.paid
    events = ledger.events(db.session, order)
    unseated = any(event.kind == OrderEventKind.UNSEATED for event in events)
    cohort = cohort_of(order)
    receipt = enrollments.of_order(db.session, order) if balance.paid else None
    minutes = -((now() - order.session_until) // timedelta(minutes=1))  # rounded up
    waiting = waited is not None
    return OrderView(
        order=order,
        course=current.content().course(order.course),
        cohort=cohort,
        first_meeting=next(iter(schedule.meetings(cohort)), None) if cohort else None,
        state=order_view.state_of(
            balance,
            unseated=unseated,
            trouble=trouble,
            waiting=waiting,
            confirming=confirming,
            over=minutes <= 0 and not order.session_id,
        ),
        trouble=trouble,
        balance=balance,
        receipt=receipt,
        paid_at=schedule.local(cohort, receipt.paid_at) if receipt else None,
        seats=_seats(order, balance, cohort, rejected),
        minutes=minutes,
        total=orders.total(order),
        typed=[(name, getattr(order, name)) for name in personal_data.typed(Order)],
        confirming=confirming,
        late=waited is not None and waited >= LATE_SECONDS,
        waits=unseated and waiting_list.of_buyer(db.session, order) is not None,
        recovery=order.session_url if orders.recoverable(order) else None,
        refresh=AGAIN_WAITING
        if waiting
        else AGAIN.get("pending" if confirming else trouble or balance.state),
        refresh_query=f"?pay={request.args['pay']}" if waiting else "",
        refresh_stopped="still" in request.args,
    )


def _seats(
    order: Order, balance: Balance, cohort: Cohort | None, rejected: RejectedNames
) -> SeatsView:
    each = participants.seats_of(db.session, order) if balance.paid else ()
    past = cohort is not None and schedule.state(cohort, now()) == "over"
    done = request.args.get("done", "")
    return SeatsView(
        each=each,
        forms={seat.number: rejected.forms.get(seat.number) or seat_form(seat) for seat in each},
        notices=rejected.notices,
        done=done if done in DONE else "",
        changeable=balance.access == "given" and not past,
        locked=participants.locked(cohort, now()),
        past=past,
    )


def seat_form(seat: participants.Seat) -> ParticipantForm:
    """Return the form for a seat, with its present participant if there is one."""
    known = {"name": seat.participant.name, "email": seat.participant.email}
    return ParticipantForm(formdata=None, prefix=f"seat{seat.number}", data=known)


def private(page: str, status: int) -> Response:
    """Return a page that no cache keeps and whose forms may lead to the pay page."""
    answer = make_response(page, status, {"Cache-Control": "no-store"})
    policy = policy_with_payment(current.settings().pay_page_origins)
    answer.headers["Content-Security-Policy"] = policy
    return answer


def seconds_waited(since: str) -> float | None:
    """Return for how many seconds a buyer has waited for the payment page, or None.

    `since` is what the page's address says, in seconds since 1970. After some time nobody is sent
    on from there, as it may be a page that a browser goes back to.
    """
    seconds = time.time() - int(since) if since.isdecimal() and len(since) < 12 else -1
    return seconds if 0 <= seconds < WAITING_SECONDS else None


def redirect_without_referer(address: str) -> AnyResponse:
    """Redirect without a Referer: this page's address holds a token."""
    answer = redirect(address, 303)
    answer.headers["Referrer-Policy"] = "no-referrer"
    answer.headers["Cache-Control"] = "no-store"
    return answer


def count_look(order: Order) -> None:
    """Count a question to Stripe about an order. Raises TooMany."""
    rate_limits.count((current.settings().order_look_limit, "order looks", order.token))


def find(token: str) -> Order:
    """Return the order with this token, or answer 404."""
    found = orders.find(db.session, token)
    if found is None:
        abort(404)
    return found


def cohort_of(order: Order) -> Cohort | None:
    """Return the cohort that an order is for, or None when it has left the content."""
    course = current.content().course(order.course)
    return course.cohort(order.cohort) if course else None


def state(order: Order) -> OrderState:
    """Return the stored state of the order; no transaction is left open."""
    found = ledger.balance_of(db.session, order).state
    db.session.rollback()
    return found


def detach(order: Order) -> Order:
    """Detach the order from the session and end the transaction, before Stripe is called."""
    if order in db.session:
        db.session.refresh(order)
        db.session.expunge(order)
    db.session.rollback()
    return order


def gateway() -> Gateway:
    """Return the gateway for this request: however often it asks, its page is there in time."""
    if "gateway" not in g:
        whole = current.gateway()
        g.gateway = whole.with_time_limit(WHOLE_REQUEST)
    found: Gateway = g.gateway
    return found
