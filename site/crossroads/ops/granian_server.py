"""Granian with some private methods replaced, where its settings do not suffice.

No other module uses private names of granian. They were read in version GRANIAN, and
tests/ops/test_granian_server.py fails when another version is installed.
"""

import os
import socket
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from granian.server import Server

from crossroads.ops.parent_process import end_with_parent

GRANIAN: Final = "2.7.9"
# Its log records go through our handlers.
LOG: Final = {"formatters": {}, "handlers": {}, "loggers": {"_granian": {"propagate": True}}}
STARTED_SECONDS: Final = 0.3  # a worker that ends sooner has failed to start
LONGEST_PAUSE: Final = 5.0  # seconds before such a worker is started once more

Loader = Callable[[], Any]


class Persistent(Server):  # type: ignore[misc, valid-type] # its class depends on the platform
    """A server that replaces each worker that ends, for as long as it runs itself.

    Granian gives up when a worker ends within 5.5 s of its start. Here one that cannot even start
    is tried again, after longer and longer pauses. Workers end when the server is gone, however it
    ended: they would hold the port. `begin` is called first in each worker with the worker's name;
    no two that run at once share one, and a worker that replaces another inherits its name.
    """

    def __init__(self, *given: Any, begin: Callable[[str], None] = lambda _: None, **rest: Any):
        super().__init__(*given, **rest)
        self._begin = begin
        self._listeners: dict[int, tuple[Any, socket.socket]] = {}
        self._born: dict[int, float] = {}
        self._failed: dict[int, int] = {}  # consecutive failed starts
        self._due: dict[int, float] = {}  # when an ended worker is started again
        self._reloads = 0

    def _serve_loop(self, spawn_target: Any, target_loader: Any) -> None:
        pause: float | None = None
        while True:
            self.main_loop_interrupt.wait(pause)
            self.main_loop_interrupt.clear()
            if self.interrupt_signal:
                return
            if self.reload_signal:
                self._reloads += 1
                self._reload(spawn_target, target_loader)
            # Ended workers are looked up: a notification may arrive between two checks.
            self.interrupt_children.clear()
            ended = [idx for idx, worker in enumerate(self.wrks) if not worker.is_alive()]
            waits = {idx: self._wait(idx) for idx in ended}
            due = [idx for idx in ended if waits[idx] <= 0]
            self._respawn_workers(due, spawn_target, target_loader)
            pause = min((waits[idx] for idx in ended if waits[idx] > 0), default=None)

    def _wait(self, idx: int) -> float:
        """Return the seconds until a worker that has ended is started again, 0 or less for now.

        One that had come up is started at once; others after twice as long each time.
        """
        at = time.monotonic()
        if idx not in self._due:
            failed = at - self._born[idx] < STARTED_SECONDS
            self._failed[idx] = self._failed.get(idx, 0) + 1 if failed else 0
            pause = min(0.05 * 2 ** self._failed[idx], LONGEST_PAUSE) if failed else 0.0
            self._due[idx] = at + pause
        return self._due[idx] - at

    def _spawn_worker(self, idx: int, target: Any, callback_loader: Loader) -> Any:
        # One listener that all workers share gives most connections of a burst to the worker that
        # wakes first; the kernel spreads them evenly over several. Each is bound here and listens
        # once its worker has come up. It stays open when the worker ends: the next worker answers
        # the connections that wait there.
        if sys.platform == "linux":
            if idx not in self._listeners:
                holder = self._ssp.build()
                self._listeners[idx] = holder, socket.socket(fileno=holder.get_fd())
            self._shd, self._sso = self._listeners[idx]
        self._born[idx] = time.monotonic()
        self._due.pop(idx, None)
        name = f"{idx}-{self._reloads}" if self._reloads else str(idx)
        return super()._spawn_worker(
            idx, target, partial(_load, callback_loader, self._begin, name, os.getpid())
        )


def _load(load: Loader, begin: Callable[[str], None], name: str, server: int) -> Any:
    """Prepare a worker, in its own process, and return the application."""
    end_with_parent(server)
    begin(name)
    return load()
