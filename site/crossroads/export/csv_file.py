"""A sheet as CSV: RFC 4180, UTF-8, safe in a spreadsheet.

The database builds the text and Python only copies it: on PostgreSQL, COPY writes each line; on
SQLite, one string holds a thousand rows.
"""

import csv
import io
import re
from collections.abc import Callable, Iterable, Iterator
from typing import IO, TYPE_CHECKING, Any

from sqlalchemy import (
    Case,
    ColumnElement,
    Connection,
    String,
    and_,
    bindparam,
    case,
    collate,
    func,
    literal_column,
    null,
    or_,
    select,
)

from crossroads.database.pagination import Filter
from crossroads.export import rows
from crossroads.export.sheet import OPERATORS, SEPARATORS, SIGNS, SKIPPED, Sheet

if TYPE_CHECKING:
    from psycopg import Copy
    from psycopg.abc import Buffer
    from psycopg.pq.abc import PGconn

AT_ONCE = 1000
# Bytes that never occur in UTF-8, so that stored text cannot contain these separators.
CELL, ROW = b"\xff", b"\xfe"
# The start of a formula in UTF-8, where a wide sign has several bytes.
FOLLOWS = b"[%b]*(?:%b)" % (
    SKIPPED.encode(),
    b"|".join(re.escape(one.encode()) for one in OPERATORS),
)
# For each separator, where a formula follows it. One pattern each: a literal start is found fast.
INNER = {
    mark: re.compile(re.escape(mark) + b"(?=" + FOLLOWS + b")")
    for mark in (one.encode() for one in SEPARATORS)
}
# Cells that COPY puts in quotes, and the separators that occur only within quotes.
QUOTED = re.compile(rb'"(?:[^"]|"")*"')
WITHIN_QUOTES = (b",", b"\r", b"\n")
ANYWHERE = tuple(mark for mark in INNER if mark not in WITHIN_QUOTES)


def write(
    connection: Connection,
    sheet: Sheet,
    which: Filter,
    file: IO[bytes],
    done: Callable[[int], object],
) -> None:
    """Write the selected rows; `done` is called with the number of rows of each part."""
    file.write(_head(sheet))
    read = _packed if connection.dialect.name == "sqlite" else _copied
    for text, number in read(connection, sheet, which):
        file.write(text)
        done(number)


def _head(sheet: Sheet) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerow(sheet.columns)
    return text.getvalue().encode()


def _copied(connection: Connection, sheet: Sheet, which: Filter) -> Iterator[tuple[bytes, int]]:
    """Yield parts of the CSV from PostgreSQL's COPY, each with its number of rows.

    https://www.postgresql.org/docs/current/sql-copy.html#SQL-COPY-FILE-FORMATS
    """
    found = rows.selected(sheet, which).offset(0).subquery()  # or each cell is computed twice
    columns = rows.formatted(sheet, found.c, "postgresql")
    cells = [
        _safe(column, "C", null()) if _is_text(column) else column for column in columns.values()
    ]
    query = select(*cells).compile(connection, compile_kwargs={"render_postcompile": True})
    driver = connection.connection.driver_connection
    assert driver is not None  # noqa: S101, it is open
    copying = driver.cursor()
    with copying, copying.copy(f"COPY ({query}) TO STDOUT (FORMAT csv)", query.params) as copy:
        for part in _received(copy, driver.pgconn):
            text = b"".join(part)
            if text.count(b"\n") != len(part):  # some are inside quotes
                text = ROW.join([bytes(line[:-1]) for line in part])
            else:
                text = text[:-1].replace(b"\n", ROW)
            if b'"' in text:
                text = QUOTED.sub(lambda cell: _defused(cell[0], WITHIN_QUOTES), text)
            yield _defused(text, ANYWHERE).replace(ROW, b"\r\n") + b"\r\n", len(part)


def _received(copy: "Copy", connection: "PGconn") -> Iterator[list["Buffer"]]:
    """Yield received lines in batches. Raises psycopg.Error when COPY fails.

    The driver waits for the first line of a batch. Lines that arrived with it are read from libpq
    directly, which takes much less time per line.
    https://www.postgresql.org/docs/current/libpq-copy.html#LIBPQ-COPY-RECEIVE
    """
    size = 1
    while size >= 0 and (first := copy.read()):
        lines: list[Buffer] = [first]
        while len(lines) < AT_ONCE:
            size, line = connection.get_copy_data(True)
            if size <= 0:  # no more lines yet, or the end
                break
            lines.append(line)
        yield lines
    if size < 0:
        _end(connection)


def _end(connection: "PGconn") -> None:
    """Read the result of a COPY. Raises psycopg.Error when it failed before its end."""
    from psycopg.errors import error_from_result
    from psycopg.pq import ExecStatus

    while result := connection.get_result():
        if result.status != ExecStatus.COMMAND_OK:
            raise error_from_result(result)


def _packed(connection: Connection, sheet: Sheet, which: Filter) -> Iterator[tuple[bytes, int]]:
    """Yield parts of the CSV as SQLite joins them, each with its number of rows."""
    number = next(iter(sheet.columns.values()))
    last: ColumnElement[int] = bindparam("last", 0, type_=number.type)
    found = rows.selected(sheet, which).where(number > last).limit(AT_ONCE).subquery()
    cells = [
        _safe(column, "BINARY", _word("")) if _is_text(column) else column
        for column in rows.formatted(sheet, found.c, "sqlite").values()
    ]
    # One format for all cells is several times faster than appending cell by cell.
    line = func.printf(_text(CELL.join([b"%s"] * len(cells))), *cells)
    packed = func.group_concat(line, _text(ROW))
    query = select(packed, func.count(), func.max(next(iter(found.c))))
    driver = connection.connection.driver_connection
    assert driver is not None  # noqa: S101, it is open
    driver.text_factory = bytes
    try:
        highest = 0
        while True:
            text, count, highest = connection.execute(query, {"last": highest}).one()
            if count:
                yield _lines(text), count
            if count < AT_ONCE:
                return
    finally:
        driver.text_factory = str


def _defused(text: bytes, separators: Iterable[bytes]) -> bytes:
    """Make the inside of many cells safe at once, as sheet.defuse does for one."""
    for mark in separators:
        if mark in text:
            text = INNER[mark].sub(mark + b"'", text)
    return text


def _lines(packed: bytes) -> bytes:
    packed = _defused(packed, INNER)
    if not any(mark in packed for mark in (b'"', b",", b"\r", b"\n")):
        return packed.replace(CELL, b",").replace(ROW, b"\r\n") + b"\r\n"
    return b"".join(b",".join(map(_quoted, row.split(CELL))) + b"\r\n" for row in packed.split(ROW))


def _quoted(cell: bytes) -> bytes:
    if any(mark in cell for mark in (b'"', b",", b"\r", b"\n")):
        return b'"' + cell.replace(b'"', b'""') + b'"'
    return cell


def _text(data: bytes) -> ColumnElement[str]:
    return literal_column(f"CAST(x'{data.hex()}' AS TEXT)", String)


def _is_text(column: ColumnElement[Any]) -> bool:
    return isinstance(column.type, String)


def _safe(column: ColumnElement[Any], order: str, nothing: ColumnElement[Any]) -> Case[Any]:
    """Make the start of each cell safe, as sheet.defuse does; NULL and empty become `nothing`.

    Almost every cell starts with a letter, a digit or a slash: comparisons decide these first.
    `order` is the name of the collation by code points.
    """
    start = func.substr(func.ltrim(column, _word(SKIPPED)), 1, 1)
    return case(
        (_within(column, "A", "＀", order), column),
        (or_(column.is_(None), column == _word("")), nothing),
        (_within(column, "/", "=", order), column),
        (start.in_([_word(sign) for sign in SIGNS]), _word("'").concat(column)),
        else_=column,
    )


def _within(column: ColumnElement[Any], first: str, end: str, order: str) -> ColumnElement[bool]:
    letters = collate(column, order)
    return and_(letters >= _word(first), letters < _word(end))


def _word(text: str) -> ColumnElement[str]:
    """Return a constant as an SQL literal: parameters would be bound again for every part."""
    quoted = text.replace("'", "''")
    return literal_column(f"'{quoted}'", String)
