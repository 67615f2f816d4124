"""The start of the whole product on one machine: prepare, print the addresses, run."""

import os
import shlex
import shutil
import sys
from pathlib import Path

import click
from flask import Flask
from sqlalchemy.exc import SQLAlchemyError

from crossroads import current
from crossroads.logs import first_line
from crossroads.ops.parent_process import SUPERVISOR
from crossroads.ops.server import require_free_port, schema_mismatch
from crossroads.ops.supervisor import Supervisor
from crossroads.settings import Settings
from crossroads.staff import accounts
from models import db, writing

PROCFILE = "Procfile"


def prepare(app: Flask, settings: Settings) -> None:
    """Bring the database to this version and draw the share pictures, inside an app context.

    Raises ClickException when the database is away or from a newer version.
    """
    fault = schema_mismatch(db.engine)
    if fault and not fault.older:
        raise click.ClickException(str(fault))
    if fault:
        from crossroads.ops import migrations

        try:
            migrations.to_this_version(app)
        except SQLAlchemyError as error:
            raise click.ClickException(
                f"the tables cannot be made: {first_line(error)}; check DATABASE_URL"
            ) from None
    from crossroads.content import (
        share_images,  # imported here: it loads a renderer
    )

    share_images.write(current.content(), settings.share_folder)


def run_all(app: Flask, settings: Settings) -> int:
    """Run every process of the Procfile until told to stop; return the exit code.

    Ctrl-C stops all of them, and so does closing the terminal; when one ends, the others are
    stopped too, and the code is not 0.
    """
    require_free_port(settings.host, settings.port, "PORT")
    if not settings.production:
        require_free_port("127.0.0.1", settings.sandbox_port, "SANDBOX_PORT")
    prepare(app, settings)
    owner = None
    if not settings.production:
        writing(db.session)
        owner = accounts.first_owner(db.session)
        db.session.commit()
    db.session.remove()
    db.engine.dispose()
    click.echo(_where(settings, owner))
    os.environ[SUPERVISOR] = str(os.getpid())
    folder = Path(app.root_path)
    commands = _commands(folder)
    if settings.production:
        commands.pop("sandbox", None)
    return Supervisor(commands, folder).run()


def _commands(folder: Path) -> dict[str, str]:
    """Return the commands of the Procfile by name: a line each, `name: command`."""
    # The flask beside this Python, whatever else is on the PATH.
    flask = shutil.which("flask", path=str(Path(sys.executable).parent)) or "flask"
    lines = (folder / PROCFILE).read_text(encoding="utf-8").splitlines()
    commands = dict(line.split(": ", 1) for line in lines)
    return {
        name: command.replace("flask", f"exec {shlex.quote(flask)}", 1)
        for name, command in commands.items()
    }


def _where(settings: Settings, owner: tuple[str, str] | None) -> str:
    lines = [
        "",
        f"  Site     {settings.base_url}/",
        f"  Desk     {settings.base_url}/admin/",
    ]
    if not settings.production:
        lines.append(f"  Mailbox  {settings.sandbox_url}/mail/")
    if settings.stripe_api_base == settings.sandbox_url:
        lines.append(f"  Stripe   {settings.sandbox_url}/stripe/")
    if owner:
        email, password = owner
        lines += [
            "",
            f"  Sign in at the desk as {email} with the password {password}",
            "  (shown this once; you choose your own at the first sign-in)",
        ]
    return "\n".join([*lines, "", "  Ctrl-C stops everything.", ""])
