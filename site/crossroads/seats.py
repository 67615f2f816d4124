"""Seats of a cohort: how many are left, and those given away off the site."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from zoneinfo import ZoneInfo

from sqlalchemy import select

from crossroads import site_version
from crossroads.content import Cohort, Course
from models import Cohort as CohortRow
from models import insert_for
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
    """Return the cohorts of a course in the order of their start, with seats left.

    A cohort is past from the day it starts, by the calendar of its own time zone.
    """
    reserved = {
        row.code: row.reserved
        for row in session.scalars(select(CohortRow).where(CohortRow.course == course.slug))
    }
    return [
        _place(cohort, cohort.seats - reserved.get(cohort.code, 0), at)
        for cohort in sorted(course.cohorts, key=lambda cohort: cohort.starts)
    ]


def reserve(session: AnySession, course: Course, cohort: Cohort, seats: int) -> int:
    """Take seats that were given away off the site, say by invoice, and return what is left.

    A negative number gives seats back. Raises SeatsError if there are not that many.
    """
    session.execute(
        insert_for(session, CohortRow)
        .values(course=course.slug, code=cohort.code, reserved=0)
        .on_conflict_do_nothing()
    )
    row = session.scalars(
        select(CohortRow)
        .where(CohortRow.course == course.slug, CohortRow.code == cohort.code)
        .with_for_update()
    ).one()
    left = cohort.seats - row.reserved  # below 0 when the content has fewer seats than before
    if seats > max(left, 0):
        raise SeatsError(_refusal(cohort, left, "left", "reserve"))
    if row.reserved + seats < 0:
        raise SeatsError(_refusal(cohort, row.reserved, "reserved", "release"))
    row.reserved += seats
    site_version.advance(session)
    return max(left - seats, 0)


def _refusal(cohort: Cohort, number: int, state: str, verb: str) -> str:
    if number <= 0:
        return f"cohort {cohort.code} has no seats {state}: there is nothing to {verb}"
    some = "1 seat" if number == 1 else f"{number} seats"
    return f"cohort {cohort.code} has {some} {state}: {verb} {number} or fewer"


def _place(cohort: Cohort, left: int, at: datetime) -> Place:
    if cohort.starts <= at.astimezone(ZoneInfo(cohort.timezone)).date():
        return Place(cohort, max(left, 0), "past")
    if left <= 0:
        return Place(cohort, 0, "full")
    return Place(cohort, left, "few" if left <= FEW else "open")
