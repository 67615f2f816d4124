"""Our export, opened and saved by LibreOffice, is imported without a difference."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy.orm import Session

from crossroads import export
from crossroads.leads import lifecycle as leads
from crossroads.leads.listing import SHEET, LeadFilter
from models import db
from tests.support.lead_imports import everything, facts, flask, join, mailable
from tests.support.people import SUPPRESSION_KEY, address

# Comma, double quotes, UTF-8, from the first row on.
# https://help.libreoffice.org/latest/en-US/text/shared/guide/csv_params.html
READ = "CSV:44,34,76,1"
SAVED = {
    "utf-8": "csv:Text - txt - csv (StarCalc):44,34,76,1",
    "windows-1252": "csv:Text - txt - csv (StarCalc):59,34,ANSI,1",
}


@pytest.fixture
def app(make_app: Any) -> Flask:
    built: Flask = make_app(suppression_key=SUPPRESSION_KEY)
    return built


@pytest.fixture
def session(app: Flask) -> Iterator[Session]:
    with app.app_context():
        engine = db.engine
    with Session(engine) as session:
        yield session


def saved(file: Path, encoding: str) -> Path:
    """Open a file in LibreOffice and save it with another separator and encoding."""
    office = shutil.which("soffice")
    assert office, "needs LibreOffice: apt-get install libreoffice-calc"
    out = file.parent / encoding
    profile = f"-env:UserInstallation=file://{file.parent}/profile"
    command = [office, profile, "--headless", f"--infilter={READ}", "--convert-to"]
    subprocess.run(
        [*command, SAVED[encoding], "--outdir", str(out), str(file)],
        check=True, capture_output=True, timeout=300,
    )  # fmt: skip
    return out / file.name


@pytest.mark.parametrize("encoding", SAVED)
def test_export_saved_by_libreoffice_is_imported_unchanged(
    app: Flask, session: Session, make_app: Any, tmp_path: Path, encoding: str
) -> None:
    for number, name in enumerate(["José", "=1+1", 'a;=b "c"', "x,y", "-5", "007 Bond", ""]):
        done = [["confirm"], ["confirm", "unsubscribe"], ["confirm", "bounce"]][number % 3]
        join(session, f"+p{number}@example.com", *done)
        lead = leads.of_address(session, address(f"+p{number}@example.com"))
        assert lead is not None
        lead.name, lead.utm_source = name, name or None
        session.commit()
    file = tmp_path / "leads.csv"
    with app.app_context():
        export.write_whole(db.engine, SHEET, LeadFilter(), "csv", file)
    back = saved(file, encoding)
    assert back.read_bytes() != file.read_bytes()
    before, people, wanted = everything(session), facts(session), mailable(session)
    words = ("leads", "import", str(back), "--consent-source", "Our own", "--encoding", encoding)
    result = flask(app, *words)
    assert result.exit_code == 0, result.stderr
    assert everything(session) == before
    url = f"sqlite:///{tmp_path / 'other.db'}"
    other: Flask = make_app(database_url=url, suppression_key=SUPPRESSION_KEY)
    assert flask(other, "db", "upgrade").exit_code == 0
    assert flask(other, *words).exit_code == 0
    with other.app_context():
        engine = db.engine
    with Session(engine) as empty:
        assert facts(empty) == people
        assert mailable(empty) == wanted
