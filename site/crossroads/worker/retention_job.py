"""Retention job: deletes leads not confirmed in time, and erases replaced participants."""

from collections.abc import Callable
from datetime import datetime, timedelta

import structlog
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from crossroads.database.writing_session import writing_session
from crossroads.privacy import retention
from crossroads.worker.loop import Periodic
from models.base import now, scrub

log = structlog.get_logger("crossroads.worker")


class RetentionJob(Periodic):
    """Applies the retention rules in a thread of its own."""

    name = "keeper"
    seconds = 3600.0

    def __init__(self, engine: Engine, pending_days: int) -> None:
        super().__init__()
        self._engine = engine
        self._kept = timedelta(days=pending_days)

    def run_once(self) -> None:
        self.purge()

    def purge(self) -> int:
        """Delete leads not confirmed in time and erase replaced participants, in batches.

        Return the number of deleted leads.
        """
        leads = self._all(retention.purge)
        replaced = self._all(retention.forget_replaced)
        lost = self._all(retention.forget_lost)
        days = self._kept.days
        if leads or replaced or lost:
            scrub(self._engine)
        if leads:
            log.info("unconfirmed leads deleted", leads=leads, older_than_days=days)
        if replaced:
            log.info("replaced participants forgotten", people=replaced, older_than_days=days)
        return leads

    def _all(self, verb: Callable[[Session, datetime], int]) -> int:
        people = 0
        while not self.stopping and (some := self._some(verb)):
            people += some
        return people

    def _some(self, verb: Callable[[Session, datetime], int]) -> int:
        with writing_session(self._engine) as session:
            return verb(session, now() - self._kept)
