"""Search indexer: adds new leads to the search index."""

import time

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from crossroads.database.writing_session import writing_session
from crossroads.leads import search_index
from crossroads.worker.loop import Periodic


class SearchIndexer(Periodic):
    """Indexes leads in a thread of its own."""

    name = "indexer"
    seconds = 5.0  # larger batches cost less for each lead

    def __init__(self, engine: Engine) -> None:
        super().__init__()
        self._engine = engine

    def run_once(self) -> None:
        self.index()

    def index(self) -> int:
        """Index every lead that is not indexed yet, in batches; return their number."""
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
        # On SQLite this blocked all other writers: pause for as long.
        time.sleep(time.monotonic() - began)
        return some
