"""List and export of the seats that are paid for and not refunded, with their participants."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from sqlalchemy import ColumnElement, or_, select
from sqlalchemy.orm import join

from crossroads.database import identity
from crossroads.database.pagination import (
    NEWEST,
    Filter,
    Listing,
    contains,
    matches_person,
    of_course,
)
from crossroads.export import Sheet
from crossroads.mail import addresses
from models import Enrollment, Order, personal_data
from models.base import AnySession

SORTS: dict[str, tuple[bool, tuple[Any, ...]]] = {
    NEWEST: (True, (Enrollment.created_at, Enrollment.id)),
    "oldest": (False, (Enrollment.created_at, Enrollment.id)),
}
ENROLLMENTS = Listing(Enrollment, SORTS)

SHEET = Sheet(
    name="enrollments",
    columns={
        "id": Enrollment.id,
        "course": Enrollment.course,
        "cohort": Enrollment.cohort,
        "seat": Enrollment.seat,
        **personal_data.exported(Enrollment),
        "order": Enrollment.order_id,
        "bought_by": Order.email,
        "enrolled_at": Enrollment.created_at,
    },
    source=join(Enrollment, Order, Order.id == Enrollment.order_id),
)


@dataclass(frozen=True, kw_only=True)
class EnrollmentFilter(Filter):
    """Select seats. `course` is a course's slug, or slug/code for one of its cohorts."""

    READ: ClassVar[Mapping[str, Callable[[str], str]]] = {"q": addresses.cleaned}

    q: str = ""
    course: str = ""

    def conditions(self) -> list[ColumnElement[bool]]:
        found: list[ColumnElement[bool]] = [
            Enrollment.kept.is_(True),
            Enrollment.ended_at.is_(None),
            identity.of_counting(Enrollment.order_id),
        ]
        if self.q:
            bought = select(Order.id).where(matches_person(Order, self.q))
            found.append(
                or_(
                    contains(Enrollment.email, self.q),
                    contains(Enrollment.name, self.q),
                    Enrollment.order_id.in_(bought),
                )
            )
        if self.course:
            found += of_course(Enrollment, self.course)
        return found


def buyers(session: AnySession, enrollments: Sequence[Enrollment]) -> dict[int, str]:
    """Return the buyer's address of each seat, by the order's number."""
    numbers = {enrollment.order_id for enrollment in enrollments}
    rows = session.execute(select(Order.id, Order.email).where(Order.id.in_(numbers)))
    return {row.id: row.email for row in rows}
