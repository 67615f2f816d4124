"""List and export of orders: filters, sort orders and columns."""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from sqlalchemy import ColumnElement, case, or_, select
from sqlalchemy.orm import aliased, outerjoin

from crossroads.content import Content
from crossroads.database import identity
from crossroads.database.pagination import (
    HIGHEST_ID,
    NEWEST,
    Filter,
    Listing,
    matches_person,
    of_course,
)
from crossroads.export import Sheet
from crossroads.mail import addresses
from crossroads.orders import ledger
from crossroads.orders.projections import DisputeState
from models import Order, OrderEvent, StripeEvent, personal_data
from models.base import AnySession
from models.order import OrderEventKind, OrderState

SORTS: dict[str, tuple[bool, tuple[Any, ...]]] = {
    NEWEST: (True, (Order.created_at, Order.id)),
    "oldest": (False, (Order.created_at, Order.id)),
    "email": (False, (Order.email_key, Order.id)),
    "email-down": (True, (Order.email_key, Order.id)),
}
ORDERS = Listing(Order, SORTS)
ENDS: Final = (
    OrderEventKind.PAID,
    OrderEventKind.FAILED,
    OrderEventKind.EXPIRED,
    OrderEventKind.CANCELED,
)

_end = aliased(OrderEvent)

SHEET = Sheet(
    name="orders",
    columns={
        "order": Order.id,
        "state": Order.state,
        "placed_at": Order.created_at,
        "paid_at": case((_end.kind == OrderEventKind.PAID, _end.created_at)),
        "ended_at": _end.created_at,
        "ended_by": _end.cause,
        "email": Order.email,
        **personal_data.exported(Order),
        "course": Order.course,
        "cohort": Order.cohort,
        "item": Order.item,
        "seats": Order.seats,
        "seats_kept": Order.seats_kept,
        "currency": Order.currency,
        "unit_price": Order.unit_amount,
        "price": Order.unit_amount * Order.seats,
        "paid_subtotal": _end.amount_subtotal,
        "paid_discount": _end.amount_discount,
        "paid_tax": _end.amount_tax,
        "paid_total": _end.amount_total,
        "returned": case((_end.kind == OrderEventKind.PAID, Order.amount_returned)),
        "net": _end.amount_total - Order.amount_returned,
        "stripe_session": Order.session_id,
        "stripe_payment_intent": Order.payment_intent,
    },
    source=outerjoin(
        Order,
        _end,
        # A payment may arrive after the order ended unpaid: then the payment is its end.
        (_end.order_id == Order.id)
        & ((_end.kind == OrderEventKind.PAID) | (_end.kind.in_(ENDS) & (_end.kind == Order.state))),
    ),
    amounts=frozenset(
        {
            "unit_price",
            "price",
            "paid_subtotal",
            "paid_discount",
            "paid_tax",
            "paid_total",
            "returned",
            "net",
        }
    ),
)


@dataclass(frozen=True, kw_only=True)
class OrderFilter(Filter):
    """Select orders. `course` is a course's slug, or slug/code for one of its cohorts."""

    KNOWN: ClassVar[Mapping[str, Collection[str]]] = {"state": tuple(OrderState)}

    READ: ClassVar[Mapping[str, Callable[[str], str]]] = {"q": addresses.cleaned}

    q: str = ""
    state: str = ""
    course: str = ""

    def conditions(self) -> list[ColumnElement[bool]]:
        found = [identity.counts()]
        if self.q:
            found.append(_matches(self.q))
        if self.state:
            found.append(Order.state == self.state)
        if self.course:
            found += of_course(Order, self.course)
        return found


@dataclass(frozen=True)
class Standing:
    """The state of an order in a list. `paid` counts the currency's smallest unit.

    `disputes` are the open ones, with inquiries. `refund_failed`: staff have not acknowledged it.
    """

    state: OrderState
    paid: int | None
    disputes: Sequence[DisputeState]
    refund_failed: bool


def standings(session: AnySession, orders: Sequence[Order]) -> dict[int, Standing]:
    """Return the state of each order, by its number."""
    return {
        number: Standing(
            state=found.state,
            paid=found.total if found.paid else None,
            disputes=found.open_disputes,
            refund_failed=found.refund_failed,
        )
        for number, found in ledger.balances_of(session, orders).items()
    }


def courses(session: AnySession, content: Content) -> list[tuple[str, str]]:
    """Return the values of the `course` filter with their titles: each course and its cohorts.

    Cohorts with orders that are no longer in the content come last, by code.
    """
    known = {}
    for course in content.courses:
        known[course.slug] = course.title
        for cohort in sorted(course.cohorts, key=lambda cohort: cohort.starts):
            known[f"{course.slug}/{cohort.code}"] = f"{course.title}, {cohort.title or cohort.code}"
    cohorts = select(Order.course, Order.cohort).where(identity.counts()).distinct()
    ordered = session.execute(cohorts).all()
    for name in sorted(f"{course}/{cohort}" for course, cohort in ordered):
        known.setdefault(name, name)
    return list(known.items())


def _matches(term: str) -> ColumnElement[bool]:
    """Return the condition that an order's buyer, number or one of its Stripe ids matches."""
    number = re.fullmatch(r"#?([0-9]{1,10})", term)
    return or_(
        matches_person(Order, term),
        Order.session_id == term,
        Order.payment_intent == term,
        Order.token == term,  # Stripe shows it as the client reference
        Order.session_id.in_(select(StripeEvent.object_id).where(StripeEvent.id == term)),
        *([Order.id == int(number[1])] if number and int(number[1]) <= HIGHEST_ID else []),
    )
