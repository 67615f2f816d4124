"""The import: people with consent are added, people who refused are not, mistakes are reported."""

import io
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import create_engine, func, select
from sqlalchemy.orm import Session

from crossroads import export
from crossroads.leads import consent
from crossroads.leads import lifecycle as leads
from crossroads.leads.imports import file as import_file
from crossroads.leads.imports import importer
from crossroads.leads.listing import SHEET, LeadFilter
from crossroads.mail.addresses import cleaned_name
from models import Base, ConsentEvent, Lead, Message, db
from models.base import prepare_engine
from tests.support.hostile import hostile
from tests.support.lead_imports import everything, facts, join, mailable, take
from tests.support.people import SUPPRESSION_KEY, address, hashed


@pytest.fixture
def app(make_app: Any, database_url: str) -> Flask:
    """The site on a migrated database."""
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


def test_imported_lead_is_mailable_with_its_consent_in_the_ledger(
    app: Flask, session: Session, file: Path
) -> None:
    result = take(app, file, "name,email\nMaria,Maria@Example.com\n,jo@example.com\n")
    assert result.exit_code == 0
    assert result.stderr == ""
    assert result.stdout.splitlines()[-1] == "2 leads added"
    lead = session.scalars(select(Lead).order_by(Lead.id)).first()
    assert lead is not None
    assert (lead.email, lead.name, lead.state) == ("maria@example.com", "Maria", "confirmed")
    assert (lead.page, lead.utm_source, lead.last_utm_source) == (None, None, None)
    (event,) = consent.events_of(session, lead.id)
    assert (event.kind, event.form, event.wording) == ("imported", "import", "Fair in Ulm: a card")
    assert event.address_hash == lead.address_hash == hashed("maria@example.com")
    assert consent.state_of([event]) == lead.state
    assert session.scalar(select(func.count(Message.id))) == 0
    assert mailable(session) == {"maria@example.com", "jo@example.com"}


@pytest.mark.parametrize("start", ["", "\ufeff"])
@pytest.mark.parametrize("sign", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_separators_line_ends_and_byte_order_mark_are_detected(
    start: str, sign: str, end: str
) -> None:
    lines = [["Note", "E-Mail", "Consent Source"], ["a,b;c", "zoë@example.com", "Shop"], [""] * 3]
    text = start + end.join(sign.join(f'"{cell}"' for cell in line) for line in lines)
    data = io.BytesIO(text.encode())
    read = import_file.LeadFile(data, suppression_key=SUPPRESSION_KEY)
    rows = list(read)
    assert (read.mistakes, read.ignored) == ([], ["Note"])
    assert [(row["address"].typed, row["consent_source"]) for row in rows] == [
        ("zoë@example.com", "Shop")
    ]


def test_every_mistake_is_reported_by_line_and_nothing_is_imported(
    app: Flask, session: Session, file: Path
) -> None:
    before = everything(session)
    result = take(
        app,
        file,
        b"email,name,signed_up_at,state,utm_source\n"
        b'good@example.com,"two\nlines",,confirmed,\n'
        b"maria,,,,\n"
        b"maria@example.com,Ren\xe9,,,\n"
        b"maria@example.com,,2026-11-23,,\n"
        b"maria@example.com,,,elsewhere,\n"
        b"maria@example.com,,,," + b"x" * 201 + b"\n"
        b"maria@example.com,,,,,too,long\n"
        b"good@example.com,,2026-11-23T08:00:00+01:00,,\n"
        b'maria@example.com,"never ends,,,\n',
    )
    assert result.exit_code == 1
    told = [line.removeprefix(f"{file}: ") for line in result.stderr.splitlines()]
    assert told[0] == "Error: nothing was imported: 8 mistakes in the file"
    assert [line.partition(": ")[0] for line in told[1:]] == [
        "line 2", "line 4", "line 5", "line 6", "line 7", "line 8", "line 9", "line 11",
    ]  # fmt: skip
    assert told[1] == "line 2: name: is one line, without control characters"
    assert told[3] == f"line 5: name: {import_file.NOT_UTF8}"
    assert "like 2026-11-23T08:00:00Z" in told[4]
    assert everything(session) == before


def test_many_mistakes_are_counted_after_the_first_fifty(app: Flask, file: Path) -> None:
    result = take(app, file, "email\n" + "nobody\n" * 60)
    assert result.stderr.count("line ") == 50
    assert result.stderr.endswith("and 10 mistakes more\n")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", 'no column is called "email"'),
        ("mail,name\n", 'no column is called "email"'),
        ("email,email\n", "two columns are called email"),
        ("email\nmaria@example.com\n".encode("utf-16-le"), "not text in UTF-8"),
    ],
)
def test_file_without_an_address_column_is_refused_in_one_line(
    app: Flask, file: Path, text: str | bytes, told: str
) -> None:
    result = take(app, file, text)
    assert result.exit_code == 1
    assert told in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_lead_without_a_consent_source_is_not_imported(
    app: Flask, session: Session, file: Path
) -> None:
    result = take(app, file, "email\nmaria@example.com\n", "--consent-source", "")
    assert "Say it with --consent-source" in result.stderr
    some = "email,consent_source\nmaria@example.com,Fair\njo@example.com,\n"
    result = take(app, file, some, "--consent-source", "")
    assert "line 3: consent_source: say where they agreed" in result.stderr
    assert session.scalar(select(func.count(Lead.id))) == 0


def test_known_and_suppressed_addresses_are_unchanged_and_counted(
    app: Flask, session: Session, file: Path
) -> None:
    join(session, "pending@example.com")
    join(session, "confirmed@example.com", "confirm")
    join(session, "left@example.com", "confirm", "unsubscribe")
    join(session, "gone@example.com", "confirm", "erase")
    join(session, "dead@example.com", "confirm", "bounce")
    people = ["pending", "confirmed", "LEFT", "gone", "Dead", "new", "NEW"]
    text = "email,name\n" + "".join(f"{one}@example.com,Other\n" for one in people)
    before = everything(session)
    would = take(app, file, text, "--dry-run")
    assert would.exit_code == 0
    assert everything(session) == before
    result = take(app, file, text)
    assert result.stdout.splitlines() == [
        "7 lines read",
        "1 line with a repeated address: each address is imported once",
        "1 on the suppression list here (bounced): unchanged",
        "1 on the suppression list here (erased): unchanged",
        "1 known here (confirmed): unchanged",
        "1 known here (pending): unchanged",
        "1 known here (unsubscribed): unchanged",
        "1 to add as confirmed",
        "import 1; to undo it: flask leads undo 1",
        "1 lead added",
    ]
    assert would.stdout.splitlines()[1:] == result.stdout.splitlines()[:-2]
    assert set(before) <= set(everything(session))
    assert mailable(session) == {"confirmed@example.com", "new@example.com"}
    after = everything(session)
    assert take(app, file, text).stdout.endswith("0 leads added\n")
    assert everything(session) == after


def test_unsubscribed_people_are_imported_and_pending_ones_are_not(
    app: Flask, session: Session, file: Path
) -> None:
    text = (
        "email,state\nleft@example.com,unsubscribed\nsoon@example.com,pending\n"
        "both@example.com,confirmed\nboth@example.com,unsubscribed\nboth@example.com,confirmed\n"
    )
    result = take(app, file, text)
    assert "1 never confirmed: not imported" in result.stdout
    found = {lead.email: lead for lead in session.scalars(select(Lead))}
    assert {email: lead.state for email, lead in found.items()} == {
        "left@example.com": "unsubscribed",
        "both@example.com": "unsubscribed",
    }
    for lead in found.values():
        assert consent.state_of(consent.events_of(session, lead.id)) == lead.state
    assert mailable(session) == set()


def test_long_list_is_imported_in_parts(
    app: Flask, session: Session, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importer, "PART", 10)
    text = "email\n" + "".join(f"p{number}@example.com\n" for number in range(35))
    assert take(app, file, text).stdout.endswith("35 leads added\n")
    assert session.scalar(select(func.count(ConsentEvent.id))) == 35


@pytest.mark.parametrize("seed", range(3))
def test_export_into_an_empty_instance_makes_the_same_people_mailable(
    app: Flask, session: Session, file: Path, tmp_path: Path, seed: int
) -> None:
    dice = random.Random(seed)
    acts = ["confirm", "unsubscribe", "undo_unsubscribe", "bounce", "erase"]
    for number, name in enumerate(name for name in hostile(25, seed) if not unkept(name)):
        mailbox = dice.choice(["p", "=P", "+p", "'p", "pé", "用户"])
        email = f"{mailbox}{number}@{dice.choice(['example.com', 'bücher.example'])}"
        done = dice.choices(acts, [6, 3, 2, 2, 1], k=dice.randint(0, 3))
        if "erase" in done:
            done = [*done[: done.index("erase")], "erase"]
        if "bounce" in done and "confirm" in done[done.index("bounce") :]:
            done.remove("bounce")
        join(session, email, *[one for place, one in enumerate(done) if one not in done[:place]])
        lead = leads.of_address(session, address(email))
        if lead is not None:
            lead.name, lead.utm_source = cleaned_name(name)[:100], name.strip() or None
            lead.last_page = name.strip() or None
            session.commit()
    with app.app_context():
        export.write_whole(db.engine, SHEET, LeadFilter(), "csv", file)
    other = create_engine(f"sqlite:///{tmp_path / 'other.db'}")
    prepare_engine(other)
    Base.metadata.create_all(other)
    with other.connect() as connection, Session(connection) as empty, file.open("rb") as opened:
        read = import_file.LeadFile(opened, suppression_key=SUPPRESSION_KEY, source="The old site")
        assert importer.stage(empty, read) == 0
        assert read.mistakes == []
        for part in importer.parts(empty):
            importer.add(empty, part)
        empty.commit()
        wanted = mailable(session)
        assert wanted
        assert mailable(empty) == wanted
        assert facts(empty) == facts(session)
    other.dispose()


def unkept(text: str) -> bool:
    return import_file.UNPRINTED.search(text) is not None or len(text) > 200
