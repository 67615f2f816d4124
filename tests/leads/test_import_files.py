"""Files of other programs: people marked as unsubscribed or bounced get no mail."""

import re
import shlex
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select
from sqlalchemy.orm import Session

from crossroads.leads import consent
from crossroads.mail import suppressions
from models import ConsentEvent, Lead, LeadImport, db
from tests.support.lead_imports import confirmed, everything, join, mailable, take
from tests.support.paths import ROOT
from tests.support.people import SUPPRESSION_KEY, hashed

DATA = ROOT / "tests" / "data" / "leads"
PROGRAMS = sorted(file.stem for file in DATA.glob("*.csv") if file.stem != "mailchimp-names")


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


@pytest.mark.parametrize("program", PROGRAMS)
def test_only_consenting_people_are_mailable_for_every_program(
    site: Flask, there: Session, file: Path, program: str
) -> None:
    result = take(site, file, (DATA / f"{program}.csv").read_bytes())
    assert result.exit_code == 0, result.stderr
    assert confirmed(there) == {"yes@example.com"}
    assert mailable(there) == {"yes@example.com"}
    lead = there.scalars(select(Lead).where(Lead.email == "yes@example.com")).one()
    assert lead.name in ("Ann Example", "Ann", "")
    for one in there.scalars(select(Lead)):
        assert consent.state_of(consent.events_of(there, one.id)) == one.state


def test_unsubscribe_in_a_file_applies_to_confirmed_leads(
    app: Flask, session: Session, file: Path
) -> None:
    for name in ("left", "dead", "soon", "stays", "again"):
        join(session, f"{name}@example.com", *(() if name == "soon" else ("confirm",)))
    text = (
        "email,status\nleft@example.com,unsubscribed\ndead@example.com,bounced\n"
        "soon@example.com,unsubscribed\nstays@example.com,active\nagain@example.com,pending\n"
    )
    before = everything(session)
    would = take(app, file, text, "--dry-run")
    assert "2 confirmed here, unsubscribed in the file: to unsubscribe" in would.stdout
    assert everything(session) == before
    old = session.scalars(select(Lead).where(Lead.email == "left@example.com")).one().confirm_token
    session.rollback()
    assert "2 leads unsubscribed" in take(app, file, text).stdout
    found = {lead.email.partition("@")[0]: lead for lead in session.scalars(select(Lead))}
    assert {name: lead.state for name, lead in found.items()} == {
        "left": "unsubscribed",
        "dead": "unsubscribed",
        "soon": "pending",
        "stays": "confirmed",
        "again": "confirmed",
    }
    event = consent.events_of(session, found["left"].id)[-1]
    assert (event.kind, event.form) == ("unsubscribed", "import")
    assert event.wording == 'people.csv: status: "unsubscribed"'
    assert found["left"].confirm_token != old
    held = suppressions.find(session, hashed("dead@example.com"))
    assert held is not None and held.reason == "bounced"
    assert mailable(session) == {"stays@example.com", "again@example.com"}
    after = everything(session)
    assert take(app, file, text).exit_code == 0
    assert everything(session) == after


def test_bounced_addresses_of_our_export_are_suppressed(
    app: Flask, session: Session, file: Path
) -> None:
    join(session, "dead@example.com", "confirm")
    take(app, file, "email,state,suppressed\ndead@example.com,confirmed,bounced\n")
    session.rollback()
    assert mailable(session) == set()
    kinds = session.scalars(select(ConsentEvent.kind).order_by(ConsentEvent.id)).all()
    assert kinds[-1] == "bounced"
    assert session.scalars(select(LeadImport.held)).one() == 1


@pytest.mark.parametrize(
    ("head", "cells"),
    [
        ("Lead status", ["hot", "cold"]),
        ("Newsletter", ["yes", "no"]),
        ("Kündigungsstatus", ["ja", "nein"]),
        ("GDPR agreed", ["true", "false"]),
        ("Status", ["7", "8"]),
        ("State", ["dormant", "fresh"]),
        ("Zustand", ["gut", "unsubscribed"]),
        ("Tags", ["vip", '"vip","unsubscribed"']),
        ("Bounces total", ["0", "3"]),
        ("Permission note", ["call first", ""]),
        # Unknown signs, and signs with two meanings.
        ("Unsubscribed", ["!", ""]),
        ("Unsubscribed", ["+", ""]),
        ("Unsubscribed", ["☒", ""]),
        ("Unsubscribed", ["✗", ""]),
        ("Unsubscribed", ["✓", "x"]),
        ("unsubscribed_at", ["✝", ""]),
        ("State", ["✗", ""]),
        ("Status", ["✓", "✗"]),
        # Words that are also codes of states or countries.
        ("Newsletter", ["ok", ""]),
        ("GDPR", ["OK", ""]),
        ("Valid", ["OK", ""]),
        ("Newsletter", ["NL", ""]),
        ("Mailing", ["ok", "de"]),
        ("Status", ["ACT", "IN"]),
        # Another channel, but not only that one.
        ("Opt out SMS/Mail", ["yes", ""]),
        ("Opt out (mail & phone)", ["yes", ""]),
        ("Unsubscribed (letter)", ["yes", ""]),
        ("Unsubscribed news letter", ["yes", ""]),
        ("Opt out SMS newsletter", ["yes", ""]),
        ("Opt out (phone and all)", ["yes", ""]),
        # Yes and no, in a column with an unknown name.
        ("Darf angeschrieben werden", ["ja", "nein"]),
        ("Mail ok?", ["y", "n"]),
        ("Ok to mail", ["1", ""]),
        ("Haken", ["☑", "☐"]),
        ("Toestemming", ["nee", ""]),
        ("Interested", ["perhaps", "no"]),
        ("Email Preference", ["Weekly", "None"]),
        ("Frequency", ["Weekly", "Never"]),
        ("How often", ["Weekly", "Never"]),
        ("Email Quality", ["undeliverable", "fine"]),
        ("Result", ["undeliverable", "fine"]),
        # Words for unsubscribed within longer text, in many languages and in scripts not read here.
        ("Group", ["Opted-out customers", "Customers"]),
        ("list", ["Unsubscribes", "Regulars"]),
        ("Notes", ["please do not email me", ""]),
        ("Notes", ["please don't mail", ""]),
        ("Notes", ["asked: remove me from the mailing list", ""]),
        ("Notiz", ["möchte keine E-Mails", ""]),
        ("Notiz", ["bitte nicht mehr anschreiben", ""]),
        ("Note", ["s'est désabonnée en mai", ""]),
        ("Nota", ["se dio de baja", ""]),
        ("Notes", ["y" * 400 + ", unsubscribed", ""]),
        ("Notes", ["likes tea. " * 40 + "Has unsubscribed in May.", ""]),
        ("Статус", ["отписан", "да"]),
        ("Notes", ["клиент отписался", ""]),
        ("状態", ["退会", "会員"]),
        ("Memo", ["2025年に退会", ""]),
        ("Κατάσταση", ["open", "shut"]),
        ("Memo", ["ναι", "όχι"]),
    ],
)
def test_ambiguous_column_stops_the_import_until_it_is_ignored(
    site: Flask, there: Session, file: Path, head: str, cells: list[str]
) -> None:
    quoted = ['"' + cell.replace('"', '""') + '"' for cell in cells]
    text = f"email,{head}\na@example.com,{quoted[0]}\nb@example.com,{quoted[1]}\n"
    result = take(site, file, text)
    assert result.exit_code == 1
    assert f'column "{head}" could say who left ("' in result.stderr
    assert f"--ignore {shlex.quote(head)}. " in result.stderr
    assert there.scalars(select(Lead)).all() == []
    there.rollback()
    result = take(site, file, text, "--ignore", head)
    assert f"columns not imported: {head}" in result.stdout
    assert result.stdout.endswith("2 leads added\n")


@pytest.mark.parametrize(
    "head", ["Why 'no'?", 'Said ""stop""', "Stopped `$HOME`", "Stop\\n", "--stop", "-y stop"]
)
def test_suggested_options_can_be_pasted_into_a_shell(
    site: Flask, there: Session, file: Path, head: str
) -> None:
    text = f'email,"{head}"\na@example.com,perhaps\nb@example.com,unsubscribed\n'
    told = take(site, file, text).stderr
    ignored = re.search(r"(--ignore .+?)\. If it does, ", told)
    named = re.search(r"(--column .+)\n", told)
    assert ignored is not None and named is not None
    text = text.replace("perhaps", "active")
    assert take(site, file, text, *shlex.split(named[1])).exit_code == 0
    assert confirmed(there) == {"a@example.com"}
    there.rollback()
    result = take(site, file, text.replace("a@", "c@"), *shlex.split(ignored[1]))
    assert result.exit_code == 0, result.stderr


def test_two_address_columns_are_reported_with_an_option_to_paste(
    site: Flask, there: Session, file: Path
) -> None:
    text = "E-mail,Email Address\na@example.com,b@example.com\n"
    told = re.search(r"(--column .+)\n", take(site, file, text).stderr)
    assert told is not None
    assert take(site, file, text, *shlex.split(told[1])).exit_code == 0
    assert confirmed(there) == {"a@example.com"}


@pytest.mark.parametrize("sign", ["✓", "✔", "✔\ufe0f", " ☑ ", "✅", "x", "X"])
def test_tick_marks_count_as_yes(site: Flask, there: Session, file: Path, sign: str) -> None:
    text = f"email,Unsubscribed\ngone@example.com,{sign}\nyes@example.com,\n"
    assert take(site, file, text).exit_code == 0
    assert confirmed(there) == {"yes@example.com"}
    text = f"email,Subscribed\nyes2@example.com,{sign}\nnone@example.com,\n"
    there.rollback()
    assert take(site, file, text).exit_code == 0
    assert confirmed(there) == {"yes@example.com", "yes2@example.com"}


def test_crosses_count_as_no_in_a_column_with_ticks(
    site: Flask, there: Session, file: Path
) -> None:
    text = "email,Subscribed\nyes@example.com,✓\na@example.com,✗\nb@example.com,☐\n"
    assert take(site, file, text).exit_code == 0
    text = "email,Unsubscribed\nc@example.com,✓\nyes2@example.com,✘\nyes3@example.com,☐\n"
    assert take(site, file, text).exit_code == 0
    assert confirmed(there) == {f"yes{number}@example.com" for number in ("", 2, 3)}


@pytest.mark.parametrize(
    "text",
    [
        "email,State,unsubscribed_at\nno@example.com,NY,2020-01-01T10:00:00Z\nyes@example.com,NY,\n",
        "email,State,unsubscribed_at\nno@example.com,active,2020-01-01T10:00:00Z\n"
        "yes@example.com,active,\n",
        "email,state,signed_up_at,unsubscribed_at\nno@example.com,confirmed,,2020-01-01T10:00:00Z\n"
        "yes@example.com,confirmed,,\n",
        "id,email,state,signed_up_at,last_signup_at,unsubscribed_at\n"
        "1,no@example.com,active,,,2020-01-01T10:00:00Z\n2,yes@example.com,active,,,\n",
        "id,email,state,signed_up_at,last_signup_at,unsubscribed_at\n"
        "1,no@example.com,NY,,,2020-01-01T10:00:00Z\n2,yes@example.com,CA,,,\n",
        "id,email,state,signed_up_at,last_signup_at,unsubscribed_at\n"
        "1,no@example.com,,,,2020-01-01T10:00:00Z\n2,yes@example.com,confirmed,,,\n",
    ],
    ids=["region", "other words", "few heads", "ours, other words", "ours, region", "ours, empty"],
)
def test_unsubscribe_time_counts_unless_our_export_says_confirmed(
    site: Flask, there: Session, file: Path, text: str
) -> None:
    result = take(site, file, text)
    assert result.exit_code == 0, result.stderr
    assert confirmed(there) == {"yes@example.com"}


def test_column_named_as_unsubscribe_time_counts(site: Flask, there: Session, file: Path) -> None:
    text = "email,Weg am\nno@example.com,2020-01-01T10:00:00Z\nyes@example.com,\n"
    take(site, file, text, "--column", "unsubscribed_at=Weg am")
    assert confirmed(there) == {"yes@example.com"}


def test_resubscribed_lead_of_our_export_is_confirmed(
    site: Flask, there: Session, file: Path
) -> None:
    text = (
        "id,email,state,signed_up_at,last_signup_at,unsubscribed_at\n"
        "1,yes@example.com,confirmed,,,2020-01-01T10:00:00Z\n"
    )
    assert take(site, file, text).exit_code == 0
    assert confirmed(there) == {"yes@example.com"}


@pytest.mark.parametrize(
    ("head", "cells"),
    [
        ("Mailing State/Province", ["OK", "IN"]),
        ("State/Region", ["ACT", "NSW"]),
        ("Bundesland", ["BY", "NW"]),
        ("MailingCity", ["Ulm", "Bonn"]),
        ("Country", ["NO", "NO"]),
        ("Phone", ["1", "0"]),
        ("Opted out of SMS", ["yes", "no"]),
        ("Do not call", ["1", "0"]),
        ("Record ID", ["1", "0"]),
        ("Orders", ["0", "1"]),
        ("Visits", ["0", "7"]),
        ("Last email sent", ["2026-01-01 10:00", "2026-01-02 10:00"]),
        ("Other email", ["c@example.com", ""]),
        ("City", ["Москва", "東京"]),
        ("Note", ["wrote a letter, called back, no answer", "not sure of the contact"]),
        ("Link", ["https://example.com/unsubscribe?u=1", ""]),
        ("Zoë's table", ["7", "12"]),
        ("Data", ["{}", "{}"]),
        ("Remarks", ["-", ""]),
    ],
)
def test_unrelated_column_does_not_stop_the_import(
    site: Flask, file: Path, head: str, cells: list[str]
) -> None:
    text = f'email,"{head}"\na@example.com,"{cells[0]}"\nb@example.com,"{cells[1]}"\n'
    result = take(site, file, text)
    assert result.exit_code == 0, result.stderr
    assert result.stdout.endswith("2 leads added\n")


def test_state_column_is_a_region_or_a_status_by_its_values(
    site: Flask, there: Session, file: Path
) -> None:
    result = take(site, file, "email,State\na@example.com,CA\nb@example.com,New York\n")
    assert result.exit_code == 0, result.stderr
    assert confirmed(there) == {"a@example.com", "b@example.com"}
    result = take(site, file, "email,State\nc@example.com,CA\nd@example.com,unsubscribed\n")
    assert result.exit_code == 1
    assert 'holds both states of a country ("CA")' in result.stderr


def test_unknown_value_is_reported_with_line_and_column(site: Flask, file: Path) -> None:
    result = take(site, file, "email,Status\na@example.com,active\nb@example.com,lapsed\n")
    assert result.exit_code == 1
    assert 'line 3: Status: "lapsed" is not known here: write active' in result.stderr


def test_names_and_times_of_consent_are_kept(site: Flask, there: Session, file: Path) -> None:
    result = take(site, file, (DATA / "mailchimp-names.csv").read_bytes())
    assert result.exit_code == 0, result.stderr
    lead = there.scalars(select(Lead)).one()
    assert lead.name == "Ann Example, Jr."
    assert lead.created_at == datetime(2018, 2, 12, 17, 59, 31, tzinfo=UTC)
    assert lead.confirmed_at == datetime(2018, 2, 12, 18, 6, 58, tzinfo=UTC)


def test_columns_can_be_set_by_options(site: Flask, there: Session, file: Path) -> None:
    text = "Wohin;Wer;Wann\nann@example.com;Ann;2.1.2026 10:00\n"
    options = ("--column", "email=Wohin", "--column", "name=Wer", "--column", "confirmed_at=Wann")
    result = take(site, file, text, *options, "--time-zone", "Europe/Berlin")
    assert result.exit_code == 0, result.stderr
    lead = there.scalars(select(Lead)).one()
    assert (lead.email, lead.name) == ("ann@example.com", "Ann")
    assert lead.confirmed_at == datetime(2026, 1, 2, 9, tzinfo=UTC)
    there.rollback()
    assert 'no column is called "Nirgends"' in take(site, file, text, "--ignore", "Nirgends").stderr
    assert "write NAME=HEAD" in take(site, file, text, "--column", "mail=Wohin").stderr
