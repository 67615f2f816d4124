"""Orders in every state, made with the functions of the site."""

from dataclasses import replace
from itertools import count
from typing import Any, assert_never

from flask import Flask
from sqlalchemy.orm import Session

from crossroads import payments
from crossroads.orders import disputes, participants, refunds
from crossroads.orders import lifecycle as orders
from crossroads.orders.checkout import placement
from models import Order, db, now, writing
from models.order import OrderEventKind, OrderState
from tests.support.orders import COURSE, checkout, paid, place, take_seats
from tests.support.people import address

COHORT = COURSE.cohorts[0].model_copy(update={"seats": 10_000})
NARROW = f"{COURSE.slug}/{COHORT.code}"
STATES = tuple(OrderState)
SOLD = tuple(state for state in OrderState if state.paid)

_numbers = count(1)


def bring(
    session: Session, state: str = "open", *, cause: str = "sweep", total: int = 0, **given: Any
) -> Order:
    """Return an uncommitted order in this state; `total` is the paid amount if not the price."""
    email = f"buyer{next(_numbers)}@example.com"
    order = place(session, **{"cohort": COHORT, "email": email, "name": "A Buyer", **given})
    placement.attach(session, order.id, checkout(order))
    payment = paid(order, **({"amount_total": total} if total else {}))
    state = OrderState(state)
    if state == OrderState.UNSEATED:
        take_seats(session, order)
    if state.paid:
        orders.fulfill(session, order.id, payment, cause)
    match state:
        case OrderState.OPEN | OrderState.PAID | OrderState.UNSEATED:
            pass
        case OrderState.PENDING:
            orders.fulfill(session, order.id, checkout(order, status="complete"), cause)
        case OrderState.FAILED:
            failed = checkout(order, status="complete", failed=True)
            orders.fulfill(session, order.id, failed, cause)
        case OrderState.EXPIRED:
            orders.fulfill(session, order.id, checkout(order, status="expired"), cause)
        case OrderState.CANCELED:
            orders.end(session, order, OrderEventKind.CANCELED, cause)
        case OrderState.PARTLY_REFUNDED:
            refunds.record_status(
                session, order, refund(order, amount=order.unit_amount // 2), cause
            )
        case OrderState.REFUNDED:
            refunds.record_status(session, order, refund(order, amount=payment.amount_total), cause)
        case OrderState.DISPUTED:
            disputes.record_status(session, order, dispute(order), cause)
        case OrderState.DISPUTE_WON:
            disputes.record_status(session, order, dispute(order, status="won"), cause)
        case OrderState.DISPUTE_LOST:
            disputes.record_status(session, order, dispute(order, status="lost"), cause)
        case _:
            assert_never(state)
    session.flush()
    assert order.state == state, (
        f"{state} was asked for, the events add up to {order.state}: see ledger.balance"
    )
    return order


def with_event(session: Session, kind: OrderEventKind) -> Order:
    """Return an uncommitted order with an event of this kind."""
    match kind:
        case OrderEventKind.PLACED:
            return bring(session, OrderState.OPEN)
        case OrderEventKind.PENDING:
            return bring(session, OrderState.PENDING)
        case OrderEventKind.PAID:
            return bring(session, OrderState.PAID)
        case OrderEventKind.FAILED:
            return bring(session, OrderState.FAILED)
        case OrderEventKind.EXPIRED:
            return bring(session, OrderState.EXPIRED)
        case OrderEventKind.CANCELED:
            return bring(session, OrderState.CANCELED)
        case OrderEventKind.UNSEATED:
            return bring(session, OrderState.UNSEATED)
        case OrderEventKind.REFUND:
            return bring(session, OrderState.REFUNDED)
        case OrderEventKind.DISPUTE:
            return bring(session, OrderState.DISPUTED)
        case OrderEventKind.DUPLICATE | OrderEventKind.DUPLICATE_DISPUTE:
            order = bring(session, OrderState.PAID)
            twice = {"id": f"cs_{order.token}", "payment_intent": f"pi_twice_{order.token}"}
            again = paid(order, recovered_from=order.session_id, **twice)
            orders.fulfill(session, order.id, again, "sweep")
            if kind == OrderEventKind.DUPLICATE_DISPUTE:
                of_it = dispute(order, payment_intent=again.payment_intent)
                disputes.record_status(session, order, of_it, "sweep")
            return order
        case OrderEventKind.COPY_FAILED:
            order = bring(session, OrderState.EXPIRED)
            copy = checkout(order, id=f"cs_{order.token}", status="complete", failed=True)
            copy = replace(copy, recovered_from=order.session_id)
            orders.fulfill(session, order.id, copy, "sweep")
            return order
        case OrderEventKind.NAMED:
            order = bring(session, OrderState.PAID, number=2)
            who = address(f"participant{order.id}@example.com")
            participants.name(
                session, order, 2, 0, address=who, called="A Participant", cohort=COHORT
            )
            return order
    assert_never(kind)


def refund(order: Order, **given: Any) -> payments.Refund:
    """Return a refund of the order's payment in the gateway's form, made in the dashboard."""
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
    """Return a dispute of the order's payment in the gateway's form."""
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
    """Store an order in each of these states and return their ids."""
    with app.app_context(), Session(db.engine) as session:
        writing(session)
        numbers = [bring(session, state, **given).id for state in states]
        session.commit()
        return numbers
