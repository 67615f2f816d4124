"""CSV is safe and readable in programs that use another separator, quote or encoding.

Where the decimal sign is a comma, Excel separates by `;`: then our quotes are ordinary characters.
"""

import csv
import io
import re
from codecs import BOM_UTF8
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, delete, select, update
from sqlalchemy.orm import Session

from crossroads import export
from crossroads.database.pagination import Filter
from crossroads.export import Sheet
from crossroads.leads.listing import SHEET, LeadFilter
from crossroads.orders import enrollment_listing, listing
from crossroads.orders.enrollment_listing import EnrollmentFilter
from crossroads.orders.listing import OrderFilter
from models import Enrollment, Lead, Order, db, writing
from tests.support.desk_visits import add_leads, desk, lead, send
from tests.support.order_states import bring

SEPARATORS = ",;\t|:"
RUNS = re.compile('[ "]*[=+@＝＋－＠-]')  # with our own quote before it, it is text
NUMBER = re.compile(r"-?\d+(\.\d+)?")
HOSTILE = [
    ";=cmd|' /C calc'!A0;",
    "a;=1+1",
    "a\t=1+1",
    "a|@SUM(A1)",
    "a:-1",
    "a,=1+1",
    'a;"=1+1";b',
    "a; =1+1",
    "a;'=1+1",
    "a;;;=1+1",
    ";\t=1+1",
    'quoted "x;+1", and more',
    "a;＝1+1",
    "line\n=1+1",
    "line\r=1+1",
    'line\n"=1+1',
    '"=1+1',
    " =1+1",
    "x;",
    "-;-",
    "12:30; 14:00, Bern - Zürich",
]


@pytest.fixture
def session(engine: Engine) -> Iterator[Session]:
    with Session(engine) as session:
        writing(session)
        yield session


def written(engine: Engine, sheet: Sheet, which: Filter) -> str:
    file = io.BytesIO()
    export.write(engine, sheet, which, "csv", file)
    return file.getvalue().decode()


def cells(text: str) -> Iterator[str]:
    """Yield the cells that programs may find, with each separator and quoting."""
    for separator in SEPARATORS:
        for quoting in (csv.QUOTE_MINIMAL, csv.QUOTE_NONE):
            file = io.StringIO(text, newline="")
            for row in csv.reader(file, delimiter=separator, quoting=quoting):
                yield from row
    yield from re.split(f"[{SEPARATORS}\r\n]", text)  # all at once, an option of LibreOffice


def running(text: str) -> set[str]:
    """Return the cells that a spreadsheet would run as formulas. Negative amounts are not."""
    return {one for one in cells(text) if RUNS.match(one) and not NUMBER.fullmatch(one)}


def names(text: str) -> list[str]:
    return [export.undo(row["name"]) for row in csv.DictReader(io.StringIO(text, newline=""))]


def test_no_separator_opens_a_formula_in_an_export_of_leads(
    engine: Engine, session: Session
) -> None:
    session.add_all(lead(name=name, utm_term=name, last_page=name) for name in HOSTILE)
    session.commit()
    text = written(engine, SHEET, LeadFilter())
    assert running(text) == set()
    assert names(text) == HOSTILE


@pytest.mark.parametrize(
    ("sheet", "which"),
    [(listing.SHEET, OrderFilter()), (enrollment_listing.SHEET, EnrollmentFilter())],
)
def test_no_separator_opens_a_formula_in_an_export_of_orders_or_seats(
    engine: Engine, session: Session, sheet: Sheet, which: Filter
) -> None:
    for name in HOSTILE:
        order = bring(session, "paid")
        session.execute(update(Order).where(Order.id == order.id).values(name=name))
        seats = update(Enrollment).where(Enrollment.order_id == order.id)
        session.execute(seats.values(name=name))
    session.commit()
    text = written(engine, sheet, which)
    assert running(text) == set()
    assert names(text) == HOSTILE


@settings(max_examples=1000)
@example(";\t=")
@example("';='")
@given(st.text(st.sampled_from("'=+-@＝\t\r\na ,;|:\"") | st.characters(codec="utf-8")))
def test_any_cell_is_safe_with_any_separator_and_can_be_restored(text: str) -> None:
    safe = export.defuse(text)
    quoted = io.StringIO()
    csv.writer(quoted, lineterminator="\r\n").writerow(["1", safe, "2"])
    assert running(quoted.getvalue()) == set()
    assert export.undo(safe) == text


def test_database_and_python_defuse_cells_in_the_same_way(engine: Engine, session: Session) -> None:
    session.add_all(lead(name=name) for name in HOSTILE)
    session.commit()
    text = written(engine, SHEET, LeadFilter())
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert [row["name"] for row in rows] == [export.defuse(name) for name in HOSTILE]


def test_download_begins_with_a_byte_order_mark_for_excel(app: Flask, tmp_path: Path) -> None:
    add_leads(app, lead("jose@example.com", name="José", state="confirmed"))
    client = desk(app)
    with send(client, "/admin/leads/export", {"format": "csv"}, page="/admin/leads") as answer:
        body = answer.data
    assert body.startswith(BOM_UTF8 + b"id,email,")
    target = tmp_path / "leads.csv"
    runner = app.test_cli_runner()
    assert runner.invoke(args=["leads", "export", "--output", str(target)]).exit_code == 0
    assert target.read_bytes() == body
    piped = runner.invoke(args=["leads", "export", "--output", "-"])
    assert piped.stdout_bytes == body.removeprefix(BOM_UTF8)


def test_import_accepts_the_exported_file(make_app: Any, tmp_path: Path) -> None:
    app: Flask = make_app()
    hostile = [name for name in HOSTILE if not re.search(r"[\t\r\n]|^ ", name)]
    people = [lead(name=name, state="confirmed", utm_term=name) for name in ["José", *hostile]]
    add_leads(app, *people)
    target = tmp_path / "leads.csv"
    command = ["leads", "export", "--output", str(target)]
    assert app.test_cli_runner().invoke(args=command).exit_code == 0
    with app.app_context(), db.engine.begin() as connection:
        before = [tuple(row) for row in connection.execute(ROWS)]
        connection.execute(delete(Lead))
    command = ["leads", "import", str(target), "--consent-source", "their own form"]
    result = app.test_cli_runner().invoke(args=command)
    assert result.exit_code == 0, result.output
    with app.app_context(), db.engine.begin() as connection:
        assert [tuple(row) for row in connection.execute(ROWS)] == before


ROWS = select(Lead.email, Lead.name, Lead.utm_term, Lead.state).order_by(Lead.email)
