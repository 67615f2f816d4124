"""Compares content with orders: finds cohorts that differ from what was sold."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Final, Literal

from sqlalchemy import ColumnElement, and_, func, or_, select

from crossroads.content import Cohort, Content, Course
from crossroads.database import identity
from crossroads.leads.waiting_list import WAITS
from models import Cohort as CohortRow
from models import Hold, Order, Waiting
from models.base import AnySession

Change = Literal["missing", "moved", "fewer seats"]

LISTED: Final = 20  # order numbers in a message; the desk lists all of them
NEARLY: Final = timedelta(days=7)  # a renamed cohort often moves by a few days, too


@dataclass(frozen=True, kw_only=True)
class Affected:
    """A cohort that differs from what was sold.

    `seats` counts seats that are paid for, held by an open order or reserved. `orders` has the
    numbers of the first orders, `order_count` counts all of them; `waiting` counts the people on
    the waiting list. `detail` describes the change. A move may be intended; the other changes
    oversell seats.
    """

    change: Change
    course: str
    cohort: str
    seats: int
    orders: Sequence[int]
    order_count: int
    waiting: int
    detail: str

    @property
    def who(self) -> str:
        """Describe the affected people, without addresses."""
        parts = [_count(self.seats, "seat")]
        if self.order_count:
            numbers = ", ".join(map(str, self.orders))
            more = ", …" if self.order_count > len(self.orders) else ""
            parts.append(f"{_count(self.order_count, 'order')} ({numbers}{more})")
        if self.waiting:
            parts.append(f"{self.waiting} on the waiting list")
        return ", ".join(parts)

    def __str__(self) -> str:
        return f"course {self.course}, cohort {self.cohort}: {self.detail}. Affected: {self.who}"


@dataclass(frozen=True)
class _Dates:
    """The dates of a cohort at the time of an order; None in orders older than these columns."""

    starts: date | None
    ends: date | None
    timezone: str | None

    def __str__(self) -> str:
        return f"{self.starts} to {self.ends} ({self.timezone})"


@dataclass
class _Sold:
    """The sold seats of one cohort: those of orders by their dates, and the rest."""

    orders: dict[_Dates, int] = field(default_factory=lambda: defaultdict(int))
    reserved: int = 0
    waiting: int = 0

    @property
    def seats(self) -> int:
        return sum(self.orders.values()) + self.reserved

    def is_over(self, today: date) -> bool:
        """Tell whether all seats were sold for dates in the past."""
        return bool(self.orders) and all(one.ends and one.ends < today for one in self.orders)


def compare(session: AnySession, content: Content, today: date) -> list[Affected]:
    """Return each sold cohort that is missing, moved or too small, except cohorts that are over.

    An order counts while it is open, or paid and not refunded.
    """
    return [
        found
        for (slug, code), sold in sorted(_sold(session).items())
        for found in _compare_one(session, content, today, slug, code, sold)
    ]


def _compare_one(
    session: AnySession, content: Content, today: date, slug: str, code: str, sold: _Sold
) -> list[Affected]:
    course = content.course(slug)
    cohort = course.cohort(code) if course else None
    if sold.is_over(today) and (cohort is None or cohort.ends < today):
        return []

    def affected(change: Change, detail: str, seats: int, *which: ColumnElement[bool]) -> Affected:
        mine = (Order.course == slug, Order.cohort == code, _is_taken(), *which)
        numbers = select(Order.id).where(*mine).order_by(Order.id).limit(LISTED)
        return Affected(
            change=change,
            course=slug,
            cohort=code,
            seats=seats,
            orders=session.scalars(numbers).all(),
            order_count=session.scalar(select(func.count(Order.id)).where(*mine)) or 0,
            waiting=sold.waiting,
            detail=detail,
        )

    if cohort is None:
        gone = "is not in the content any more" + _successor(content, course, code, sold)
        return [affected("missing", gone, sold.seats)]
    found = []
    if sold.seats > cohort.seats:
        fewer = f"has {_count(cohort.seats, 'seat')}, and {sold.seats} are taken"
        found.append(affected("fewer seats", fewer, sold.seats))
    current = _Dates(cohort.starts, cohort.ends, cohort.timezone)
    others = {
        dates: seats for dates, seats in sold.orders.items() if dates.starts and dates != current
    }
    if others:
        before = " and ".join(sorted(map(str, others)))
        same = and_(
            Order.cohort_starts == cohort.starts,
            Order.cohort_ends == cohort.ends,
            Order.cohort_timezone == cohort.timezone,
        )
        moved = f"was sold for {before}, and is now {current}"
        known = Order.cohort_starts.is_not(None)
        found.append(affected("moved", moved, sum(others.values()), known, ~same))
    return found


def _successor(content: Content, course: Course | None, code: str, sold: _Sold) -> str:
    """Return a hint at cohorts with similar dates: the missing one may have been renamed."""
    starts = [dates.starts for dates in sold.orders if dates.starts]
    if course is not None:
        near: list[tuple[Course, Cohort]] = [
            (course, one)
            for one in course.cohorts
            if any(abs(one.starts - start) <= NEARLY for start in starts)
        ]
    else:  # the course itself may have been renamed
        near = [
            (other, one)
            for other in content.courses
            for one in other.cohorts
            if one.code == code or one.starts in starts
        ]
    names = [f"{other.slug}/{one.code}" if course is None else one.code for other, one in near]
    if not names:
        return ""
    return f" (renamed to {' or '.join(names)}? It sells all its seats again: keep the old code)"


def _sold(session: AnySession) -> dict[tuple[str, str], _Sold]:
    sold: dict[tuple[str, str], _Sold] = defaultdict(_Sold)
    dates = (Order.cohort_starts, Order.cohort_ends, Order.cohort_timezone)
    sold_as = (Order.course, Order.cohort, *dates)
    paid = (
        select(*sold_as, func.sum(Order.seats_kept))
        .where(identity.counts(), Order.seats_kept > 0)
        .group_by(*sold_as)
    )
    held = (
        select(*sold_as, func.sum(Hold.seats))
        .join(Hold, Hold.order_id == Order.id)
        .group_by(*sold_as)
    )
    for query in (paid, held):
        for course, cohort, starts, ends, timezone, seats in session.execute(query):
            sold[course, cohort].orders[_Dates(starts, ends, timezone)] += seats
    reserved = select(CohortRow).where(CohortRow.reserved > 0)
    for row in session.scalars(reserved):
        sold[row.course, row.code].reserved = row.reserved
    waiting = select(Waiting.course, Waiting.cohort, func.count()).where(WAITS)
    for course, cohort, number in session.execute(waiting.group_by(Waiting.course, Waiting.cohort)):
        sold[course, cohort].waiting = number
    return sold


def _is_taken() -> ColumnElement[bool]:
    """Return the condition that an order has seats: paid for and kept, or held while open."""
    holding = select(Hold.order_id).where(Hold.order_id == Order.id).exists()
    return or_(and_(identity.counts(), Order.seats_kept > 0), holding)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
