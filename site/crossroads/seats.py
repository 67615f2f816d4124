"""Seats of a cohort: how many are left, and those given away off the site."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from zoneinfo import ZoneInfo

from sqlalchemy import func, select

from crossroads import site_version
from crossroads.content import Cohort, Course
from models import Cohort as CohortRow
from models import Enrollment, Hold, insert_for
from models.base import AnySession

FEW = 5  # seats left from which the page says how few there are

State = Literal["open", "few", "full", "past"]


class SeatsError(ValueError):
    """A number of seats that cannot be reserved or released. The message says what can."""


@dataclass(frozen=True)
class Place:
    """A cohort with its true number of seats left."""

    cohort: Cohort
    left: int
    state: State


def places(session: AnySession, course: Course, at: datetime) -> list[Place]:
    """Return the cohorts of a course in the order of their start, with seats left."""
    return [
        place(session, course, cohort, at)
        for cohort in sorted(course.cohorts, key=lambda cohort: cohort.starts)
    ]


def place(session: AnySession, course: Course, cohort: Cohort, at: datetime) -> Place:
    """Return one cohort with its seats left."""
    free = left(session, course, cohort)
    if started(cohort, at):
        return Place(cohort, max(free, 0), "past")
    if free <= 0:
        return Place(cohort, 0, "full")
    return Place(cohort, free, "few" if free <= FEW else "open")


def started(cohort: Cohort, at: datetime) -> bool:
    """Tell whether a cohort is past: from the day it starts, in its own time zone."""
    return cohort.starts <= at.astimezone(ZoneInfo(cohort.timezone)).date()


def left(session: AnySession, course: Course, cohort: Cohort) -> int:
    """Return how many seats are neither reserved, held by an open order, nor paid for.

    Below zero when the content has been given fewer seats than are taken. Only under lock() does
    it stay true until the end of the transaction.
    """
    reserved, held, paid = session.execute(
        select(
            select(CohortRow.reserved)
            .where(CohortRow.course == course.slug, CohortRow.code == cohort.code)
            .scalar_subquery(),
            select(func.sum(Hold.seats))
            .where(Hold.course == course.slug, Hold.cohort == cohort.code)
            .scalar_subquery(),
            select(func.count(Enrollment.id))
            .where(Enrollment.course == course.slug, Enrollment.cohort == cohort.code)
            .scalar_subquery(),
        )
    ).one()
    return int(cohort.seats - (reserved or 0) - (held or 0) - paid)


def lock(session: AnySession, course: str, code: str) -> CohortRow:
    """Let nobody else count or take seats of the cohort until the transaction ends."""
    session.execute(
        insert_for(session, CohortRow)
        .values(course=course, code=code, reserved=0)
        .on_conflict_do_nothing()
    )
    return session.scalars(
        select(CohortRow)
        .where(CohortRow.course == course, CohortRow.code == code)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).one()


def reserve(session: AnySession, course: Course, cohort: Cohort, seats: int) -> int:
    """Take seats that were given away off the site, say by invoice, and return what is left.

    A negative number gives seats back. Raises SeatsError if there are not that many.
    """
    row = lock(session, course.slug, cohort.code)
    free = left(session, course, cohort)
    if seats > max(free, 0):
        raise SeatsError(_refusal(cohort, free, "left", "reserve"))
    if row.reserved + seats < 0:
        raise SeatsError(_refusal(cohort, row.reserved, "reserved", "release"))
    row.reserved += seats
    site_version.advance(session)
    return max(free - seats, 0)


def _refusal(cohort: Cohort, number: int, state: str, verb: str) -> str:
    if number <= 0:
        return f"cohort {cohort.code} has no seats {state}: there is nothing to {verb}"
    some = "1 seat" if number == 1 else f"{number} seats"
    return f"cohort {cohort.code} has {some} {state}: {verb} {number} or fewer"
