"""Undo of an import: its leads are removed, except those who acted since."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select
from sqlalchemy.orm import Session

from crossroads.leads.imports import batches, importer
from models import ConsentEvent, Lead, LeadImport, Suppression, db
from tests.support.lead_imports import confirmed, everything, flask, join, take
from tests.support.order_states import bring
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
def file(tmp_path: Path) -> Path:
    return tmp_path / "people.csv"


def test_undo_removes_only_leads_without_later_activity(
    app: Flask, session: Session, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "AT_ONCE", 2)
    join(session, "here@example.com", "confirm")
    names = ["idle1", "idle2", "idle3", "buyer", "left", "again"]
    text = "email,status\nhere@example.com,unsubscribed\nno@example.com,unsubscribed\n"
    text += "".join(f"{name}@example.com,active\n" for name in names)
    take(app, file, text)
    bring(session, "paid", email="buyer@example.com")
    session.commit()
    join(session, "left@example.com", "unsubscribe")
    join(session, "again@example.com")
    listed = flask(app, "leads", "imports").stdout
    assert "people.csv" in listed and "7 leads added, 1 unsubscribed" in listed
    before = everything(session)
    asked = app.test_cli_runner().invoke(args=["leads", "undo", "1"], input="n\n")
    assert asked.exit_code == 1
    assert everything(session) == before
    result = flask(app, "leads", "undo", "1", "--yes")
    assert result.exit_code == 0, result.output
    assert result.stdout.endswith("3 leads removed\n")
    assert "1 were unsubscribed by it and stay unsubscribed" in result.stderr
    left = {lead.email.partition("@")[0]: lead.state for lead in session.scalars(select(Lead))}
    assert left == {
        "here": "unsubscribed",
        "no": "unsubscribed",
        "left": "unsubscribed",
        "buyer": "confirmed",
        "again": "confirmed",
    }
    orphans = select(ConsentEvent.id).where(ConsentEvent.lead_id.not_in(select(Lead.id)))
    assert session.scalars(orphans).all() == []
    session.rollback()
    assert "3 removed" in flask(app, "leads", "imports").stdout
    assert flask(app, "leads", "undo", "1", "--yes").stdout.endswith("0 leads removed\n")
    for number in ("9", "0", "2147483648", "9" * 21):
        told = flask(app, "leads", "undo", number, "--yes")
        assert told.exit_code == 1
        assert told.stderr.startswith(f"Error: no import has the number {number}: ")


def test_undo_keeps_suppressions(app: Flask, session: Session, file: Path) -> None:
    take(app, file, "email,state,suppressed\ndead@example.com,confirmed,bounced\n")
    flask(app, "leads", "undo", "1", "--yes")
    assert session.scalars(select(Lead)).all() == []
    assert session.scalars(select(Suppression.reason)).all() == ["bounced"]


def test_long_file_of_unsubscribes_is_imported_in_parts(
    app: Flask, session: Session, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importer, "PART", 2)
    for number in range(3):
        join(session, f"p{number}@example.com", "confirm")
    text = "email,status\n" + "".join(f"p{number}@example.com,deleted\n" for number in range(5))
    take(app, file, text)
    record = session.scalars(select(LeadImport)).one()
    assert (record.added, record.unsubscribed, record.lines) == (2, 3, 5)
    assert confirmed(session) == set()
