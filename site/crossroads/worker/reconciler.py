"""Reconciler: runs a sweep every few minutes for changes at Stripe that were missed."""

from dataclasses import asdict

import structlog
from sqlalchemy import Engine

from crossroads.database import leases
from crossroads.fulfillment.reconciliation import Sweep
from crossroads.fulfillment.sweep_lease import AlreadyRunning
from crossroads.payments import Gateway
from crossroads.worker.loop import Periodic

log = structlog.get_logger("crossroads.worker")


class Reconciler(Periodic):
    """Sweeps in its own thread, so that a long sweep delays no event."""

    name = "sweeper"
    seconds = 180.0

    def __init__(
        self,
        engine: Engine,
        gateway: Gateway,
        base_url: str,
        suppression_key: str = "",
        owner: str | None = None,
    ) -> None:
        super().__init__()
        self._engine = engine
        self._gateway = gateway
        self._base_url = base_url
        self._suppression_key = suppression_key
        self._owner = owner or leases.new_owner()

    def run_once(self) -> None:
        sweep = Sweep(
            self._engine,
            self._gateway,
            self._base_url,
            self._owner,
            self._must_stop,
            suppression_key=self._suppression_key,
        )
        try:
            for drift in sweep.run():
                log.info("order healed", **asdict(drift))
        except AlreadyRunning as error:
            log.info("sweep left to another", owner=error.owner)
        if sweep.left:
            log.warning("sweep left something for the next", left=sweep.left)
        if sweep.lost:
            found = [one.session_id for one in sweep.lost]
            log.warning("paid orders that are not in this database", checkouts=found)

    def _must_stop(self) -> bool:
        return self.stopping
