"""The keeper: has unconfirmed leads deleted when their time is over."""

import time
from datetime import timedelta

import structlog
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from crossroads import retention
from crossroads.logs import first_line
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

    def reason(self, error: Exception) -> str:
        return f"{type(error).__name__}: {first_line(error)}"

    def purge(self) -> int:
        """Delete who never confirmed in time, some at once; return how many leads there were."""
        leads = 0
        while not self.stopping and (some := self._purge_some()):
            leads += some
        if leads:
            scrub(self._engine)
            log.info("unconfirmed leads deleted", leads=leads, older_than_days=self._kept.days)
        return leads

    def _purge_some(self) -> int:
        with Session(self._engine) as session:
            writing(session)
            some = retention.purge(session, now() - self._kept)
            session.commit()
        return some
