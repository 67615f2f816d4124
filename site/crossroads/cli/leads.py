"""Leads."""

import json
from datetime import UTC, datetime
from pathlib import Path

import click
from email_validator import EmailNotValidError
from flask.cli import AppGroup

from crossroads import current, export
from crossroads.cli.support import count, export_options, fail, settings, with_tables, write_export
from crossroads.leads import listing
from crossroads.leads.consent import Evidence
from crossroads.leads.listing import LeadFilter
from crossroads.mail import addresses
from crossroads.mail.addresses import Address
from crossroads.privacy import person
from crossroads.privacy.person import Person
from models import db, writing
from models.base import scrub
from models.lead import LeadState

group = AppGroup("leads", help="Leads: export, import, personal data, erasure.")


@group.command("export")
@export_options
@click.option("--search", "q", default="", help="only where the email or name contains this")
@click.option("--state", type=click.Choice([state.value for state in LeadState]))
@click.option("--page", default="", help="only from this page, like /compare/…")
@click.option("--campaign", default="", help="only from this utm_campaign")
@with_tables
def export_leads(kind: str, output: str, **which: str | None) -> None:
    """Export leads to a file; no partial files."""
    write_export(listing.SHEET, LeadFilter.of(**which), kind, output, "lead")


@group.command("data")
@click.argument("email")
@click.option("--output", required=True, help="file to write, or - for standard output")
@with_tables
def data(email: str, output: str) -> None:
    """Export all data about one person as JSON: leads, consent, mail, orders, seats."""
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
    """Erase all data about one person. This cannot be undone.

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
        return addresses.parse(email, settings().suppression_key)
    except EmailNotValidError as error:
        fail(f"{email}: {error}")


def _find(address: Address, *, lock: bool = False) -> Person:
    found = person.find(db.session, address.hash, lock=lock)
    if found is None:
        fail(f"nothing is stored of {address.typed}")
    return found


def _summary(found: Person) -> list[str]:
    """Print what will be erased, and paid seats that are still ahead."""
    lines = [
        f"{count(len(found.consents), 'event')} of consent, {count(len(found.messages), 'mail')}, "
        f"{count(len(found.orders), 'order')}, {count(len(found.enrollments), 'seat')}"
    ]
    if found.lost:
        lines.append(f"{count(len(found.lost), 'payment')} without an order")
    today = datetime.now(UTC).date()
    lines += [
        f"a paid seat is still ahead: {seat.course}, {seat.cohort}"
        for seat in person.upcoming_seats(found, current.content(), today)
    ]
    if found.orders:
        lines.append("Stripe keeps records of its own: erase the customer there too")
    return lines
