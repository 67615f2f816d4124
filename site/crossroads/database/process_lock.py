"""A file lock between processes of one machine, with a timeout.

SQLite retries a locked file after 1, 2, 5 … 100 ms. When processes write all the time, many wait
much longer than the file is locked. With this lock a process retries every fifth of a millisecond,
and a killed process releases it. It only saves time: SQLite's own lock protects the data.
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
    with suppress(OSError):  # then there is no lock, and SQLite makes it wait
        file = os.open(lock, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        if file is not None:
            until = time.monotonic() + patience
            while not _locked(file) and time.monotonic() < until:
                time.sleep(LOOK_SECONDS)
        yield
    finally:
        if file is not None:
            os.close(file)  # this also releases the lock


def _locked(file: int) -> bool:
    """Lock the file if no other process has; True also where such locks do not exist."""
    if sys.platform != "win32":
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:  # the file system has no locks
            return True
    return True
