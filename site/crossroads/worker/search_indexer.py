"""The indexer: has new leads found by their words."""

import time

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from crossroads.database.writing_session import writing_session
from crossroads.leads import search_index
from crossroads.worker.loop import Periodic


class Indexer(Periodic):
    """Puts leads into the index of words in this process, beside the mail."""

    name = "indexer"
    seconds = 5.0  # the more leads come at once, the less each one costs

    def __init__(self, engine: Engine) -> None:
        super().__init__()
        self._engine = engine

    def turn(self) -> None:
        self.index()

    def index(self) -> int:
        """Index every lead that is in no index yet, some at once; return how many there were."""
        leads = 0
        while not self.stopping and (some := self._some()):
            leads += some
        return leads

    def _some(self) -> int:
        with Session(self._engine) as session:
            if not search_index.any_waiting(session):
                return 0
        began = time.monotonic()
        with writing_session(self._engine) as session:
            some = search_index.index(session)
        # On SQLite nobody else could write meanwhile: now it is their turn for as long.
        time.sleep(time.monotonic() - began)
        return some
