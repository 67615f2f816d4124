"""Comparisons and courses: the files in site/content."""

import sys
from contextlib import suppress
from datetime import UTC, date, datetime
from pathlib import Path

import click
from flask.cli import AppGroup, with_appcontext
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from crossroads import content, current
from crossroads.cli.support import count
from crossroads.content import Content
from crossroads.database import schema
from crossroads.orders import sold_cohorts
from crossroads.orders.sold_cohorts import Affected
from models import db

group = AppGroup("content", help="Comparisons and courses: the files in site/content.")


@group.command("check")
@with_appcontext
def check() -> None:
    """List mistakes in the content, expired claims, and figures without a source.

    Compares it with the orders in the database, too: a cohort that left the content or has fewer
    seats than are sold is a mistake, one that moved is a note.
    """
    found = current.content()  # mistakes have stopped the command before this line
    for problem in content.figures_without_source(found):
        click.echo(f"note: {problem}")
    for sample in found.samples:
        click.echo(f"note: {sample}")
    today = datetime.now(UTC).date()
    problems = [str(problem) for problem in content.expired(found, today)]
    try:
        changed = _changed(found, today)
    except (SQLAlchemyError, FileNotFoundError) as error:
        click.echo(f"note: the content was not compared with orders: {_cause(error)}")
    else:
        moved = [str(one) for one in changed if one.change == "moved"]
        problems += [str(one) for one in changed if one.change != "moved"]
        for note in moved:
            click.echo(f"note: {note}")
    for line in problems:
        click.echo(line, err=True)
    if problems:
        sys.exit(1)
    comparisons = count(len(found.comparisons), "comparison")
    click.echo(f"no mistakes in {comparisons} and {count(len(found.courses), 'course')}")


def _changed(found: Content, today: date) -> list[Affected]:
    """Compare with the database. Raises when there is none: SQLite would create an empty file."""
    file = db.engine.url.database if db.engine.dialect.name == "sqlite" else None
    if file is not None and not Path(file).exists():
        raise FileNotFoundError(file)
    with Session(db.engine) as session:
        return sold_cohorts.compare(session, found, today)


def _cause(error: Exception) -> str:
    """Say why the comparison failed, and what to run if the tables are missing or too old."""
    if not isinstance(error, FileNotFoundError):
        with suppress(SQLAlchemyError):
            if mismatch := schema.mismatch(db.engine):
                return str(mismatch)
    return "there is no database to read"
