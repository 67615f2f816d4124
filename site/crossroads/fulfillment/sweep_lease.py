"""The lease that lets one sweep run at a time: taken, renewed while it runs, released."""

import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Engine, or_, update

from crossroads.database.writing_session import writing_session
from models import Reconciliation, insert_for, now

LEASE: Final = timedelta(minutes=2)
RENEW_SECONDS: Final = 20.0


class AlreadyRunning(Exception):
    """Another sweep is running. If `owner` was killed, its lease ends at `until`."""

    def __init__(self, owner: str, until: datetime) -> None:
        super().__init__(f"reconciliation is already running ({owner})")
        self.owner = owner
        self.until = until


class SweepStopped(Exception):
    """The sweep ends early, for a `reason` unless it was told to stop."""

    def __init__(self, reason: str = "") -> None:
        super().__init__(reason)
        self.reason = reason


class SweepLease:
    """The lease of one sweep, by its owner's name."""

    def __init__(self, engine: Engine, owner: str, stopping: Callable[[], bool]) -> None:
        self._engine = engine
        self._owner = owner
        self._stopping = stopping
        self._renewed = 0.0

    def take(self, at: datetime) -> None:
        """Take the lease. Raises AlreadyRunning."""
        self._renewed = time.monotonic()
        with writing_session(self._engine) as session:
            held = insert_for(session, Reconciliation).values(
                id=1, owner=self._owner, lease_until=at + LEASE
            )
            until = Reconciliation.lease_until
            taken = session.execute(
                held.on_conflict_do_update(
                    index_elements=[Reconciliation.id],
                    set_={"owner": held.excluded.owner, "lease_until": held.excluded.lease_until},
                    where=or_(until.is_(None), until <= at),
                ).returning(Reconciliation.id)
            ).one_or_none()
            if taken is None:
                other = session.get_one(Reconciliation, 1)
                raise AlreadyRunning(str(other.owner), other.lease_until or at)

    def renew(self) -> None:
        """Renew the lease if it is due.

        Raises SweepStopped when another sweep has it, or at a stop.
        """
        if self._stopping():
            raise SweepStopped
        if time.monotonic() < self._renewed + RENEW_SECONDS:
            return
        self._renewed = time.monotonic()
        if not self._store(lease_until=now() + LEASE):
            raise SweepStopped("another sweep has taken over")

    def release(self) -> None:
        """End the lease, if it is still ours."""
        self._store(owner=None, lease_until=None)

    def _store(self, **values: object) -> bool:
        """Store something with the lease; return whether it is still ours."""
        with writing_session(self._engine) as session:
            ours = session.scalar(
                update(Reconciliation)
                .where(Reconciliation.owner == self._owner)
                .values(**values)
                .returning(Reconciliation.id)
            )
        return ours is not None
