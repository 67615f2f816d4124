"""Processes that end with the one that started them, however that ended: kill -9 tells nobody."""

import os
import signal
import threading
import time
from collections.abc import Callable
from typing import Final

WATCH_SECONDS: Final = 0.5  # between two looks at whether the parent is there
GRACE_SECONDS: Final = 5.0  # to stop in, before it is killed
SUPERVISOR: Final = "CROSSROADS_SUPERVISOR"  # the process that runs all others, by its number


def end_with_parent(parent: int) -> None:
    """End this process when its parent has ended: it is told to stop, then killed."""
    _end_unless(lambda: os.getppid() == parent)


def end_with_supervisor() -> None:
    """End this process with `flask up`, if that is among those that started it."""
    supervisor = os.environ.pop(SUPERVISOR, "")
    if supervisor.isdecimal():
        _end_unless(lambda: _is_there(int(supervisor)))


def _end_unless(wanted: Callable[[], bool]) -> None:
    def watch() -> None:
        while wanted():
            time.sleep(WATCH_SECONDS)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(GRACE_SECONDS)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, name="parent watch", daemon=True).start()


def _is_there(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True
