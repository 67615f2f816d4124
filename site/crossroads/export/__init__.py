"""Exports of the desk: rows in one snapshot, as a file, at constant memory."""

import codecs
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

from sqlalchemy import Engine

from crossroads.database.pagination import Filter
from crossroads.export import csv_file, jsonl_file, xlsx_file
from crossroads.export.sheet import Sheet, defuse, undo

__all__ = ["KINDS", "Sheet", "defuse", "undo", "whole", "write", "write_whole"]

Progress = Callable[[int], object]

# What can be exported as, and its media type.
KINDS: Final = {
    "csv": (csv_file.write, "text/csv; charset=utf-8"),
    "xlsx": (xlsx_file.write, "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
    "jsonl": (jsonl_file.write, "application/jsonl"),
}

# Without it Excel reads a CSV file in the machine's own encoding, and José becomes JosÃ©.
SIGNATURES: Final = {"csv": codecs.BOM_UTF8}


def write(
    engine: Engine,
    sheet: Sheet,
    which: Filter,
    kind: str,
    file: IO[bytes],
    progress: Progress | None = None,
    *,
    signed: bool = False,
) -> int:
    """Write the rows that are meant to a binary file, lowest number first; return how many.

    `kind` is one of KINDS. With `signed`, CSV begins with a byte order mark: right for a file that
    is opened in Excel, wrong for a pipe. All are read in one snapshot, which holds up nobody who
    writes, and ends with the file. `progress` is called with the number of rows of each part.
    """
    written = 0

    def done(rows: int) -> None:
        nonlocal written
        written += rows
        if progress is not None:
            progress(rows)

    if signed:
        file.write(SIGNATURES.get(kind, b""))
    make, _ = KINDS[kind]
    with engine.connect() as connection:
        make(connection, sheet, which, file, done)
    return written


def write_whole(
    engine: Engine,
    sheet: Sheet,
    which: Filter,
    kind: str,
    target: Path,
    progress: Progress | None = None,
) -> int:
    """Write beside the target and rename, so that the target is the old file or the whole new.

    Returns how many rows there are. Raises OSError when it cannot be written.
    """
    with whole(target) as file:
        return write(engine, sheet, which, kind, file, progress, signed=True)


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
