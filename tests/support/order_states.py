"""Orders in each state they can be in, brought there by the verbs of the house."""

from itertools import count
from typing import Any

from flask import Flask
from sqlalchemy.orm import Session

from crossroads import payments
from crossroads.orders import disputes, refunds
from crossroads.orders import lifecycle as orders
from models import Order, db, now, writing
from models.order import CANCELED
from tests.orders.test_lifecycle import COURSE, checkout, paid, place, take_seats

COHORT = COURSE.cohorts[0].model_copy(update={"seats": 10_000})
NARROW = f"{COURSE.slug}/{COHORT.code}"
SOLD = (
    "paid", "unseated", "partly-refunded", "refunded", "disputed", "dispute-won", "dispute-lost"
)  # fmt: skip
STATES = ("open", "pending", *SOLD, "failed", "expired", "canceled")

_numbers = count(1)


def bring(
    session: Session, state: str = "open", *, cause: str = "sweep", total: int = 0, **given: Any
) -> Order:
    """Return an order in this state, not committed; `total` is what was paid, if not its price."""
    email = f"buyer{next(_numbers)}@example.com"
    order = place(session, **{"cohort": COHORT, "email": email, "name": "A Buyer", **given})
    orders.attach(session, order.id, checkout(order))
    if state == "unseated":
        take_seats(session, order)
    payment = paid(order, **({"amount_total": total} if total else {}))
    at_stripe = {
        "pending": checkout(order, status="complete"),
        "failed": checkout(order, status="complete", failed=True),
        "expired": checkout(order, status="expired"),
        **dict.fromkeys(SOLD, payment),
    }
    if state == "canceled":
        orders.end(session, order, CANCELED, cause)
    elif state in at_stripe:
        orders.fulfill(session, order.id, at_stripe[state], cause)
    if state in ("partly-refunded", "refunded"):
        amount = order.unit_amount // 2 if state == "partly-refunded" else payment.amount_total
        refunds.record_status(session, order, refund(order, amount=amount), cause)
    if state.startswith("dispute"):
        status = "needs_response" if state == "disputed" else state.removeprefix("dispute-")
        disputes.record_status(session, order, dispute(order, status=status), cause)
    session.flush()
    return order


def refund(order: Order, **given: Any) -> payments.Refund:
    """Return a refund of the order's payment as the gateway gives it: made in the dashboard."""
    found = {
        "id": f"re_{next(_numbers)}",
        "reference": None,
        "payment_intent": order.payment_intent,
        "amount": order.amount,
        "currency": order.currency,
        "status": "succeeded",
        "failure_reason": None,
        "created_at": now(),
    }
    return payments.Refund(**{**found, **given})


def dispute(order: Order, **given: Any) -> payments.Dispute:
    """Return a dispute of the order's payment as the gateway gives it."""
    found = {
        "id": "du_1",
        "payment_intent": order.payment_intent,
        "charge": "ch_1",
        "amount": order.amount,
        "currency": order.currency,
        "status": "needs_response",
        "reason": "fraudulent",
        "due_by": now(),
        "created_at": now(),
    }
    return payments.Dispute(**{**found, **given})


def add_orders(app: Flask, *states: str, **given: Any) -> list[int]:
    """Store an order in each of these states and return their numbers."""
    with app.app_context(), Session(db.engine) as session:
        writing(session)
        numbers = [bring(session, state, **given).id for state in states]
        session.commit()
        return numbers
