"""Checks whether mail, events and sweeps are late."""

from collections.abc import Iterator

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from crossroads.fulfillment import lateness
from crossroads.ops.doctor.finding import Finding
from models import now


def examine(engine: Engine) -> Iterator[Finding]:
    """Yield a finding for each kind of work that is late, or one that all is in time."""
    try:
        with Session(engine) as session:
            found = lateness.late(session, now())
    except SQLAlchemyError:
        return  # reported by the check of the database
    yield from (Finding("wrong", str(one)) for one in found)
    if not found:
        yield Finding("fine", "mail, events and sweeps are in time")
