"""A sheet as an XLSX workbook (ECMA-376, SpreadsheetML), streamed into its zip at constant memory.

Text is inline text and never a formula; times are spreadsheet dates in UTC.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import IO, Any, Final
from xml.sax.saxutils import escape
from zipfile import ZIP_DEFLATED, ZipFile

from sqlalchemy import ColumnElement, Connection, Select, String, Text, func, select, type_coerce
from sqlalchemy import cast as as_type

from crossroads.database.pagination import Filter
from crossroads.export import rows
from crossroads.export.sheet import Sheet

# https://support.microsoft.com/office/1672b34d-7043-467e-8e27-269d656771c3
ROWS_MAX = 1_048_576
TEXT_MAX: Final = 32_767 // 2  # in UTF-16 units: a character may take two
LEVEL: Final = 1  # of compression: higher ones take much longer and save little
# Characters that XML needs escaped or forbids, and the start of a spreadsheet's own escape.
SPECIAL = re.compile("[&<>\x00-\x08\x0b-\x1f\ufffe\uffff]|_x")
ESCAPE = re.compile("_(?=x[0-9A-Fa-f]{4}_)")
ILLEGAL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")

TEXT = '<c t="inlineStr"><is><t xml:space="preserve">%s</t></is></c>'
NUMBER = "<c><v>%s</v></c>"
TIME = '<c s="1"><v>%s</v></c>'
HEAD = '<c s="2" t="inlineStr"><is><t>%s</t></is></c>'
EMPTY = [cell % "" for cell in (TEXT, NUMBER, TIME)]
MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
PACKAGE = "http://schemas.openxmlformats.org/package/2006"
DECLARED = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
SHEET_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml"
# Styles: 0 plain, 1 a time, 2 the header row.
STYLES = (
    f'<styleSheet xmlns="{MAIN}"><numFmts count="1">'
    '<numFmt numFmtId="164" formatCode="yyyy\\-mm\\-dd\\ hh:mm:ss"/></numFmts>'
    '<fonts count="2"><font><sz val="11"/><name val="Calibri"/></font>'
    '<font><b/><sz val="11"/><name val="Calibri"/></font></fonts>'
    '<fills count="2"><fill><patternFill patternType="none"/></fill>'
    '<fill><patternFill patternType="gray125"/></fill></fills>'
    '<borders count="1"><border><left/><right/><top/><bottom/><diagonal/></border></borders>'
    '<cellStyleXfs count="1"><xf numFmtId="0" fontId="0" fillId="0" borderId="0"/></cellStyleXfs>'
    '<cellXfs count="3"><xf numFmtId="0" fontId="0" fillId="0" borderId="0" xfId="0"/>'
    '<xf numFmtId="164" fontId="0" fillId="0" borderId="0" xfId="0" applyNumberFormat="1"/>'
    '<xf numFmtId="0" fontId="1" fillId="0" borderId="0" xfId="0" applyFont="1"/></cellXfs>'
    '<cellStyles count="1"><cellStyle name="Normal" xfId="0" builtinId="0"/></cellStyles>'
    "</styleSheet>"
)


def write(
    connection: Connection,
    sheet: Sheet,
    which: Filter,
    file: IO[bytes],
    done: Callable[[int], object],
) -> None:
    """Write the selected rows; `done` is called with the number of rows of each part.

    A sheet of a workbook holds at most 1,048,576 rows; further rows are written to a next sheet.
    """
    query, cells = _asked(connection, sheet, which)
    line = f"<row>{''.join(cells)}</row>"
    parts = rows.batches(connection, query)
    part = next(parts, None)
    sheets = 0
    with ZipFile(file, "w", ZIP_DEFLATED, compresslevel=LEVEL) as book:
        while part is not None or not sheets:
            sheets += 1
            room = ROWS_MAX - 1  # less the header row
            with book.open(f"xl/worksheets/sheet{sheets}.xml", "w", force_zip64=True) as opened:
                opened.write(_start(sheet, cells).encode())
                while part is not None and room:
                    taken, rest = part[:room], part[room:]
                    opened.write(_lines(line, taken).encode())
                    done(len(taken))
                    room -= len(taken)
                    part = rest if rest else next(parts, None)
                opened.write(b"</sheetData></worksheet>")
        for name, text in _frame(sheet.name, sheets):
            book.writestr(name, DECLARED + text)


def _asked(connection: Connection, sheet: Sheet, which: Filter) -> tuple[Select[Any], list[str]]:
    """Return the query for all cells as text, NULL as empty, and the XML template of each cell."""
    found = rows.selected(sheet, which).subquery()
    values: list[Any] = []
    cells: list[str] = []
    for name, column in rows.formatted(sheet, found.c, connection.dialect.name).items():
        time = rows.is_time(found.c[name])
        number = rows.is_number(found.c[name])
        value = _days(found.c[name], connection.dialect.name) if time else column
        if not (time or number) and getattr(column.type, "length", None) is None:
            value = func.substr(value, 1, TEXT_MAX)
        values.append(func.coalesce(as_type(value, Text), ""))
        cells.append(TIME if time else NUMBER if number else TEXT)
    return select(*values).order_by(next(iter(found.c))), cells


def _days(time: ColumnElement[Any], dialect: str) -> ColumnElement[Any]:
    """Return the time as a spreadsheet date: days since the end of 1899, to the second."""
    if dialect == "sqlite":
        return func.julianday(func.substr(type_coerce(time, String), 1, 19)) - 2415018.5
    return func.floor(func.extract("epoch", time)) / 86400 + 25569


def _lines(line: str, part: Sequence[tuple[str, ...]]) -> str:
    # Most parts need no escaping, and one search in all of a part is faster than one per cell.
    whole = "".join(chain.from_iterable(part))
    if SPECIAL.search(whole):
        part = [tuple(map(_escaped, row)) for row in part]
    text = "".join([line % row for row in part])
    for empty in EMPTY:
        text = text.replace(empty, "<c/>")
    return text


def _escaped(cell: str) -> str:
    """Escape a text for XML and for the spreadsheet.

    Removes control characters, which XML does not allow. https://www.w3.org/TR/xml/#charsets
    """
    return ESCAPE.sub("_x005F_", escape(ILLEGAL.sub("", cell), {"\r": "&#13;"}))


def _start(sheet: Sheet, cells: Sequence[str]) -> str:
    widths = "".join(
        f'<col min="{number}" max="{number}" width="{19 if cell == TIME else 16}" customWidth="1"/>'
        for number, cell in enumerate(cells, start=1)
    )
    head = "".join(HEAD % name for name in sheet.columns)
    return (
        f'{DECLARED}<worksheet xmlns="{MAIN}"><sheetViews><sheetView workbookViewId="0">'
        '<pane ySplit="1" topLeftCell="A2" activePane="bottomLeft" state="frozen"/>'
        f"</sheetView></sheetViews><cols>{widths}</cols><sheetData><row>{head}</row>"
    )


def _frame(name: str, sheets: int) -> Iterator[tuple[str, str]]:
    """Yield name and text of each file of the workbook besides its sheets."""
    numbers = range(1, sheets + 1)
    yield "xl/styles.xml", STYLES
    yield (
        "xl/workbook.xml",
        (
            f'<workbook xmlns="{MAIN}" xmlns:r="{OFFICE}"><sheets>'
            + "".join(
                f'<sheet name="{name}{f" {n}" if n > 1 else ""}" sheetId="{n}" r:id="rId{n}"/>'
                for n in numbers
            )
            + "</sheets></workbook>"
        ),
    )
    yield (
        "xl/_rels/workbook.xml.rels",
        (
            f'<Relationships xmlns="{PACKAGE}/relationships">'
            + "".join(
                f'<Relationship Id="rId{n}" Type="{OFFICE}/worksheet" '
                f'Target="worksheets/sheet{n}.xml"/>'
                for n in numbers
            )
            + f'<Relationship Id="styles" Type="{OFFICE}/styles" Target="styles.xml"/>'
            + "</Relationships>"
        ),
    )
    yield (
        "_rels/.rels",
        (
            f'<Relationships xmlns="{PACKAGE}/relationships"><Relationship Id="rId1" '
            f'Type="{OFFICE}/officeDocument" Target="xl/workbook.xml"/></Relationships>'
        ),
    )
    yield (
        "[Content_Types].xml",
        (
            f'<Types xmlns="{PACKAGE}/content-types">'
            '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.'
            'relationships+xml"/><Default Extension="xml" ContentType="application/xml"/>'
            f'<Override PartName="/xl/workbook.xml" ContentType="{SHEET_TYPE}.sheet.main+xml"/>'
            f'<Override PartName="/xl/styles.xml" ContentType="{SHEET_TYPE}.styles+xml"/>'
            + "".join(
                f'<Override PartName="/xl/worksheets/sheet{n}.xml" '
                f'ContentType="{SHEET_TYPE}.worksheet+xml"/>'
                for n in numbers
            )
            + "</Types>"
        ),
    )
