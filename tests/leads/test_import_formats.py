"""Import files from pipes, spreadsheets and in other encodings, and the reasons for a refusal."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select
from sqlalchemy.orm import Session

from crossroads import export
from crossroads.leads.listing import SHEET, LeadFilter
from models import Lead, LeadImport, db
from tests.support.lead_imports import confirmed, everything, flask, join, take
from tests.support.people import SUPPRESSION_KEY


@pytest.fixture
def app(make_app: Any, database_url: str) -> Flask:
    built: Flask = make_app(database_url=database_url, suppression_key=SUPPRESSION_KEY)
    return built


@pytest.fixture
def session(app: Flask) -> Iterator[Session]:
    with app.app_context():
        engine = db.engine
    with Session(engine) as session:
        yield session


@pytest.fixture
def site(make_app: Any) -> Flask:
    """A site for tests that do not depend on the database."""
    built: Flask = make_app(suppression_key=SUPPRESSION_KEY)
    return built


@pytest.fixture
def there(site: Flask) -> Iterator[Session]:
    with site.app_context():
        engine = db.engine
    with Session(engine) as session:
        yield session


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "people.csv"


@pytest.mark.parametrize("data", [b"email\nann@example.com\n", b"email,name\n" + b"y" * 100_000])
def test_pipe_is_read_like_a_file(site: Flask, there: Session, tmp_path: Path, data: bytes) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with ThreadPoolExecutor() as pool:
        written = pool.submit(pipe.write_bytes, data)
        result = flask(site, "leads", "import", str(pipe), "--consent-source", "Fair in Ulm")
        assert written.result() == len(data)
    assert result.exit_code == (1 if b"y" in data else 0), result.stderr
    assert confirmed(there) == (set() if b"y" in data else {"ann@example.com"})


def test_dash_reads_standard_input(site: Flask, there: Session) -> None:
    arguments = ("leads", "import", "-", "--consent-source", "Fair in Ulm")
    result = site.test_cli_runner().invoke(args=arguments, input="email\nann@example.com\n")
    assert result.exit_code == 0, result.stderr
    assert confirmed(there) == {"ann@example.com"}
    assert there.scalars(select(LeadImport.file)).one() == "stdin"


@pytest.mark.parametrize(
    "data",
    [
        b"sep=;\r\nemail;name\r\nann@example.com;Ann\r\n",
        "email\tname\r\nann@example.com\tAnn\r\n".encode("utf-16"),
        b'"E-Mail\nAddress";"name"\nann@example.com;Ann\n',
        b"email,note,name,x\nann@example.com," + b"y" * 300_000 + b",Ann\n",
        b"\xef\xbb\xbfname;e-mail;;\r\nAnn;Ann <ann@example.com>;;\r\n",
        b"sep=;\remail;name\rann@example.com;Ann\r",
        b"\n\r\nemail,name\nann@example.com,Ann\n",
        b",,\n ,,\nemail,name,\nann@example.com,Ann,\n",
        b"\n;;\nemail;name\nann@example.com;Ann\n",
        b'\r\n"sep=;"\r\n\r\nemail;name\r\nann@example.com;Ann\r\n',
    ],
    ids=[
        *("sep", "utf-16", "line break in a head", "huge cell", "short row", "sep and CR"),
        *("blank lines", "empty rows", "blank and empty", "blank, sep, blank"),
    ],
)
def test_csv_variants_of_spreadsheets_are_read(
    site: Flask, there: Session, file: Path, data: bytes
) -> None:
    result = take(site, file, data)
    assert result.exit_code == 0, result.stderr
    lead = there.scalars(select(Lead)).one()
    assert (lead.email, lead.name) == ("ann@example.com", "Ann")


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"PK\x03\x04whatever", "is a workbook, not CSV"),
        (b'email,name\na@example.com,"Ann\n', "line 2: a quote that opens here is never closed"),
        (b'email,name\na@example.com,"Ann"n\n', "line 2: a quote stands in the middle"),
        (b"email,name\na@example.com," + b"y" * 200_000 + b"\n", "name: has 200000 characters"),
        (b"email,joined,Created\na@example.com,early,1/2/2026 10:00\n", "--dates day-first"),
        (b"email,Created\na@example.com,soon\n", "line 2: Created: is a time, like"),
        (b"email,utm_term\na@example.com,1.23457E+17\n", "that a spreadsheet has rounded"),
        (b"email,signed_up_at\na@example.com,2026-02-01 10:00\n", "give --time-zone"),
        ("email,Vörname\n".encode("cp1252"), "line 1: is not UTF-8"),
        (b"E-mail,Email Address\n", "could both be the email"),
        (b"\n,,\nname,x\n", "line 3: no column is called"),
        (b"\n,\nemail,name\na@example.com,Ann\nb,Bob\n", "line 5: email: "),
        (b"sep=;\r\remail;name\ra;Ann\r", "line 4: email: "),
        (b'sep="\nemail\n', "line 1: no column is called"),
        (b"email,confirmed_at\na@example.com,2999-01-01T00:00:00Z\n",
         'line 2: confirmed_at: "2999-01-01T00:00:00Z" is in the future'),
        (b"email,signed_up_at\na@example.com,2999-01-01T00:00:00Z\n", "is in the future"),
        (b"email,status,unsub time\na@example.com,active,2999-01-01T00:00:00Z\n", "in the future"),
    ],
)  # fmt: skip
def test_refused_file_is_reported_with_the_right_reason(
    site: Flask, there: Session, file: Path, data: bytes, told: str
) -> None:
    result = take(site, file, data)
    assert result.exit_code == 1
    assert told in result.stderr
    assert there.scalars(select(Lead)).all() == []


def test_encoding_and_date_order_can_be_set_by_options(
    site: Flask, there: Session, file: Path
) -> None:
    text = "email;Vorname;Created\nann@example.com;Zoë;1/2/2026 10:00\n".encode("cp1252")
    options = ("--encoding", "windows-1252", "--dates", "day-first")
    assert take(site, file, text, *options).exit_code == 0
    lead = there.scalars(select(Lead)).one()
    assert (lead.name, lead.created_at) == ("Zoë", datetime(2026, 2, 1, 10, tzinfo=UTC))


def test_our_export_with_short_rows_and_other_separators_is_read(
    app: Flask, session: Session, file: Path
) -> None:
    """Excel omits empty cells at the end of a row, from the 16th row on, and writes `;`."""
    join(session, "=p@example.com", "confirm")
    join(session, "gone@example.com", "confirm", "unsubscribe")
    join(session, "dead@example.com", "confirm", "bounce")
    with app.app_context():
        export.write_whole(db.engine, SHEET, LeadFilter(), "csv", file)
    lines = file.read_text(encoding="utf-8-sig").splitlines()
    short = "\r\n".join(line.rstrip(",").replace(",", ";") for line in lines)
    before = everything(session)
    result = take(app, file, "\ufeff" + short + "\r\n")
    assert result.exit_code == 0, result.stderr
    assert everything(session) == before


def test_protective_quotes_are_removed_only_from_our_export(
    site: Flask, there: Session, file: Path
) -> None:
    take(site, file, "email,name\n'=a@example.com,'=b\n")
    lead = there.scalars(select(Lead)).one()
    # A quote before an address is never part of it, in any file.
    assert (lead.email, lead.name) == ("=a@example.com", "'=b")
