"""Rows of the desk as a CSV file: RFC 4180, UTF-8, safe in a spreadsheet, at constant memory."""

import csv
import io
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Any

from sqlalchemy import Engine, FromClause, func, select

from crossroads import money
from crossroads.listing import Filter

CHUNK = 5000
# What a spreadsheet takes for a formula, the wide signs of East Asian keyboards included, after
# any quotes an earlier export put before it.
# https://owasp.org/www-community/attacks/CSV_Injection
FORMULA = re.compile(r"'*[=+\-@＝＋－＠\t\r\n]")

Progress = Callable[[int], object]


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """What an export holds: the columns by name, read from `source` where it takes a join.

    The first column is a number that no other row has; rows come in its order. The columns named
    in `amounts` count the smallest unit of the row's column "currency", an ISO code, and are
    written as decimals.
    """

    columns: Mapping[str, Any]
    source: FromClause | None = None
    amounts: frozenset[str] = frozenset()


def write_csv(
    engine: Engine,
    sheet: Sheet,
    which: Filter,
    file: IO[bytes],
    progress: Progress | None = None,
) -> int:
    """Write the rows that are meant to a binary file, lowest number first; return how many.

    Each chunk is read in a transaction of its own, so that no lock outlives it, and rows that
    come in meanwhile are left out. `progress` is called with the number of rows of each chunk.
    """
    text = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
    try:
        writer = csv.writer(text, lineterminator="\r\n")
        writer.writerow(sheet.columns)
        written = 0
        for rows in _chunks(engine, sheet, which):
            writer.writerows(_cells(sheet, rows))
            written += len(rows)
            if progress is not None:
                progress(len(rows))
        text.flush()
    finally:
        text.detach()  # or the caller's file would be closed with the wrapper
    return written


def write_whole(
    engine: Engine, sheet: Sheet, which: Filter, target: Path, progress: Progress | None = None
) -> int:
    """Write beside the target and rename, so that the target is the old file or the whole new.

    Returns how many rows there are. Raises OSError when it cannot be written.
    """
    with whole(target) as file:
        return write_csv(engine, sheet, which, file, progress)


@contextmanager
def whole(target: Path) -> Iterator[IO[bytes]]:
    """Give a file to write beside the target, which takes its place when all of it is written.

    Only its owner may read it: it holds people's addresses. Raises OSError.
    """
    draft = target.parent / f".{target.name}.{os.getpid()}"
    draft.touch(mode=0o600)
    try:
        with draft.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)


def defuse(text: str) -> str:
    """Put a quote before what a spreadsheet would run."""
    return f"'{text}" if FORMULA.match(text) else text


def undo(cell: str) -> str:
    """Return what defuse() made a cell of."""
    return cell[1:] if cell.startswith("'") and FORMULA.match(cell[1:]) else cell


def _chunks(engine: Engine, sheet: Sheet, which: Filter) -> Iterator[Sequence[Any]]:
    number = next(iter(sheet.columns.values()))
    with engine.connect() as connection:
        highest = connection.scalar(select(func.max(number))) or 0
    query = select(*sheet.columns.values()).where(*which.conditions())
    if sheet.source is not None:
        query = query.select_from(sheet.source)
    query = query.order_by(number).limit(CHUNK)
    last = 0
    while last < highest:
        with engine.connect() as connection:
            rows = connection.execute(query.where(number > last, number <= highest)).all()
        if rows:
            yield rows
        last = rows[-1][0] if len(rows) == CHUNK else highest


def _cells(sheet: Sheet, rows: Sequence[Any]) -> Iterator[list[str | int]]:
    names = list(sheet.columns)
    amounts = [names.index(name) for name in sheet.amounts]
    for row in rows:
        cells = [_cell(value) for value in row]
        for place in amounts:
            if row[place] is not None:
                cells[place] = money.decimal(row[place], row[names.index("currency")])
        yield cells


def _cell(value: str | int | datetime | None) -> str | int:
    if isinstance(value, str):
        return defuse(value)
    if isinstance(value, datetime):
        return value.isoformat(timespec="seconds")[:19] + "Z"
    return "" if value is None else value
