"""Orders and checkouts for tests, made with the functions of the site."""

from dataclasses import replace
from secrets import token_hex
from typing import Any

from sqlalchemy import delete, update
from sqlalchemy.orm import Session

from crossroads.content import Cohort, Course, load
from crossroads.orders import seats
from crossroads.orders.checkout import placement
from crossroads.orders.checkout.holds import HoldLimits
from crossroads.payments import Checkout
from models import Cohort as CohortRow
from models import (
    Hold,
    Order,
    now,
)
from tests.support.paths import ROOT
from tests.support.people import address

COURSE = load(ROOT / "site" / "content").courses[0]

COHORT = COURSE.cohorts[0]

LIMITS = HoldLimits(per_address=10, per_network=15)

SMALL = COHORT.model_copy(update={"seats": 10})


def place(session: Session, cohort: Cohort = SMALL, course: Course = COURSE, **given: Any) -> Order:
    defaults = {
        "request_key": token_hex(8),
        "address": address(given.pop("email", "maria@example.com")),
        "name": "Maria",
        "number": 1,
        "network": token_hex(4),
        "limits": LIMITS,
    }
    return placement.place(session, course, cohort, **{**defaults, **given})


def checkout(order: Order, **given: Any) -> Checkout:
    """Return the order's checkout in the gateway's form: open, and as requested."""
    opened = Checkout(
        id=f"cs_test_{order.token}",
        reference=order.token,
        made_for=order.token,
        status="open",
        paid=False,
        failed=False,
        url="https://checkout.stripe.com/c/pay/x",
        currency=order.currency,
        quantity=order.seats,
        amount_subtotal=order.amount,
        amount_discount=0,
        amount_tax=0,
        amount_total=order.amount,
        payment_intent=None,
        created_at=now(),
    )
    return replace(opened, **given)


def paid(order: Order, **given: Any) -> Checkout:
    done = {"status": "complete", "paid": True, "payment_intent": f"pi_{order.token}"}
    return checkout(order, **{**done, **given})


def with_checkout(session: Session, **given: Any) -> Order:
    order = place(session, **given)
    return placement.attach(session, order.id, checkout(order))


def take_seats(session: Session, order: Order) -> None:
    """Release an order's seats before its payment, and leave no free seat in the cohort."""
    session.execute(delete(Hold).where(Hold.order_id == order.id))
    session.execute(update(CohortRow).values(seats=0))
    session.flush()
    session.expire_all()


def left(session: Session, cohort: Cohort = SMALL) -> int:
    return seats.seats_left(session, COURSE, cohort)
