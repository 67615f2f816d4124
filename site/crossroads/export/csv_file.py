"""A sheet as CSV: RFC 4180, UTF-8, safe in a spreadsheet.

The database makes the text and Python moves it: on PostgreSQL COPY writes each line, on SQLite
one string comes for a thousand rows.
"""

import csv
import io
from collections.abc import Callable, Iterator
from itertools import islice
from typing import IO, Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    String,
    and_,
    bindparam,
    case,
    collate,
    func,
    literal_column,
    select,
)

from crossroads.export import rows
from crossroads.export.sheet import SIGNS, Sheet
from crossroads.listing import Filter

AT_ONCE = 1000
# Bytes that no text in UTF-8 holds, so what is stored cannot be taken for them.
CELL, ROW = b"\xff", b"\xfe"


def write(
    connection: Connection,
    sheet: Sheet,
    which: Filter,
    file: IO[bytes],
    done: Callable[[int], object],
) -> None:
    """Write the rows that are meant; `done` is called with the number of rows of each part."""
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
    """Yield lines as PostgreSQL's COPY writes them, and how many there are.

    https://www.postgresql.org/docs/current/sql-copy.html#SQL-COPY-FILE-FORMATS
    """
    found = rows.meant(sheet, which).offset(0).subquery()  # or each cell is worked out twice
    columns = rows.worded(sheet, found.c, "postgresql")
    cells = [
        func.nullif(_safe(column, "C"), "") if _is_text(column) else column
        for column in columns.values()
    ]
    query = select(*cells).compile(connection, compile_kwargs={"render_postcompile": True})
    driver = connection.connection.driver_connection
    assert driver is not None  # noqa: S101, it is open
    copying = driver.cursor()
    with copying, copying.copy(f"COPY ({query}) TO STDOUT (FORMAT csv)", query.params) as copy:
        lines = iter(copy)
        while part := list(islice(lines, AT_ONCE)):
            text = b"".join(part)
            if text.count(b"\n") != len(part):  # some stand inside of quotes
                yield b"".join(bytes(line[:-1]) + b"\r\n" for line in part), len(part)
            else:
                yield text.replace(b"\n", b"\r\n"), len(part)


def _packed(connection: Connection, sheet: Sheet, which: Filter) -> Iterator[tuple[bytes, int]]:
    """Yield lines as SQLite joins them, and how many there are."""
    number = next(iter(sheet.columns.values()))
    last: ColumnElement[int] = bindparam("last", 0, type_=number.type)
    found = rows.meant(sheet, which).where(number > last).limit(AT_ONCE).subquery()
    cells = [
        _safe(column, "BINARY") if _is_text(column) else column
        for column in rows.worded(sheet, found.c, "sqlite").values()
    ]
    # One format for all cells is several times faster than to append one after the other.
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


def _lines(packed: bytes) -> bytes:
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


def _safe(column: ColumnElement[Any], order: str) -> ColumnElement[Any]:
    """Do to a column what sheet.defuse does to a text; NULL becomes empty.

    Almost every cell starts with a letter, a digit or a slash, and one comparison tells. `order`
    is the collation by code points.
    """
    start = func.substr(func.ltrim(column, _word("'")), 1, 1)
    return case(
        (_within(column, "A", "＀", order), column),
        (column.is_(None), _word("")),
        (_within(column, "/", "=", order), column),
        (start.in_([_word(sign) for sign in SIGNS]), _word("'").concat(column)),
        else_=column,
    )


def _within(column: ColumnElement[Any], first: str, end: str, order: str) -> ColumnElement[bool]:
    letters = collate(column, order)
    return and_(letters >= _word(first), letters < _word(end))


def _word(text: str) -> ColumnElement[str]:
    """Return a constant as a literal: hundreds of parameters would be bound for every part."""
    quoted = text.replace("'", "''")
    return literal_column(f"'{quoted}'", String)
