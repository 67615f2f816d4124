"""The desk's exports: rows of one snapshot, written to a file at constant memory."""

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

# Each format's writer and media type.
KINDS: Final = {
    "csv": (csv_file.write, "text/csv; charset=utf-8"),
    "xlsx": (xlsx_file.write, "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
    "jsonl": (jsonl_file.write, "application/jsonl"),
}

# Without it Excel reads a CSV file in the machine's legacy encoding, and José becomes JosÃ©.
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
    """Write the selected rows to a binary file, lowest id first; return the number of rows.

    `kind` is one of KINDS. With `signed`, CSV begins with a byte order mark: right for a file that
    is opened in Excel, wrong for a pipe. All rows are read in one snapshot, which blocks no writer
    and ends with the file. `progress` is called with the number of rows of each part.
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
    """Write an export to the target, which is replaced only when the new file is complete.

    Returns the number of rows. Raises OSError when the file cannot be written.
    """
    with whole(target) as file:
        return write(engine, sheet, which, kind, file, progress, signed=True)


@contextmanager
def whole(target: Path) -> Iterator[IO[bytes]]:
    """Yield a file beside the target, and rename it to the target at the end of the block.

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
