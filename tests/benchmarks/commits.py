"""The minimum cost of durable storage: raw inserts, one transaction each, by one writer."""

import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path

Values = Mapping[str, object]
Rows = Sequence[tuple[str, Values]]  # table and values, in the order of insertion


def like(database: Path, *tables: str) -> dict[str, Values]:
    """Return the newest row of each table, as a template for more rows."""
    with closing(sqlite3.connect(database)) as connection:
        connection.row_factory = sqlite3.Row
        return {
            table: dict(
                connection.execute(
                    f'SELECT * FROM "{table}" ORDER BY rowid DESC LIMIT 1'
                ).fetchone()
            )
            for table in tables
        }


def copy(database: Path, to: Path) -> None:
    """Copy a SQLite database, even while it is in use."""
    with closing(sqlite3.connect(database)) as source, closing(sqlite3.connect(to)) as target:
        source.backup(target)


def count(database: Path, table: str) -> int:
    with closing(sqlite3.connect(database)) as connection:
        (number,) = connection.execute(f'SELECT count(*) FROM "{table}"').fetchone()
        return int(number)


def rate(database: Path, make: Callable[[], Rows], seconds: float) -> float:
    """Return the transactions committed per second, each as durable as on the site.

    `make` returns the rows of one transaction. The driver prepares each insert once.
    """
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
            connection.execute(f"PRAGMA {pragma}")
        began, number = time.perf_counter(), 0
        while (took := time.perf_counter() - began) < seconds:
            connection.execute("BEGIN IMMEDIATE")
            for table, values in make():
                marks = ", ".join("?" * len(values))
                connection.execute(
                    f'INSERT INTO "{table}" ({", ".join(values)}) VALUES ({marks})',
                    tuple(values.values()),
                )
            connection.execute("COMMIT")
            number += 1
    return number / took
