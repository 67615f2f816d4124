"""Enrollments: who has which seat, as the student and the desk see it."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select

from crossroads import money
from models import Enrollment, Order, OrderEvent
from models.base import AnySession
from models.order import PAID


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """What was paid for a seat and the others bought with it, in words."""

    number: int
    total: str
    tax: str | None
    seats: int
    item: str
    paid_at: datetime


def find(session: AnySession, token: str) -> Enrollment | None:
    """Return the enrollment with this token."""
    return session.scalar(select(Enrollment).where(Enrollment.token == token))


def receipt(session: AnySession, enrollment: Enrollment) -> Receipt:
    """Return the receipt of the order that paid for the seat. Amounts are Stripe's."""
    order = session.get_one(Order, enrollment.order_id)
    return of_order(session, order)


def of_order(session: AnySession, order: Order) -> Receipt:
    """Return the receipt of a paid order. Raises NoResultFound for one that is not."""
    query = select(OrderEvent).where(OrderEvent.order_id == order.id, OrderEvent.kind == PAID)
    paid = session.scalars(query).one()
    tax = paid.amount_tax or 0
    return Receipt(
        number=order.id,
        total=money.display(paid.amount_total or 0, order.currency),
        tax=money.display(tax, order.currency) if tax else None,
        seats=order.seats,
        item=order.item,
        paid_at=paid.created_at,
    )
