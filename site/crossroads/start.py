"""The start of the whole product on one machine: prepare, say where things are, run it all."""

import shutil
import sys
from pathlib import Path

import click
from flask import Flask
from flask_migrate import upgrade
from honcho.environ import parse_procfile
from honcho.manager import Manager
from sqlalchemy.exc import SQLAlchemyError

from crossroads import schema, users
from crossroads.server import require_free_port
from crossroads.settings import Settings
from crossroads.shelf import current_content
from models import db, writing

PROCFILE = "Procfile"


def prepare(settings: Settings) -> None:
    """Bring the database to this version and draw the share pictures, inside an app context.

    Raises ClickException when the database is away or from a newer version.
    """
    try:
        fault = schema.fault(db.engine)
        if fault and "newer version" in fault:
            raise click.ClickException(fault)
        if fault:
            upgrade()
    except SQLAlchemyError as error:
        cause = str(error.__cause__ or error).strip().splitlines()[0]
        raise click.ClickException(
            f"the database cannot be reached: {cause}; check DATABASE_URL"
        ) from None
    from crossroads import pictures  # here alone: it loads a renderer that nothing else needs

    pictures.write(current_content(), settings.share_folder)


def everything(app: Flask, settings: Settings) -> int:
    """Run every process of the Procfile until told to stop; return the exit code.

    Ctrl-C stops all of them; when one ends by itself the others are stopped too.
    """
    require_free_port(settings.host, settings.port, "PORT")
    require_free_port("127.0.0.1", settings.sandbox_port, "SANDBOX_PORT")
    prepare(settings)
    owner = None
    if not settings.production:
        writing(db.session)
        owner = users.first_owner(db.session)
        db.session.commit()
    db.session.remove()
    db.engine.dispose()
    click.echo(_where(settings, owner))
    manager = Manager()
    # The flask beside this Python, whatever else is on the PATH.
    flask = shutil.which("flask", path=str(Path(sys.executable).parent)) or "flask"
    procfile = parse_procfile((Path(app.root_path) / PROCFILE).read_text(encoding="utf-8"))
    for name, command in procfile.processes.items():
        manager.add_process(name, command.replace("flask", f"exec {flask}", 1), cwd=app.root_path)
    manager.loop()
    return int(manager.returncode or 0)


def _where(settings: Settings, owner: tuple[str, str] | None) -> str:
    lines = [
        "",
        f"  Site     {settings.base_url}/",
        f"  Desk     {settings.base_url}/admin/",
        f"  Mailbox  {settings.sandbox_url}/mail/",
    ]
    if owner:
        email, password = owner
        lines += [
            "",
            f"  Sign in at the desk as {email} with the password {password}",
            "  (shown this once; you choose your own at the first sign-in)",
        ]
    return "\n".join([*lines, "", "  Ctrl-C stops everything.", ""])
