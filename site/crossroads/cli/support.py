"""Shared by the commands: settings, database check, exports, error lines."""

import itertools
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import NoReturn, ParamSpec, TypeVar

import click
from flask import current_app
from flask.cli import with_appcontext
from sqlalchemy.exc import InterfaceError, OperationalError

from crossroads import current, export
from crossroads.database.pagination import Filter
from crossroads.export import Sheet
from crossroads.logs import first_line
from crossroads.ops import server
from crossroads.payments import Gateway
from crossroads.settings import Settings
from models import db

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def with_tables(command: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Run a command that needs the database; exit with one line if it is away or not ours."""

    @wraps(command)
    def run(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        server.require_schema(db.engine)
        try:
            return command(*args, **kwargs)
        except (OperationalError, InterfaceError) as error:
            fail(f"the database cannot be used: {first_line(error)}")

    wrapped: Callable[Arguments, Result] = with_appcontext(run)
    return wrapped


def gateway() -> Gateway:
    """Return a gateway with longer timeouts and retries, since no page waits for it."""
    return Gateway(settings().stripe_secret_key, base=settings().stripe_api_base, background=True)


def export_options(command: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Add the options --format and --output to a command."""
    where = click.option("--output", required=True, help="file to write, or - for standard output")
    kind = click.option(
        "--format", "kind", type=click.Choice(list(export.KINDS)), default="csv", show_default=True
    )
    return kind(where(command))


def write_export(sheet: Sheet, which: Filter, kind: str, output: str, noun: str) -> None:
    """Export the rows of a filter to a file, without partial files, or to standard output."""
    try:
        if output == "-":
            export.write(db.engine, sheet, which, kind, sys.stdout.buffer)
            sys.stdout.buffer.flush()
            return
        with progress(f"{noun.capitalize()}s") as advance:
            written = export.write_whole(db.engine, sheet, which, kind, Path(output), advance)
    except BrokenPipeError:  # the reader has closed the pipe
        raise
    except OSError as error:
        fail(f"{output}: cannot be written: {error.strerror}")
    click.echo(f"{count(written, noun)} written to {output}", err=True)


@contextmanager
def progress(label: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
    """Show progress on a terminal. Yields a function to call with each advance."""
    with click.progressbar(
        itertools.count(),  # whose end is `total`, and not known without
        length=total,
        label=label,
        show_pos=total is None,
        file=sys.stderr,
        hidden=not sys.stderr.isatty(),
    ) as bar:
        yield bar.update


def settings() -> Settings:
    """Return the settings of the site that the command runs in."""
    return current.settings()


def templates() -> Path:
    """Return the folder of the templates, mail among them."""
    return Path(current_app.root_path) / "templates"


def count(number: int, noun: str) -> str:
    """Return the number with its noun, as in 2 leads."""
    return f"1 {noun}" if number == 1 else f"{number} {noun}s"


def fail(message: object) -> NoReturn:
    """End the command with one line on standard error and exit code 1."""
    raise click.ClickException(str(message))
