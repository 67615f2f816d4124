"""The sweeper: looks every few minutes for what was missed of Stripe."""

import time
from dataclasses import asdict
from typing import Final

import structlog
from sqlalchemy import Engine

from crossroads import leases
from crossroads.loops import Loop
from crossroads.payments import Gateway
from crossroads.reconciliation import Busy, Sweep

SWEEP_SECONDS: Final = 180.0

log = structlog.get_logger("crossroads.worker")


class Sweeper(Loop):
    """Sweeps beside the settler: a long sweep keeps no event waiting."""

    name = "sweeper"

    def __init__(self, engine: Engine, gateway: Gateway, base_url: str) -> None:
        super().__init__()
        self._engine = engine
        self._gateway = gateway
        self._base_url = base_url
        self._owner = leases.new_owner()
        self._next = time.monotonic()

    def work(self) -> None:
        if time.monotonic() < self._next:
            return
        sweep = Sweep(self._engine, self._gateway, self._base_url, self._owner, self._must_stop)
        try:
            for drift in sweep.run():
                log.info("order healed", **asdict(drift))
        except Busy as error:
            log.info("sweep left to another", owner=error.owner)
        if sweep.left:
            log.warning("sweep left something for the next", left=sweep.left)
        self._next = time.monotonic() + SWEEP_SECONDS

    def _must_stop(self) -> bool:
        return self.stopping
