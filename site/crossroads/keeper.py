"""The keeper: has those forgotten whose time is over."""

import time
from collections.abc import Callable
from datetime import datetime, timedelta

import structlog
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from crossroads import retention
from crossroads.loops import Loop
from models.base import now, scrub, writing

KEEP_SECONDS = 3600.0  # between two looks

log = structlog.get_logger("crossroads.worker")


class Keeper(Loop):
    """Keeps the rules of retention in this process, beside the mail."""

    name = "keeper"

    def __init__(self, engine: Engine, pending_days: int) -> None:
        super().__init__()
        self._engine = engine
        self._kept = timedelta(days=pending_days)
        self._next = time.monotonic()

    def work(self) -> None:
        if time.monotonic() >= self._next:
            self.purge()
            self._next = time.monotonic() + KEEP_SECONDS

    def purge(self) -> int:
        """Delete who never confirmed in time, and forget who was replaced, some at once.

        Returns how many leads there were.
        """
        leads = self._all(retention.purge)
        replaced = self._all(retention.forget_replaced)
        days = self._kept.days
        if leads or replaced:
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
        with Session(self._engine) as session:
            writing(session)
            some = verb(session, now() - self._kept)
            session.commit()
        return some
