"""Seats of a cohort: how many are left, and those reserved outside the site."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from zoneinfo import ZoneInfo

from sqlalchemy import func, select

from crossroads.content import Cohort, Course
from crossroads.database import identity, page_cache_version
from models import Cohort as CohortRow
from models import Hold, Order, insert_for
from models.base import AnySession

FEW = 5  # seats left from which the page says how few there are

State = Literal["open", "few", "full", "past"]


class SeatsError(ValueError):
    """A number of seats that cannot be reserved or released. The message gives the limit."""


@dataclass(frozen=True)
class CohortAvailability:
    """A cohort with its number of seats left."""

    cohort: Cohort
    left: int
    state: State


@dataclass(frozen=True)
class Overbooked:
    """A cohort with more seats taken than it has: `over` is the excess."""

    course: Course
    cohort: Cohort
    over: int


def availabilities(session: AnySession, course: Course, at: datetime) -> list[CohortAvailability]:
    """Return the cohorts of a course in the order of their start, with seats left."""
    return [
        availability(session, course, cohort, at)
        for cohort in sorted(course.cohorts, key=lambda cohort: cohort.starts)
    ]


def availability(
    session: AnySession, course: Course, cohort: Cohort, at: datetime
) -> CohortAvailability:
    """Return one cohort with its seats left."""
    free = seats_left(session, course, cohort)
    if started(cohort, at):
        return CohortAvailability(cohort, max(free, 0), "past")
    if free <= 0:
        return CohortAvailability(cohort, 0, "full")
    return CohortAvailability(cohort, free, "few" if free <= FEW else "open")


def overbooked(session: AnySession, courses: Iterable[Course], at: datetime) -> list[Overbooked]:
    """Return the cohorts that have not started and have more seats taken than they have.

    This happens when a refund fails after its seat was sold again, or when the content was edited
    to fewer seats than are taken.
    """
    ahead = ((course, one) for course in courses for one in course.cohorts if not started(one, at))
    counted = (Overbooked(*each, over=-seats_left(session, *each)) for each in ahead)
    return [one for one in counted if one.over > 0]


def started(cohort: Cohort, at: datetime) -> bool:
    """Tell whether a cohort is past: from the day it starts, in its own time zone."""
    return cohort.starts <= at.astimezone(ZoneInfo(cohort.timezone)).date()


def seats_left(session: AnySession, course: Course, cohort: Cohort) -> int:
    """Return the number of seats that are not reserved, held by an open order or paid for.

    Negative when the cohort has fewer seats than are taken. Without lock(), another transaction
    may change it at any time.
    """
    return cohort.seats - _taken(session, course.slug, cohort.code)


def lock(session: AnySession, course: Course, cohort: Cohort) -> CohortRow:
    """Lock the seats of the cohort until the transaction ends."""
    session.execute(
        insert_for(session, CohortRow)
        .values(course=course.slug, code=cohort.code, reserved=0)
        .on_conflict_do_nothing()
    )
    row = _locked(session, course.slug, cohort.code)
    assert row is not None  # noqa: S101 - it was there, or is now
    row.seats = cohort.seats
    return row


def lock_and_count(session: AnySession, course: str, code: str) -> int:
    """Lock a cohort by its codes alone, and return its number of seats left.

    Uses the total that lock() stored last, as the content may lack the cohort.
    """
    row = _locked(session, course, code)
    return max((row.seats or 0) - _taken(session, course, code), 0) if row else 0


def reserve(session: AnySession, course: Course, cohort: Cohort, seats: int) -> int:
    """Reserve seats that are sold outside the site, such as by invoice; return how many are left.

    A negative number releases seats. Raises SeatsError if there are not that many.
    """
    row = lock(session, course, cohort)
    free = seats_left(session, course, cohort)
    if seats > max(free, 0):
        raise SeatsError(_refusal(cohort, free, "left", "reserve"))
    if row.reserved + seats < 0:
        raise SeatsError(_refusal(cohort, row.reserved, "reserved", "release"))
    row.reserved += seats
    page_cache_version.advance(session)
    return max(free - seats, 0)


def _locked(session: AnySession, course: str, code: str) -> CohortRow | None:
    return session.scalar(
        select(CohortRow)
        .where(CohortRow.course == course, CohortRow.code == code)
        .with_for_update()
        .execution_options(populate_existing=True)
    )


def _taken(session: AnySession, course: str, code: str) -> int:
    """Count the seats that are reserved, held by an open order, or paid for and kept."""
    reserved, held, kept = session.execute(
        select(
            select(CohortRow.reserved)
            .where(CohortRow.course == course, CohortRow.code == code)
            .scalar_subquery(),
            select(func.sum(Hold.seats))
            .where(Hold.course == course, Hold.cohort == code)
            .scalar_subquery(),
            select(func.sum(Order.seats_kept))
            .where(Order.course == course, Order.cohort == code, identity.counts())
            .scalar_subquery(),
        )
    ).one()
    return int((reserved or 0) + (held or 0) + (kept or 0))


def _refusal(cohort: Cohort, number: int, state: str, verb: str) -> str:
    if number <= 0:
        return f"cohort {cohort.code} has no seats {state}: there is nothing to {verb}"
    some = "1 seat" if number == 1 else f"{number} seats"
    return f"cohort {cohort.code} has {some} {state}: {verb} {number} or fewer"
