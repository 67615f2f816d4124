"""A sheet as JSON Lines: one object per row, in UTF-8. https://jsonlines.org"""

import json
from collections.abc import Callable
from typing import IO

from sqlalchemy import Connection, select

from crossroads.database.pagination import Filter
from crossroads.export import rows
from crossroads.export.sheet import Sheet


def write(
    connection: Connection,
    sheet: Sheet,
    which: Filter,
    file: IO[bytes],
    done: Callable[[int], object],
) -> None:
    """Write the selected rows; `done` is called with the number of rows of each part.

    Numbers are JSON numbers, times and amounts are strings as in the CSV, and missing values are
    null.
    """
    found = rows.selected(sheet, which).subquery()
    query = select(*rows.formatted(sheet, found.c, connection.dialect.name).values())
    names = list(sheet.columns)
    encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
    for part in rows.batches(connection, query.order_by(next(iter(found.c)))):
        lines = [encode(dict(zip(names, row, strict=True))) for row in part]
        file.write(("\n".join(lines) + "\n").encode())
        done(len(part))
