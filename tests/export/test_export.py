"""CSV export of leads: complete, filtered, and safe to open in a spreadsheet."""

import csv
import io
import re
import tracemalloc
from codecs import BOM_UTF8
from datetime import UTC, datetime, timedelta
from typing import IO, Any

import psycopg
import pytest
from flask import Flask
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, insert
from sqlalchemy.orm import Session
from structlog.testing import capture_logs

from crossroads import export
from crossroads.export import csv_file
from crossroads.leads.listing import SHEET, LeadFilter
from models import Lead
from tests.support.databases import opened
from tests.support.desk_visits import add_leads, desk, lead, send

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
HEAD = [
    "id",
    "email",
    "name",
    "state",
    "page",
    "utm_source",
    "utm_medium",
    "utm_campaign",
    "utm_term",
    "utm_content",
    "last_page",
    "last_utm_source",
    "last_utm_medium",
    "last_utm_campaign",
    "last_utm_term",
    "last_utm_content",
    "signed_up_at",
    "last_signup_at",
    "confirmed_at",
    "unsubscribed_at",
    "waits_for",
    "suppressed",
]
RUNS = re.compile(r"[=+\-@\t\r]")


def rows(body: bytes) -> list[dict[str, str]]:
    text = io.StringIO(body.decode("utf-8-sig"), newline="")
    return list(csv.DictReader(text, strict=True))


def write(engine: Engine, **which: str) -> bytes:
    file = io.BytesIO()
    count = export.write(engine, SHEET, LeadFilter.of(**which), "csv", file)
    body = file.getvalue()
    assert len(rows(body)) == count
    return body


def store(engine: Engine, *leads: Lead) -> None:
    with Session(engine) as session:
        session.add_all(leads)
        session.commit()


def fill(engine: Engine, number: int, start: int = 0) -> None:
    """Store many leads quickly."""
    values = [
        {
            "email": f"lead{i}@example.com",
            "email_key": f"lead{i}@example.com",
            "address_hash": "",
            "name": "x" * 40,
            "state": "pending",
            "confirm_token": f"c{i}",
            "unsubscribe_token": f"u{i}",
            "confirm_until": NOON,
            "created_at": NOON,
            "last_signup_at": NOON,
        }
        for i in range(start, start + number)
    ]
    with engine.begin() as connection:
        connection.execute(insert(Lead), values)


def test_a_lead_is_one_row_with_both_touches(engine: Engine) -> None:
    one = lead(
        "maria@example.com",
        name="Maria",
        state="unsubscribed",
        page="/signup",
        utm_source="a",
        utm_medium="b",
        utm_campaign="c",
        utm_term="d",
        utm_content="e",
        last_page="/",
        last_utm_source="f",
        created_at=NOON,
        last_signup_at=NOON + timedelta(hours=1),
    )
    one.confirmed_at = NOON + timedelta(minutes=1, microseconds=999_999)
    store(engine, one)
    body = write(engine)
    assert body.splitlines(keepends=True) == [
        ",".join(HEAD).encode() + b"\r\n",
        b"1,maria@example.com,Maria,unsubscribed,/signup,a,b,c,d,e,/,f,,,,,"
        b"2026-11-22T12:00:00Z,2026-11-22T13:00:00Z,2026-11-22T12:01:00Z,,,\r\n",
    ]


def test_export_without_leads_has_only_the_header(engine: Engine) -> None:
    assert write(engine) == ",".join(HEAD).encode() + b"\r\n"


def test_special_characters_are_quoted_and_unicode_is_kept(engine: Engine) -> None:
    names = ['Comma, "quoted"', "two\nlines", "carriage\r\nreturn", "Élodie 李 🎓", " spaced "]
    store(engine, *(lead(name=name) for name in names))
    body = write(engine)
    assert not body.startswith(b"\xef\xbb\xbf")
    assert [row["name"] for row in rows(body)] == names
    assert b'"Comma, ""quoted"""' in body


@pytest.mark.parametrize(
    ("name", "cell"),
    [
        ("=1+1", "'=1+1"),
        ("+44 20", "'+44 20"),
        ("-2", "'-2"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\tx", "'\tx"),
        ("\rx", "'\rx"),
        ("\nx", "'\nx"),
        ("＝1+1", "'＝1+1"),
        ("＠SUM(A1)", "'＠SUM(A1)"),
        ("'=1", "''=1"),
        ("''@x", "'''@x"),
        ("'quoted'", "'quoted'"),
        ("O'Neill", "O'Neill"),
        ("a=b", "a=b"),
        ("", ""),
    ],
)
def test_cell_that_begins_a_formula_gets_one_quote(engine: Engine, name: str, cell: str) -> None:
    store(engine, lead(name=name, utm_source=name))
    (row,) = rows(write(engine))
    assert (row["name"], row["utm_source"]) == (cell, cell)
    assert export.undo(cell) == name


@settings(max_examples=500)
@example("'=")
@example("'''")
@given(st.text(st.sampled_from("'=+-@\t\r\nab ,;|:\"") | st.characters(codec="utf-8")))
def test_defused_cell_never_begins_a_formula_and_can_be_restored(text: str) -> None:
    safe = export.defuse(text)
    assert not RUNS.match(safe)
    assert export.undo(safe) == text


def test_export_has_only_leads_that_match_the_filter(engine: Engine) -> None:
    store(
        engine,
        lead("a@example.com", state="confirmed", page="/signup"),
        lead("b@example.com", state="pending", page="/signup"),
        lead("c_d@example.com", state="confirmed", page="/compare"),
    )
    assert [row["email"] for row in rows(write(engine, state="confirmed"))] == [
        "a@example.com",
        "c_d@example.com",
    ]
    assert [row["email"] for row in rows(write(engine, q="C_D"))] == ["c_d@example.com"]
    assert rows(write(engine, page="/signup", q="c_d")) == []


def test_export_of_several_chunks_is_complete_and_in_order(engine: Engine) -> None:
    fill(engine, 2 * csv_file.AT_ONCE + 1)
    numbers = [int(row["id"]) for row in rows(write(engine))]
    assert numbers == sorted(set(numbers))
    assert len(numbers) == 2 * csv_file.AT_ONCE + 1


def test_leads_added_during_an_export_are_not_in_it(engine: Engine) -> None:
    fill(engine, csv_file.AT_ONCE + 1)
    later = iter(range(10**6, 10**6 + 10))
    file = io.BytesIO()
    count = export.write(
        engine,
        SHEET,
        LeadFilter(),
        "csv",
        file,
        progress=lambda _rows: fill(engine, 1, start=next(later)),  # fails if it locks
    )
    assert count == csv_file.AT_ONCE + 1


def test_database_error_during_an_export_is_raised(postgresql_url: str) -> None:
    last = 2 * csv_file.AT_ONCE
    broken = export.Sheet(name="leads", columns={"id": Lead.id, "share": 1 / (Lead.id - last)})
    with opened(postgresql_url) as engine:
        fill(engine, last)
        with pytest.raises(psycopg.errors.DivisionByZero):
            export.write(engine, broken, LeadFilter(), "csv", io.BytesIO())
        assert len(rows(write(engine))) == last  # the connection is usable again


def test_the_callers_file_stays_open(sqlite_url: str) -> None:
    file = io.BytesIO()
    with opened(sqlite_url) as engine:
        export.write(engine, SHEET, LeadFilter(), "csv", file)
    assert not file.closed


class Nowhere(io.RawIOBase):
    """A file that discards its data."""

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        return len(data)


def test_memory_does_not_grow_with_the_number_of_leads(sqlite_url: str) -> None:
    def peak(engine: Engine) -> int:
        file: IO[bytes] = io.BufferedWriter(Nowhere())
        tracemalloc.start()
        try:
            export.write(engine, SHEET, LeadFilter(), "csv", file)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    with opened(sqlite_url) as engine:
        fill(engine, 2 * csv_file.AT_ONCE)
        peak(engine)  # fills the caches
        two_chunks = peak(engine)
        fill(engine, 3 * csv_file.AT_ONCE, start=2 * csv_file.AT_ONCE)
        assert peak(engine) < two_chunks * 1.2


def test_the_desk_sends_the_whole_file_with_its_length(app: Flask) -> None:
    add_leads(app, *(lead(name="n" * 90, page="/signup") for _ in range(700)), lead())
    client = desk(app)
    form = {"format": "csv", "page": "/signup"}
    with (
        capture_logs() as logs,
        send(client, "/admin/leads/export", form, page="/admin/leads") as answer,
    ):
        body = answer.data
    assert answer.status_code == 200
    assert len(rows(body)) == 700
    assert int(answer.headers["Content-Length"]) == len(body) > 65536
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert answer.headers["Cache-Control"] == "no-store"
    assert re.fullmatch(
        r"attachment; filename=leads-\d{4}-\d\d-\d\d\.csv", answer.headers["Content-Disposition"]
    )
    (line,) = [line for line in logs if line["event"] == "leads exported"]
    assert line["rows"] == 700 and line["user"] == 1
    assert "@" not in str(line)


def test_the_command_line_writes_the_same_bytes(make_app: Any) -> None:
    app = make_app()
    runner = app.test_cli_runner()
    add_leads(app, lead(name="=1"), lead("O'Neill@example.com", name="Élodie"), lead())
    client = desk(app)
    with send(client, "/admin/leads/export", {"format": "csv"}, page="/admin/leads") as answer:
        body = answer.data
    result = runner.invoke(args=["leads", "export", "--format", "csv", "--output", "-"])
    assert result.exit_code == 0, result.stderr
    assert BOM_UTF8 + result.stdout_bytes == body


@pytest.mark.parametrize("kind", ["", "exe", "../csv"])
def test_an_unknown_format_is_refused(app: Flask, kind: str) -> None:
    client = desk(app)
    answer = send(client, "/admin/leads/export", {"format": kind}, page="/admin/password")
    assert answer.status_code == 400


def test_get_request_exports_nothing(app: Flask) -> None:
    assert desk(app).get("/admin/leads/export").status_code == 405
