"""Paid orders whose seats get participants."""

from typing import Any

from sqlalchemy.orm import Session

from crossroads.orders import lifecycle as orders
from crossroads.orders import participants
from models import Enrollment, Order
from tests.support.orders import SMALL, paid, with_checkout
from tests.support.people import address

BEN, ZOE = "ben@example.com", "zoe@example.com"


def bought(session: Session, number: int = 3, **given: Any) -> Order:
    order = with_checkout(session, number=number, **given)
    orders.fulfill(session, order.id, paid(order), "event")
    return order


def name(
    session: Session, order: Order, number: int, email: str = BEN, turn: int = 0, **given: Any
) -> Enrollment:
    asked = {"address": address(email), "called": "Ben", "cohort": SMALL, **given}
    return participants.name(session, order, number, turn, **asked)
