"""The import commands of `flask leads`: import a file, list imports, undo one."""

import getpass
import io
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import click
from sqlalchemy.orm import Session

from crossroads.cli.support import count, fail, progress, settings, with_tables
from crossroads.leads.imports import batches, importer
from crossroads.leads.imports import columns as import_columns
from crossroads.leads.imports.file import LeadFile, NoLeads
from crossroads.leads.imports.importer import Outcome
from models import db, writing
from models.base import scrub

# Seconds between two parts of a long import: who waits to write asks again every 0.1 seconds.
BREATH = 0.15
ERASED = "(name erased)"  # of a file that could have named the person who was erased


@click.command("import")
@click.argument(
    "file", type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path)
)
@click.option(
    "--consent-source", default="", help="where people agreed, and to what; kept as proof"
)
@click.option("--dry-run", is_flag=True, help="show the result without writing anything")
@click.option(
    "--column",
    "columns",
    multiple=True,
    metavar="NAME=HEAD",
    help=f"the column to read as one of {', '.join(import_columns.NAMES)}; repeatable",
)
@click.option(
    "--ignore", "ignored", multiple=True, metavar="HEAD", help="leave this column out; repeatable"
)
@click.option("--encoding", default="", help="of a file that is not UTF-8, like windows-1252")
@click.option("--time-zone", default="", help="of times without one, like Europe/Berlin")
@click.option(
    "--dates",
    type=click.Choice(["day-first", "month-first"]),
    help="how to read dates like 1/2/2026",
)
@with_tables
def import_leads(
    file: Path,
    consent_source: str,
    dry_run: bool,
    columns: tuple[str, ...],
    ignored: tuple[str, ...],
    encoding: str,
    time_zone: str,
    dates: str | None,
) -> None:
    """Import leads with consent from a CSV file, ours or another program's; - reads a pipe.

    People whom the file marks as gone are never mailed, and are unsubscribed if they had confirmed
    here. Nobody becomes mailable who is known here or whose address is suppressed. A file with a
    mistake is not taken at all; a second run changes nothing.
    """
    given = {
        "source": consent_source,
        "name": _name(file),
        "named": _named(columns),
        "ignored": ignored,
        "encoding": encoding,
        "zone": _zone(time_zone),
        "day_first": None if dates is None else dates == "day-first",
    }
    # One connection for all of it: the staged rows are seen by no other.
    with db.engine.connect() as connection, Session(connection) as session:
        read, repeated = _stage(session, file, given)
        outcome = importer.assess(session)
        parts = importer.parts(session)
        session.rollback()
        for line in _report_lines(read, repeated, outcome, would=dry_run):
            click.echo(line)
        if not dry_run:
            _take(
                session, outcome, parts, file=_name(file), source=consent_source, lines=read.lines
            )


def _name(file: Path) -> str:
    """Return the name of this file in the list of imports."""
    return "stdin" if str(file) == "-" else file.name


@contextmanager
def _opened(file: Path) -> Iterator[tuple[IO[bytes], int]]:
    """Open a file that can be read twice, and return its size in bytes.

    A pipe cannot: it is copied into a file without a name, which is gone when it is closed.
    """
    with click.open_file(str(file), "rb") as opened:
        if opened.seekable():
            size = opened.seek(0, io.SEEK_END)
            opened.seek(0)
            yield opened, size
            return
        with tempfile.TemporaryFile() as copy:
            shutil.copyfileobj(opened, copy)
            size = copy.tell()
            copy.seek(0)
            yield copy, size


def _named(columns: tuple[str, ...]) -> dict[str, str]:
    """Read --column email=Emailadresse."""
    named = {}
    for one in columns:
        name, sign, head = one.partition("=")
        if not sign or name not in import_columns.NAMES:
            fail(f"--column {one}: write NAME=HEAD, NAME one of {', '.join(import_columns.NAMES)}")
        named[name] = head
    return named


def _zone(name: str) -> ZoneInfo | None:
    try:
        return ZoneInfo(name) if name else None
    except (ZoneInfoNotFoundError, ValueError, OSError):
        fail(f"--time-zone {name}: not a time zone; one looks like Europe/Berlin")


def _take(
    session: Session, outcome: Outcome, parts: list[range], *, file: str, source: str, lines: int
) -> None:
    """Add the staged leads in parts, with progress."""
    if not outcome.added and not outcome.unsubscribed and not outcome.held:
        click.echo("0 leads added")
        return
    number: int | None = None
    added = gone = 0
    with progress("Adding", len(parts)) as advance:
        for part in parts:
            writing(session)
            record = batches.find(session, number) if number else None
            record = record or importer.begin(
                session, file=file, by=_account(), source=source, lines=lines
            )
            number = record.id
            record.added += importer.add(session, part, number)
            record.unsubscribed += importer.unsubscribe(session, part)
            record.held += importer.suppress(session, part)
            added, gone = record.added, record.unsubscribed
            session.commit()
            advance(1)
            time.sleep(BREATH if len(parts) > 1 else 0)
    if gone:
        click.echo(f"{count(gone, 'lead')} unsubscribed")
    click.echo(f"import {number}; to undo it: flask leads undo {number}")
    click.echo(f"{count(added, 'lead')} added")


def _account() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # an account without a name, as in some containers
        return "unknown"


def _stage(session: Session, file: Path, given: dict[str, Any]) -> tuple[LeadFile, int]:
    """Check the whole file, and stage its leads in a temporary table."""
    with _opened(file) as (opened, size), progress("Checking", size) as advance:
        try:
            read = LeadFile(opened, suppression_key=settings().suppression_key, **given)
        except NoLeads as error:
            fail("\n".join(f"{file}: {line}" for line in str(error).splitlines()))

        def rows() -> Iterator[dict[str, Any]]:
            seen = 0
            for row in read:
                yield row
                if read.lines % 1000 == 0:
                    advance(opened.tell() - seen)
                    seen = opened.tell()

        repeated = importer.stage(session, rows())
    session.commit()
    if read.wrong:
        more = read.wrong - len(read.mistakes)
        listed = [*read.mistakes, *([f"and {count(more, 'mistake')} more"] if more else [])]
        lines = "\n".join(f"{file}: {mistake}" for mistake in listed)
        fail(f"nothing was imported: {count(read.wrong, 'mistake')} in the file\n{lines}")
    return read, repeated


def _report_lines(read: LeadFile, repeated: int, outcome: Outcome, *, would: bool) -> Iterator[str]:
    """Print the result of an import, or of a dry run."""
    if would:
        yield "dry run: nothing is stored. An import would do this:"
    if read.ignored:
        yield f"columns not imported: {', '.join(read.ignored)}"
    if read.judged:
        yield f"columns that say who left: {', '.join(read.judged)}"
    if read.as_utc:
        yield "times without a zone are read as UTC, unless --time-zone names another"
    yield count(read.lines, "line") + " read"
    if repeated:
        yield f"{count(repeated, 'line')} with a repeated address: each address is imported once"
    if read.unconfirmed:
        yield f"{read.unconfirmed} never confirmed: not imported"
    for reason, number in sorted(outcome.suppressed.items()):
        yield f"{number} on the suppression list here ({reason}): unchanged"
    for state, number in sorted(outcome.known.items()):
        yield f"{number} known here ({state}): unchanged"
    if outcome.unsubscribed:
        yield f"{outcome.unsubscribed} confirmed here, unsubscribed in the file: to unsubscribe"
    if outcome.held:
        yield f"{outcome.held} confirmed here, bounced in the file: to suppress"
    for state, number in sorted(outcome.added.items()):
        yield f"{number} to add as {state}"
    if outcome.never_mailed:
        yield f"{outcome.never_mailed} of them with an address that bounced: suppressed"


@click.command("imports")
@with_tables
def imports() -> None:
    """List the imports, the newest first: date, file, by whom, and the result."""
    found = batches.newest(db.session)
    for one in found:
        words = [count(one.added, "lead") + " added"]
        words += [f"{one.unsubscribed} unsubscribed"] if one.unsubscribed else []
        words += [f"{one.held} suppressed"] if one.held else []
        if one.undone_at:
            words.append(f"undone {one.undone_at:%Y-%m-%d %H:%M}, {one.removed} removed")
        click.echo(
            f"{one.id}  {one.created_at:%Y-%m-%d %H:%M} UTC  {one.file or ERASED}  "
            f"by {one.imported_by}: "
            f"{count(one.lines, 'line')}, {', '.join(words)}"
        )
    if not found:
        click.echo("no imports yet")


@click.command("undo")
@click.argument("number", type=int)
@click.option("--yes", is_flag=True, help="do not ask")
@with_tables
def undo(number: int, yes: bool) -> None:
    """Remove the leads that an import added and that have not acted since.

    NUMBER is the import's number in `flask leads imports`. Nobody is resubscribed by this.
    """
    record = batches.find(db.session, number)
    if record is None:
        fail(f"no import has the number {number}: flask leads imports lists them")
    left = batches.preview_undo(db.session, number)
    click.echo(f"{count(left.removed, 'lead')} to remove", err=True)
    for reason, kept in left.kept.items():
        click.echo(f"{kept} to keep ({reason})", err=True)
    if record.unsubscribed:
        click.echo(f"{record.unsubscribed} were unsubscribed by it and stay unsubscribed", err=True)
    if record.held:
        click.echo(f"{record.held} were suppressed by it and stay suppressed", err=True)
    total = left.removed + sum(left.kept.values())
    db.session.rollback()
    if not yes:
        click.confirm("Remove them for good?", abort=True, err=True)
    removed, last = 0, 0
    with progress("Removing", total) as advance:
        while True:
            writing(db.session)
            record = batches.find(db.session, number)
            part = record and batches.undo(db.session, record, last)
            db.session.commit()
            if not part:
                break
            removed, last = removed + part[0], part[1]
            advance(batches.AT_ONCE)
            time.sleep(BREATH)
    scrub(db.engine)
    click.echo(f"{count(removed, 'lead')} removed")


commands = (import_leads, imports, undo)
