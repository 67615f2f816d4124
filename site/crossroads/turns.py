"""Turns that the processes of one machine take at something they share, each for a moment.

SQLite has whoever finds its file locked look again after 1, 2, 5 … 100 ms. Where processes write
all the time, many wait long for what is held for a fraction of a millisecond. A turn ends all that
waiting at once, and is gone with a process that is killed. It only saves time: what protects the
data is SQLite's own lock.
"""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

if sys.platform != "win32":
    import fcntl

PATIENCE_SECONDS: Final = 1.0
LOOK_SECONDS: Final = 0.0002


@contextmanager
def turn(lock: Path) -> Iterator[None]:
    """Wait a while until no other process has its turn at this file, if that can be seen."""
    file = None
    with suppress(OSError):
        file = os.open(lock, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        if file is not None:
            until = time.monotonic() + PATIENCE_SECONDS
            while not _locked(file) and time.monotonic() < until:
                time.sleep(LOOK_SECONDS)
        yield
    finally:
        if file is not None:
            os.close(file)  # and with it goes the lock


def _locked(file: int) -> bool:
    """Lock the file if nobody has; True also where there are no such locks."""
    if sys.platform != "win32":
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:  # the file system knows none
            return True
    return True
