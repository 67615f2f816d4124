"""Rate limits, counted by all processes of one machine in a separate file.

While the file cannot be used, each process counts for itself: a full disk does not end the limits.
"""

import json
import math
import sqlite3
import time
from collections.abc import Sequence
from functools import cache
from ipaddress import ip_network
from pathlib import Path
from threading import Lock
from typing import cast

import structlog
from flask import request
from flask_limiter import Limiter
from limits import RateLimitItem, parse_many
from limits.storage import Storage
from limits.typing import Any

from crossroads.database.process_lock import hold
from crossroads.logs import first_line
from crossroads.middleware.security import client_ip

SCHEME = "crossroads-counters"
log = structlog.get_logger()

TURN_SECONDS = 0.05  # much longer than one count takes
PURGE_SECONDS = 60  # between two deletions of expired counters
# Wait before an unusable file is tried again. A try on a locked file takes 5 seconds, and every
# request that is counted waits for it.
RETRY_SECONDS = 30.0
TABLE = """
CREATE TABLE IF NOT EXISTS counter (
  key TEXT PRIMARY KEY, count INTEGER NOT NULL, expires REAL NOT NULL
) WITHOUT ROWID
"""
# Adds counts that were made in memory.
ADD = """
INSERT INTO counter (key, count, expires) VALUES (?, ?, ?)
ON CONFLICT (key) DO UPDATE SET
  count = CASE WHEN expires <= ?4 THEN excluded.count ELSE count + excluded.count END,
  expires = max(expires, excluded.expires)
"""
HIGHEST = 2**62
# One statement, which commits itself: between two statements of a transaction another thread could
# run, and the counting thread would wait for it.
COUNT = """
WITH asked AS (
  SELECT key AS place, json_extract(value, '$[0]') AS name,
    json_extract(value, '$[1]') AS seconds, json_extract(value, '$[2]') AS most
  FROM json_each(?1)
), standing AS (
  SELECT place, name, seconds, most, CASE WHEN expires > ?2 THEN count ELSE 0 END AS before
  FROM asked LEFT JOIN counter ON counter.key = name
)
INSERT INTO counter (key, count, expires)
SELECT name, ?3, ?2 + seconds FROM standing
WHERE place <= coalesce((SELECT min(place) FROM standing WHERE before + ?3 > most), place)
ON CONFLICT (key) DO UPDATE SET
  count = CASE WHEN expires <= ?2 THEN excluded.count ELSE count + excluded.count END,
  expires = CASE WHEN expires <= ?2 THEN excluded.expires ELSE expires END
RETURNING key, count, expires
"""


class CounterFile(Storage):
    """Counters in one SQLite file, changed by single statements that commit themselves.

    The file is separate from the site's database: a count must neither wait for a request's
    transaction nor be rolled back with it. Durability is off: a count lost in a power failure does
    no harm. Processes use a lock: a thread that waits for the file blocks all others of its
    process.

    When the file cannot be read or written, this process counts in memory by the same statements,
    and adds these counts to the file later. Until then N processes allow up to N times the limit.
    """

    STORAGE_SCHEME = [SCHEME]  # noqa: RUF012 - the registry of limits wants a list

    def __init__(self, uri: str, wrap_exceptions: bool = False) -> None:
        super().__init__(uri, wrap_exceptions=wrap_exceptions)
        self._path = Path(uri.removeprefix(f"{SCHEME}://"))
        self._turns = self._path.with_suffix(".lock")
        self._lock = Lock()
        self._connection: sqlite3.Connection | None = None
        self._memory: sqlite3.Connection | None = None  # only while the file cannot be used
        self._retry_at = 0.0
        self._purge_at = 0.0

    @property
    def base_exceptions(self) -> type[Exception]:
        return sqlite3.Error

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        ((_, count, _),) = self._count([(key, expiry, HIGHEST)], amount)
        return count

    def incr_up_to_the_first_over(self, counters: Sequence[tuple[str, int, int]]) -> float | None:
        """Increase counters, each given by key, seconds and maximum, in this order.

        Counters after the first one over its maximum do not change. Returns the time when that one
        ends, in seconds since 1970, or None when none is over.
        """
        most = {key: most for key, _, most in counters}
        counted = self._count(counters)
        return next((expires for key, count, expires in counted if count > most[key]), None)

    def get(self, key: str) -> int:
        rows = self._run(
            "SELECT count FROM counter WHERE key = ? AND expires > ?", key, time.time()
        )
        return int(rows[0][0]) if rows else 0

    def get_expiry(self, key: str) -> float:
        rows = self._run("SELECT expires FROM counter WHERE key = ?", key)
        return float(rows[0][0]) if rows else time.time()

    def check(self) -> bool:
        return bool(self._run("SELECT 1"))

    def reset(self) -> int | None:
        self._run("DELETE FROM counter")
        return None

    def clear(self, key: str) -> None:
        self._run("DELETE FROM counter WHERE key = ?", key)

    def close(self) -> None:
        """Close the file and drop counts in memory; the next use opens the file again."""
        with self._lock:
            self._close_file()
            if self._memory is not None:
                self._memory.close()
                self._memory = None

    def _count(
        self, counters: Sequence[tuple[str, int, int]], amount: int = 1
    ) -> list[tuple[str, int, float]]:
        """Increase these up to the first that is over; return key, count and end of each."""
        at = time.time()
        if at >= self._purge_at:
            self._purge_at = at + PURGE_SECONDS
            self._run("DELETE FROM counter WHERE expires <= ?", at)
        return self._run(COUNT, json.dumps(counters), at, amount)

    def _run(self, statement: str, *values: Any) -> list[Any]:
        with self._lock:
            if self._memory is None or time.monotonic() >= self._retry_at:
                try:
                    return self._run_in_file(statement, values)
                except (sqlite3.Error, OSError) as error:
                    self._fall_back(error)
            assert self._memory is not None  # noqa: S101 - it is there whenever the file is not
            return self._memory.execute(statement, values).fetchall()

    def _run_in_file(self, statement: str, values: Sequence[Any]) -> list[Any]:
        if self._connection is None:
            self._connection = self._open()
        with hold(self._turns, patience=TURN_SECONDS):
            if self._memory is not None:
                self._return_to(self._connection, self._memory)
            return self._connection.execute(statement, values).fetchall()

    def _fall_back(self, error: Exception) -> None:
        """Count in memory from now on. Logged once, not at each try to return to the file."""
        self._close_file()
        self._retry_at = time.monotonic() + RETRY_SECONDS
        if self._memory is None:
            self._memory = sqlite3.connect(
                ":memory:", isolation_level=None, check_same_thread=False
            )
            self._memory.execute(TABLE)
            log.error(
                "limits cannot be counted in their file: each process counts alone",
                file=str(self._path),
                error=first_line(error),
            )

    def _return_to(self, file: sqlite3.Connection, memory: sqlite3.Connection) -> None:
        """Add the counts in memory to the file. Raises when it still cannot be written."""
        at = time.time()
        counted = memory.execute("SELECT key, count, expires FROM counter").fetchall()
        file.execute("BEGIN IMMEDIATE")
        # An unused counter, so that the file is written even when nothing was counted.
        for key, count_, expires in [("", 0, at), *counted]:
            file.execute(ADD, (key, count_, expires, at))
        file.execute("COMMIT")
        memory.close()
        self._memory = None
        log.info("limits are counted in their file again", file=str(self._path))

    def _close_file(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _open(self) -> sqlite3.Connection:
        self._path.touch(mode=0o600)  # it contains IP addresses
        connection = sqlite3.connect(
            self._path, timeout=5, isolation_level=None, check_same_thread=False
        )
        try:
            connection.execute("PRAGMA synchronous = OFF")
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute(TABLE)
        except sqlite3.Error:
            connection.close()
            raise
        return connection


def client_network() -> str:
    """Return the network to count by: the IPv4 address, or the /64 of one IPv6 subscriber."""
    ip = client_ip()
    if ip is None:
        return "unknown"  # a proxy sent no address: one count for all of these
    return str(ip if ip.version == 4 else ip_network((int(ip), 64), strict=False))


class TooMany(Exception):
    """A limit is reached: the next request is accepted after this number of `seconds`."""

    def __init__(self, seconds: int) -> None:
        super().__init__(f"one more in {seconds} seconds")
        self.seconds = seconds


# swallow_errors stays off: a request that could not be counted would have no limit.
limiter = Limiter(key_func=client_network)


@limiter.request_filter
def _counts_itself() -> bool:
    """Return whether to skip the limiter: only views of the desk have its decorator."""
    return not request.path.startswith("/admin")


def count(*limits: tuple[str, str, str]) -> None:
    """Count one request under each of these limits. Raises TooMany when one of them is exceeded.

    Each limit is given by its windows, its scope, and the name to count in it. Windows after the
    one that is exceeded are not counted: a client over its minute does not use up its hour.

    Uses the fixed windows and the counters of the limiter, but not its decorator or context: they
    look up more for each request, and count one window after the other, which is slow.
    """
    counters = [
        (window.key_for(scope, name), window.get_expiry(), window.amount)
        for limit, scope, name in limits
        for window in _windows(limit)
    ]
    until = cast(CounterFile, limiter.storage).incr_up_to_the_first_over(counters)
    if until is not None:
        raise TooMany(max(1, math.ceil(until - time.time())))


@cache
def _windows(limit: str) -> list[RateLimitItem]:
    return sorted(parse_many(limit))


def seconds_to_wait() -> int:
    """Return the seconds until the limit that this request exceeded allows it again."""
    limit = limiter.current_limit
    # Rounded up both there and here, it could be a second longer than the window.
    return max(1, limit.reset_at - math.ceil(time.time())) if limit else 60
