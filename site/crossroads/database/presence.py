"""Presence: each worker holds a file lock, which the system releases when it ends.

The kernel lets go of a lock when its process ends, however it ends. So a worker whose lock can be
taken is dead for certain, and what it had in hand can be taken over without waiting for its lease.
A worker on another machine, or one with another INSTANCE, is left to its lease.
"""

import os
import sys
from contextlib import suppress
from pathlib import Path

import structlog

from crossroads.database import leases
from crossroads.logs import first_line

if sys.platform != "win32":
    import fcntl

SUFFIX = ".lock"

log = structlog.get_logger("crossroads.worker")


class Presence:
    """Shows that this process is alive as `owner`, from now until close() or its end.

    Where the lock cannot be had, as on a full disk, it goes without: leases alone count then.
    """

    def __init__(self, folder: Path) -> None:
        self.owner = leases.new_owner()
        self._folder = folder
        self._file: int | None = None
        try:
            self._file = self._hold()
        except OSError as error:
            log.warning("worker without a lock of its own", error=first_line(error))

    def dead(self) -> list[str]:
        """Return the owners on this machine whose processes have ended without close()."""
        if self._file is None:
            return []
        # A name that was taken from another machine on a shared folder may be locked there unseen.
        host = leases.host()
        found = sorted(path.name.removesuffix(SUFFIX) for path in self._folder.glob(f"*{SUFFIX}"))
        return [
            name
            for name in found
            if name != self.owner and name.rsplit("-", 2)[0] == host and self._has_ended(name)
        ]

    def forget(self, owner: str) -> None:
        """Remove the lock of one who is dead, once nothing is in their hands any more."""
        with suppress(OSError):
            self._path(owner).unlink(missing_ok=True)

    def close(self) -> None:
        """End being alive: what this process had in hand is done."""
        if self._file is not None:
            self.forget(self.owner)
            os.close(self._file)
            self._file = None

    def _hold(self) -> int | None:
        if sys.platform == "win32":
            return None
        self._folder.mkdir(mode=0o700, exist_ok=True)
        # Under another name until it is locked: nobody is to see it without.
        draft = self._folder / f".{self.owner}"
        file = os.open(draft, os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            draft.rename(self._path(self.owner))
        except OSError:
            os.close(file)
            raise
        return file

    def _has_ended(self, owner: str) -> bool:
        if sys.platform == "win32":
            return False
        try:
            file = os.open(self._path(owner), os.O_WRONLY)
        except OSError:  # another worker has seen to it
            return False
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        finally:
            os.close(file)
        return True

    def _path(self, owner: str) -> Path:
        return self._folder / f"{owner}{SUFFIX}"
