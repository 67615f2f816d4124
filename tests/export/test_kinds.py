"""Export as XLSX and as JSON Lines: the same rows, complete, and no cell is a formula."""

import io
import json
from datetime import UTC, datetime
from typing import Any
from zipfile import ZipFile

import pytest
from flask import Flask
from openpyxl import load_workbook
from openpyxl.worksheet.worksheet import Worksheet
from sqlalchemy import Engine, Text, literal
from sqlalchemy.orm import Session

from crossroads import export
from crossroads.export import Sheet, rows, xlsx_file
from crossroads.leads.listing import SHEET, LeadFilter
from crossroads.orders import listing
from crossroads.orders.listing import OrderFilter
from models import Lead, writing
from tests.support.desk_visits import add_leads, desk, lead, send
from tests.support.order_states import bring

NOON = datetime(2026, 11, 22, 12, 30, 59, 999_999, tzinfo=UTC)
HOSTILE = [
    "=1+1", "+44", "@SUM(A1)", "<b>&amp;</b>", ' "quoted", ', "two\nlines", "  ", "_x0041_", "李 🎓"
]  # fmt: skip


def written(engine: Engine, kind: str, **which: str) -> bytes:
    file = io.BytesIO()
    export.write(engine, SHEET, LeadFilter.of(**which), kind, file)
    return file.getvalue()


def store(engine: Engine, *leads: Lead) -> None:
    with Session(engine) as session:
        writing(session)
        session.add_all(leads)
        session.commit()


def sheets(body: bytes) -> list[Worksheet]:
    return list(load_workbook(io.BytesIO(body)).worksheets)


def cells(sheet: Worksheet) -> list[dict[str, Any]]:
    head, *others = sheet.iter_rows(values_only=True)
    return [dict(zip(map(str, head), row, strict=True)) for row in others]


def test_workbook_holds_text_as_text_and_times_as_dates(engine: Engine) -> None:
    store(engine, *(lead(name=name, utm_term=name, created_at=NOON) for name in HOSTILE))
    (sheet,) = sheets(written(engine, "xlsx"))
    assert sheet.title == "leads"
    found = cells(sheet)
    # openpyxl does not decode escapes; a spreadsheet reads _x005F_ as an underscore.
    names = [name.replace("_x0041_", "_x005F_x0041_") for name in HOSTILE]
    assert [row["name"] for row in found] == names
    assert [row["utm_term"] for row in found] == names
    assert found[0]["id"] == 1
    assert found[0]["signed_up_at"] == NOON.replace(tzinfo=None, microsecond=0)
    assert found[0]["confirmed_at"] is None and found[0]["page"] is None
    assert not any(cell.data_type == "f" for row in sheet.iter_rows() for cell in row)


def test_control_characters_are_removed_from_the_workbook(engine: Engine) -> None:
    store(engine, lead(name="a\x01b\x1fc\uffff"), lead(name="carriage\rreturn"))
    (sheet,) = sheets(written(engine, "xlsx"))
    assert [row["name"] for row in cells(sheet)] == ["abc", "carriage\rreturn"]


def test_cell_is_cut_at_the_length_limit_of_spreadsheets(engine: Engine) -> None:
    long = Sheet(name="leads", columns={"id": Lead.id, "all": literal("🎓" * 20_000, Text)})
    store(engine, lead())
    file = io.BytesIO()
    export.write(engine, long, LeadFilter(), "xlsx", file)
    (row,) = cells(sheets(file.getvalue())[0])
    assert row["all"] == "🎓" * 16_383


def test_rows_over_the_limit_continue_on_the_next_sheet(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(xlsx_file, "ROWS_MAX", 4)
    monkeypatch.setattr(rows, "AT_ONCE", 2)
    store(engine, *(lead() for _ in range(7)))
    found = sheets(written(engine, "xlsx"))
    assert [sheet.title for sheet in found] == ["leads", "leads 2", "leads 3"]
    assert [[row["id"] for row in cells(sheet)] for sheet in found] == [[1, 2, 3], [4, 5, 6], [7]]


def test_workbook_without_rows_has_only_the_header(engine: Engine) -> None:
    body = written(engine, "xlsx")
    (sheet,) = sheets(body)
    assert cells(sheet) == [] and sheet["A1"].value == "id"
    assert ZipFile(io.BytesIO(body)).testzip() is None


def test_json_lines_have_the_stored_values(engine: Engine) -> None:
    store(engine, *(lead(name=name, created_at=NOON) for name in HOSTILE))
    found = [json.loads(line) for line in written(engine, "jsonl").splitlines()]
    assert [row["name"] for row in found] == HOSTILE
    assert list(found[0]) == list(SHEET.columns)
    assert found[0]["id"] == 1 and found[0]["page"] is None
    assert found[0]["signed_up_at"] == "2026-11-22T12:30:59Z"
    assert written(engine, "jsonl", q="nobody") == b""


@pytest.mark.parametrize("kind", ["xlsx", "jsonl"])
def test_amounts_are_decimals_of_their_currency(engine: Engine, kind: str) -> None:
    with Session(engine) as session:
        bring(session, "paid")
        session.commit()
    file = io.BytesIO()
    export.write(engine, listing.SHEET, OrderFilter(), kind, file)
    if kind == "xlsx":
        (row,) = cells(sheets(file.getvalue())[0])
        assert isinstance(row["price"], int | float)
    else:
        row = json.loads(file.getvalue())
        assert row["price"] == f"{float(row['price']):.2f}"
    assert float(row["price"]) == float(row["unit_price"]) * row["seats"] > 0


@pytest.mark.parametrize("kind", list(export.KINDS))
def test_desk_sends_each_kind_and_the_command_line_writes_it(make_app: Any, kind: str) -> None:
    app: Flask = make_app()
    add_leads(app, lead(name="=1"), lead(name="Élodie"))
    page = "/admin/leads"
    with send(desk(app), f"{page}/export", {"format": kind}, page=page) as answer:
        body = answer.data
    assert answer.status_code == 200
    assert int(answer.headers["Content-Length"]) == len(body)
    assert answer.headers["Content-Disposition"].endswith(f".{kind}")
    words = ["leads", "export", "--format", kind, "--output", "-"]
    result = app.test_cli_runner().invoke(args=words)
    assert result.exit_code == 0, result.stderr
    if kind == "xlsx":  # a zip file includes its creation time
        assert cells(sheets(result.stdout_bytes)[0]) == cells(sheets(body)[0])
    else:
        signature = export.SIGNATURES.get(kind, b"")  # a pipe gets none
        assert signature + result.stdout_bytes == body
