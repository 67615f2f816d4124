"""Presence: each worker holds a file lock, which the system releases when it ends.

The kernel releases a lock when its process ends, for whatever reason. So if a worker's lock can be
taken, the worker is certainly dead, and others take over its jobs without waiting for its lease.
For a worker on another machine, or with another INSTANCE, only its lease counts.
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

    If the lock cannot be created, for example on a full disk, only leases count.
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
        # On a shared folder, a lock of another machine may not be visible here.
        host = leases.host()
        found = sorted(path.name.removesuffix(SUFFIX) for path in self._folder.glob(f"*{SUFFIX}"))
        return [
            name
            for name in found
            if name != self.owner and name.rsplit("-", 2)[0] == host and self._has_ended(name)
        ]

    def forget(self, owner: str) -> None:
        """Remove the lock file of a dead owner, after its jobs were released."""
        with suppress(OSError):
            self._path(owner).unlink(missing_ok=True)

    def close(self) -> None:
        """Release the lock: this process has finished its jobs."""
        if self._file is not None:
            self.forget(self.owner)
            os.close(self._file)
            self._file = None

    def _hold(self) -> int | None:
        if sys.platform == "win32":
            return None
        self._folder.mkdir(mode=0o700, exist_ok=True)
        # Under another name until it is locked: others must not see it unlocked.
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
        except OSError:  # another worker has removed it
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
