"""Checks content against orders: cohorts that differ from what was sold."""

from collections.abc import Iterator
from datetime import UTC, datetime

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from crossroads.content import Content
from crossroads.ops.doctor.finding import Finding
from crossroads.orders import sold_cohorts


def examine(engine: Engine, content: Content) -> Iterator[Finding]:
    """Yield a finding for each such cohort. A moved cohort is a note: it may be intended."""
    try:
        with Session(engine) as session:
            found = sold_cohorts.compare(session, content, datetime.now(UTC).date())
    except SQLAlchemyError:
        return  # reported by the check of the database
    for one in found:
        yield Finding("note" if one.change == "moved" else "wrong", str(one))
    if not found:
        yield Finding("fine", "cohorts are as they were sold")
