"""CSV files of other programs: encoding, separator, and rows with line numbers."""

import csv
import io
import re
from collections.abc import Callable, Iterator, Sequence
from typing import IO, Final

DELIMITERS: Final = (",", ";", "\t", "|")
LARGEST: Final = 2**25  # characters in one cell; a longer one is most likely an open quote
SAMPLE: Final = 2**16  # characters, in which the first row must end
MARKS: Final = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
# What a workbook begins with: a ZIP archive (.xlsx, .ods) or an OLE file (.xls).
WORKBOOKS: Final = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")
# Excel's own hint, which it writes and reads and which no other row follows.
SEPARATOR: Final = re.compile(r'[\r\n]*"?sep=([^"\r\n])"?[ \t]*(\r\n|\r|\n|$)', re.IGNORECASE)
LINE_END: Final = re.compile(r"\r\n|\r|\n")


class NoTable(Exception):
    """The file has no readable rows; the text says what to do."""


class Broken(Exception):
    """A row that is not CSV; the text says what to do. No row after it can be read."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(reason)
        self.line = line


class Table:
    """The rows of a CSV file below its first, which names the columns. The file is read twice.

    `line` is where the first row stands: rows without a word above it do not count.
    """

    def __init__(
        self, file: IO[bytes], *, encoding: str = "", fits: Callable[[Sequence[str]], int]
    ) -> None:
        """Read the first row. Of several separators the one whose heads fit best is meant.

        `encoding` is Python's name of one; without it the file is UTF-8, or UTF-16 with a mark.
        Raises NoTable.
        """
        self._file = file
        self._encoding = encoding or _encoding(file)
        text = self._open()
        try:
            sample = text.read(SAMPLE)
        except UnicodeError as error:
            raise NoTable(f"the file cannot be read as {self._encoding}: {error}") from None
        finally:
            text.detach()
        hint = SEPARATOR.match(sample)
        # Lines up to that of the separator, which are no CSV.
        self._above = max(1, len(LINE_END.findall(hint[0]))) if hint else 0
        if hint:
            sample = sample[hint.end() :]
        found = [(one, *_first(sample, one)) for one in ([hint[1]] if hint else DELIMITERS)]
        self._delimiter, heads, above = max(found, key=lambda one: (fits(one[1]), len(one[1])))
        self.line = self._above + above + 1
        self.heads = [head or f"column {number}" for number, head in enumerate(heads, 1)]

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """Yield each row that is not empty, as long as the first, with the line it begins in.

        Cells that lack at the end are empty ones: Excel writes no separators for them. Raises
        Broken.
        """
        limit = csv.field_size_limit(LARGEST)
        text = self._open()
        try:
            for _ in range(self._above):
                text.readline()
            reader = csv.reader(text, delimiter=self._delimiter, strict=True)
            line = self._above + 1
            try:
                while not any(_heads(next(reader, ["end"]))):
                    line = self._above + reader.line_num + 1
                while True:
                    line = self._above + reader.line_num + 1
                    cells = next(reader, None)
                    if cells is None:
                        break
                    if any(cells):
                        lacking = len(self.heads) - len(cells)
                        yield line, cells + [""] * lacking if lacking > 0 else cells
            except csv.Error as error:
                raise Broken(line, _reason(str(error))) from None
        finally:
            text.detach()  # or the caller's file would be closed with it
            csv.field_size_limit(limit)

    def _open(self) -> io.TextIOWrapper:
        self._file.seek(0)
        errors = "replace" if self._encoding == "utf-16" else "surrogateescape"
        try:
            return io.TextIOWrapper(self._file, encoding=self._encoding, errors=errors, newline="")
        except LookupError:
            raise NoTable(
                f'no encoding is called "{self._encoding}": windows-1252 is one'
            ) from None


def _encoding(file: IO[bytes]) -> str:
    """Return the encoding that the file's first bytes tell. Raises NoTable."""
    start = file.read(SAMPLE)
    if start.startswith(WORKBOOKS):
        raise NoTable('the file is a workbook, not CSV: open it and save it as "CSV UTF-8"')
    if encoding := MARKS.get(start[:2]):
        return encoding
    if b"\0" in start:
        raise NoTable(
            "the file is not text in UTF-8: give --encoding utf-16-le if it is Unicode text "
            'without a mark, else save it as "CSV UTF-8"'
        )
    return "utf-8-sig"


def _first(sample: str, delimiter: str) -> tuple[list[str], int]:
    """Return the heads and how many lines stand above them; no heads if it is no CSV."""
    reader = csv.reader(io.StringIO(sample, newline=""), delimiter=delimiter, strict=True)
    above = 0
    try:
        for row in reader:
            if any(heads := _heads(row)):
                return heads, above
            above = reader.line_num
    except csv.Error:
        pass
    return [], 0


def _heads(row: Sequence[str]) -> list[str]:
    """Return the cells of a row, each in one line."""
    return [" ".join(head.replace("\ufeff", "").split()) for head in row]


def _reason(error: str) -> str:
    """Return our message for an error of Python's csv module, which has one class for all."""
    if "unexpected end" in error:
        return "a quote that opens here is never closed: close it or take it out"
    if "field limit" in error:
        return (
            f"a cell has more than {LARGEST:,} characters, or a quote that opens it is never "
            "closed: shorten the cell or close the quote"
        )
    return "a quote stands in the middle of a cell: double it, or take it out"
