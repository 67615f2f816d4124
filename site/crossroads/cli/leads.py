"""People who signed up."""

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from email_validator import EmailNotValidError
from flask.cli import AppGroup
from sqlalchemy.orm import Session

from crossroads import addresses, export, lead_import, lead_list, person
from crossroads.addresses import Address
from crossroads.consent import Evidence
from crossroads.console import (
    count,
    export_options,
    fail,
    progress,
    settings,
    with_tables,
    write_export,
)
from crossroads.lead_file import LeadFile, NoLeads
from crossroads.lead_import import Outcome
from crossroads.lead_list import LeadFilter
from crossroads.person import Person
from crossroads.shelf import current_content
from models import db, writing
from models.base import scrub
from models.lead import STATES

# Seconds between two parts of a long import: who waits to write asks again every 0.1 seconds.
BREATH = 0.15

group = AppGroup("leads", help="People who signed up.")


@group.command("export")
@export_options
@click.option("--search", "q", default="", help="only where the email or name contains this")
@click.option("--state", type=click.Choice(STATES))
@click.option("--page", default="", help="only from this page, like /compare/…")
@click.option("--campaign", default="", help="only from this utm_campaign")
@with_tables
def export_leads(kind: str, output: str, **which: str | None) -> None:
    """Write leads to a file, complete or not at all."""
    write_export(lead_list.SHEET, LeadFilter.of(**which), kind, output, "lead")


@group.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--consent-source", default="", help="where they agreed, and to what; kept as proof")
@click.option("--dry-run", is_flag=True, help="say what would happen, and write nothing")
@with_tables
def import_leads(file: Path, consent_source: str, dry_run: bool) -> None:
    """Add people who agreed elsewhere, from a CSV file, ours or another's.

    Nobody becomes mailable who is known here or whose address is suppressed. A file with a
    mistake is not taken at all; a second run changes nothing.
    """
    # One connection for all of it: the staged rows are seen by no other.
    with db.engine.connect() as connection, Session(connection) as session:
        read, repeated = _stage(session, file, consent_source)
        outcome = lead_import.weigh(session)
        parts = lead_import.parts(session)
        session.rollback()
        for line in _told(read, repeated, outcome, would=dry_run):
            click.echo(line)
        if dry_run:
            return
        added = 0
        with progress("Adding", len(parts)) as advance:
            for part in parts:
                writing(session)
                added += lead_import.write(session, part)
                session.commit()
                advance(1)
                time.sleep(BREATH if len(parts) > 1 else 0)
    click.echo(f"{count(added, 'lead')} added")


def _stage(session: Session, file: Path, source: str) -> tuple[LeadFile, int]:
    """Check the whole file, and put its people where no one else sees them."""
    with file.open("rb") as opened, progress("Checking", file.stat().st_size) as advance:
        try:
            read = LeadFile(opened, suppression_key=settings().suppression_key, source=source)
        except NoLeads as error:
            fail(f"{file}: {error}")

        def rows() -> Iterator[dict[str, Any]]:
            seen = 0
            for row in read:
                yield row
                if read.lines % 1000 == 0:
                    advance(opened.tell() - seen)
                    seen = opened.tell()

        repeated = lead_import.stage(session, rows())
    session.commit()
    if read.wrong:
        more = read.wrong - len(read.mistakes)
        told = [*read.mistakes, *([f"and {count(more, 'mistake')} more"] if more else [])]
        lines = "\n".join(f"{file}: {mistake}" for mistake in told)
        fail(f"nothing was imported: {count(read.wrong, 'mistake')} in the file\n{lines}")
    return read, repeated


def _told(read: LeadFile, repeated: int, outcome: Outcome, *, would: bool) -> Iterator[str]:
    """Say what an import does, or would do, with everybody in the file."""
    if would:
        yield "nothing is written; this is what would happen:"
    if read.ignored:
        yield f"columns left out: {', '.join(read.ignored)}"
    yield count(read.lines, "line") + " read"
    if repeated:
        yield f"{repeated} named again: taken once"
    if read.unconfirmed:
        yield f"{read.unconfirmed} never confirmed: left out"
    for reason, number in sorted(outcome.suppressed.items()):
        yield f"{number} held back here ({reason}): left as they are"
    for state, number in sorted(outcome.known.items()):
        yield f"{number} known here ({state}): left as they are"
    for state, number in sorted(outcome.added.items()):
        yield f"{number} to add as {state}"


@group.command("data")
@click.argument("email")
@click.option("--output", required=True, help="file to write, or - for standard output")
@with_tables
def data(email: str, output: str) -> None:
    """Write all that is stored of one person as JSON: leads, consent, mail, orders, seats."""
    found = _find(_address(email))
    text = json.dumps(person.data(db.session, found), ensure_ascii=False, indent=2) + "\n"
    if output == "-":
        click.echo(text, nl=False)
        return
    try:
        with export.whole(Path(output)) as file:
            file.write(text.encode())
    except OSError as error:
        fail(f"{output}: cannot be written: {error.strerror}")
    click.echo(f"all that is stored of {email} written to {output}", err=True)


@group.command("erase")
@click.argument("email")
@click.option("--yes", is_flag=True, help="do not ask")
@with_tables
def erase(email: str, yes: bool) -> None:
    """Take one person out of everything that is stored, for good.

    Amounts of orders stay, and a keyed hash of the address, so that no later import mails it.
    """
    address = _address(email)
    found = _find(address)
    for line in _summary(found):
        click.echo(line, err=True)
    db.session.rollback()
    if not yes:
        click.confirm("Erase this for good?", abort=True, err=True)
    writing(db.session)
    found = _find(address, lock=True)
    person.erase(db.session, found, Evidence(form="command line"))
    db.session.commit()
    scrub(db.engine)
    click.echo("erased")


def _address(email: str) -> Address:
    try:
        return addresses.read(email, settings().suppression_key)
    except EmailNotValidError as error:
        fail(f"{email}: {error}")


def _find(address: Address, *, lock: bool = False) -> Person:
    found = person.find(db.session, address.hash, lock=lock)
    if found is None:
        fail(f"nothing is stored of {address.typed}")
    return found


def _summary(found: Person) -> list[str]:
    """Say what will be gone, and what the person may want to know before."""
    lines = [
        f"{count(len(found.consents), 'event')} of consent, {count(len(found.messages), 'mail')}, "
        f"{count(len(found.orders), 'order')}, {count(len(found.enrollments), 'seat')}"
    ]
    today = datetime.now(UTC).date()
    lines += [
        f"a paid seat is still ahead: {seat.course}, {seat.cohort}"
        for seat in person.ahead(found, current_content(), today)
    ]
    if found.orders:
        lines.append("Stripe keeps records of its own: erase the customer there too")
    return lines
