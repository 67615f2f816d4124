"""Leases: each worker claims different rows, for a limited time."""

from datetime import datetime, timedelta
from os import getpid
from random import uniform
from secrets import token_hex
from socket import gethostname
from typing import TypeVar

from sqlalchemy import ColumnElement, or_, select, update

from models.base import AnySession
from models.message import Message, MessageState
from models.reconciliation import Reconciliation
from models.stripe_event import StripeEvent

LEASE = timedelta(minutes=5)

Job = TypeVar("Job", Message, StripeEvent)


def new_owner() -> str:
    """Return a unique name for a worker that takes leases: host, process id and a random part."""
    return f"{host()}-{getpid()}-{token_hex(4)}"


def host() -> str:
    """Return this machine's name, the first part of an owner's name."""
    return gethostname()[:32]


def claim(
    session: AnySession, kind: type[Job], open_: ColumnElement[bool], owner: str, at: datetime
) -> Job | None:
    """Lease the open row that has been due longest; return None when there is none.

    The row belongs to the owner until its lease of 5 minutes expires. The try is counted here, so
    that a job that kills its worker is not repeated endlessly. One statement: workers that claim
    at the same time get different rows.
    """
    candidate = (
        select(kind.id)
        .where(
            open_,
            kind.due_at <= at,
            free(kind, at),
        )
        .order_by(kind.due_at, kind.id)
        .limit(1)
        .with_for_update(skip_locked=True)  # ignored on SQLite, which has one writer at a time
    )
    statement = (
        update(kind)
        .where(kind.id == candidate.scalar_subquery())
        .values(owner=owner, lease_until=at + LEASE, attempts=kind.attempts + 1)
        .returning(kind)
    )
    options = {"synchronize_session": False, "populate_existing": True}
    return session.scalars(statement, execution_options=options).one_or_none()


def release(session: AnySession, owner: str) -> int:
    """Release all leases of an owner that is known to be dead; return the number of jobs.

    Each job's due time and number of tries stay. The lease on reconciliation is released, too.
    """
    over: dict[str, None] = {"owner": None, "lease_until": None}
    options = {"synchronize_session": False}
    session.execute(
        update(Reconciliation).where(Reconciliation.owner == owner).values(over),
        execution_options=options,
    )
    jobs = 0
    for kind, open_ in (
        (Message, Message.state == MessageState.DUE),
        (StripeEvent, StripeEvent.done_at.is_(None)),
    ):
        statement = update(kind).where(open_, kind.owner == owner).values(over).returning(kind.id)
        jobs += len(session.scalars(statement, execution_options=options).all())
    return jobs


def free(kind: type[Job], at: datetime) -> ColumnElement[bool]:
    """Return the SQL condition that a row has no lease, or an expired one."""
    return or_(kind.lease_until.is_(None), kind.lease_until <= at)


def backoff(attempts: int, first: timedelta, longest: timedelta) -> timedelta:
    """Return the wait after this number of tries, from `first`, doubled each time, to `longest`.

    Up to a quarter more is added at random, so that a server that is back after an outage does not
    get all work at once.
    """
    doubled: timedelta = first * 2 ** min(attempts - 1, 30)
    return with_jitter(min(doubled, longest))


def with_jitter(wait: timedelta) -> timedelta:
    """Return a wait with up to a quarter more at random."""
    stretch: float = uniform(1.0, 1.25)  # noqa: S311 - not for security
    return wait * stretch
