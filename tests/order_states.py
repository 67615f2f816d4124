"""Orders in each state they can be in, brought there by the verbs of the house."""

from itertools import count
from typing import Any

from flask import Flask
from sqlalchemy import delete
from sqlalchemy.orm import Session

from crossroads import orders
from models import Hold, Order, db, writing
from models.order import CANCELED
from tests.test_orders import COURSE, checkout, paid, place

COHORT = COURSE.cohorts[0].model_copy(update={"seats": 10_000})
NARROW = f"{COURSE.slug}/{COHORT.code}"
STATES = ("open", "pending", "paid", "unseated", "failed", "expired", "canceled")

_numbers = count(1)


def bring(
    session: Session, state: str = "open", *, cause: str = "sweep", total: int = 0, **given: Any
) -> Order:
    """Return an order in this state, not committed; `total` is what was paid, if not its price."""
    email = f"buyer{next(_numbers)}@example.com"
    order = place(session, **{"cohort": COHORT, "email": email, "name": "A Buyer", **given})
    orders.attach(session, order.id, checkout(order))
    if state == "unseated":  # the seats were given back before the money came
        session.execute(delete(Hold).where(Hold.order_id == order.id))
        session.expire_all()
    payment = paid(order, **({"amount_total": total} if total else {}))
    at_stripe = {
        "pending": checkout(order, status="complete"),
        "paid": payment,
        "unseated": payment,
        "failed": checkout(order, status="complete", failed=True),
        "expired": checkout(order, status="expired"),
    }
    if state == "canceled":
        orders.end(session, order, CANCELED, cause)
    elif state in at_stripe:
        orders.fulfill(session, order.id, at_stripe[state], cause)
    session.flush()
    return order


def add_orders(app: Flask, *states: str, **given: Any) -> list[int]:
    """Store an order in each of these states and return their numbers."""
    with app.app_context(), Session(db.engine) as session:
        writing(session)
        numbers = [bring(session, state, **given).id for state in states]
        session.commit()
        return numbers
