"""The start of the whole product on one machine: prepare, say where things are, run it all."""

import os
import shlex
import shutil
import signal
import sys
from pathlib import Path

import click
from flask import Flask
from honcho.environ import parse_procfile
from honcho.manager import Manager
from honcho.printer import Message, Printer
from sqlalchemy.exc import SQLAlchemyError

from crossroads import current
from crossroads.logs import first_line
from crossroads.ops.parent_process import SUPERVISOR
from crossroads.ops.server import require_free_port, schema_mismatch
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
        share_images,  # here alone: it loads a renderer that nothing else needs
    )

    share_images.write(current.content(), settings.share_folder)


def everything(app: Flask, settings: Settings) -> int:
    """Run every process of the Procfile until told to stop; return the exit code.

    Ctrl-C stops all of them, and so does closing the terminal; when one ends by itself the
    others are stopped too, and the code is not 0.
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
    manager = _Manager()
    # The flask beside this Python, whatever else is on the PATH.
    flask = shutil.which("flask", path=str(Path(sys.executable).parent)) or "flask"
    procfile = parse_procfile((Path(app.root_path) / PROCFILE).read_text(encoding="utf-8"))
    for name, line in procfile.processes.items():
        if settings.production and name == "sandbox":
            continue
        command = line.replace("flask", f"exec {shlex.quote(flask)}", 1)
        manager.add_process(name, command, cwd=app.root_path)
    manager.loop()
    if manager.asked is None:
        return max(manager.returncode or 0, 1)
    return 0 if manager.asked == signal.SIGINT else 128 + manager.asked


class _Manager(Manager):  # type: ignore[misc] # honcho has no types
    """Stops its processes when asked to, however early, and when nobody reads what they say.

    Honcho's own handlers fail on a signal that comes before every process has started, or in the
    middle of a line; then all of them live on, since each has a session of its own. Here a signal
    leaves a note, and the loop finds it when everything has started.
    """

    def __init__(self) -> None:
        super().__init__(_Printer(self))
        self.asked: int | None = None

    def ask(self, number: int, *_: object) -> None:
        """Have the loop stop everything. A signal's handler."""
        self.asked = self.asked or number

    def _start(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self.ask)
        super()._start()

    def _any_stopped(self) -> bool:
        return self.asked is not None or bool(super()._any_stopped())


class _Printer(Printer):  # type: ignore[misc]
    """Prints what the processes say for as long as it can: no more into a closed pipe."""

    def __init__(self, manager: _Manager) -> None:
        super().__init__(sys.stdout)
        self._manager = manager
        self._closed = False

    def write(self, message: Message) -> None:
        if not self._closed:
            try:
                super().write(message)
            except OSError:
                self._closed = True
                self._manager.ask(signal.SIGPIPE)


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
