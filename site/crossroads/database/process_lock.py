"""A file lock between processes of one machine, with a timeout.

SQLite retries a locked file after 1, 2, 5 … 100 ms. Where processes write
all the time, many wait much longer than the file is held. With this lock a process looks every
fifth of a millisecond, and a process that is killed has none. It only saves time: what protects the
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

LOOK_SECONDS: Final = 0.0002


@contextmanager
def hold(lock: Path, *, patience: float) -> Iterator[None]:
    """Wait until no other process holds this file, at most `patience` seconds."""
    file = None
    with suppress(OSError):  # then it goes without a turn, and SQLite has it wait
        file = os.open(lock, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        if file is not None:
            until = time.monotonic() + patience
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
