"""Ends a process when its parent ends, also after kill -9, which sends no signal to children."""

import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Final

WATCH_SECONDS: Final = 0.5  # between two checks of the parent
GRACE_SECONDS: Final = 5.0  # to stop in, before it is killed
PR_SET_PDEATHSIG: Final = 1  # https://man7.org/linux/man-pages/man2/PR_SET_PDEATHSIG.2const.html
SUPERVISOR: Final = "CROSSROADS_SUPERVISOR"  # the process that runs all others, by its number


def end_with_parent(parent: int) -> None:
    """End this process when its parent has ended.

    On Linux the kernel kills it, even when none of its threads gets a turn. Elsewhere, and when the
    parent ended before that was asked for, it is told to stop, then killed.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
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
