"""A loop that runs until it is stopped, and pauses after errors."""

import signal
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from crossroads.logs import first_line

WAIT = 0.5  # seconds between two polls for work
NAP = 0.1  # seconds until a stop is noticed
LONGEST_REST = 30.0  # seconds, while the database is away

log = structlog.get_logger("crossroads.worker")


class Loop(ABC):
    """Runs work() again and again. `name` is what the log calls it."""

    name: str

    def __init__(self) -> None:
        # Not an Event: its lock may be held by the thread that a signal's handler interrupts.
        self._stopping = False

    @abstractmethod
    def work(self) -> None:
        """Do all work that is due. Checks `stopping` between two jobs."""

    def reason(self, error: Exception) -> str:
        """Return the error as one line without personal data."""
        return f"{type(error).__name__}: {first_line(error)}"

    @property
    def stopping(self) -> bool:
        return self._stopping

    def stop(self) -> None:
        """Have run() return."""
        self._stopping = True

    def run(self) -> None:
        """Work until stop(), SIGTERM or SIGINT; the current job is finished first.

        Errors are logged, and followed by a pause.
        """
        with self._signals():
            log.info(f"{self.name} started")
            troubles = 0
            while not self._stopping:
                try:
                    self.work()
                    troubles = 0
                    self._rest(WAIT)
                except Exception as error:
                    troubles += 1
                    rest = min(WAIT * 2**troubles, LONGEST_REST)
                    log.error(
                        f"{self.name} in trouble", error=self.reason(error), rest_seconds=rest
                    )
                    self._rest(rest)
            log.info(f"{self.name} stopped")

    def _rest(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while not self._stopping and (left := until - time.monotonic()) > 0:
            time.sleep(min(NAP, left))

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """Stop at SIGTERM and SIGINT, where Python can listen: in the main thread."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        numbers = (signal.SIGTERM, signal.SIGINT)
        before = [signal.signal(number, lambda _number, _frame: self.stop()) for number in numbers]
        try:
            yield
        finally:
            for number, handler in zip(numbers, before, strict=True):
                signal.signal(number, handler)


class Periodic(Loop):
    """Calls run_once() at once, then `seconds` after each run. A failed run is retried."""

    seconds: float

    def __init__(self) -> None:
        super().__init__()
        self._next = time.monotonic()

    def work(self) -> None:
        if time.monotonic() >= self._next:
            self.run_once()
            self._next = time.monotonic() + self.seconds

    @abstractmethod
    def run_once(self) -> object:
        """Do all work since the last run."""
