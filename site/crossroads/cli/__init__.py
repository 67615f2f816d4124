"""The flask commands, one module per noun: `flask COMMAND --help` explains each."""

from importlib import import_module
from typing import Final

import click
from flask import Flask
from flask.cli import AppGroup

# Where each is. Imported when it is asked for: the web server needs little of all that.
COMMANDS: Final = {
    **{
        name: f"processes:{name}"
        for name in ("deliver", "reconcile", "sandbox", "serve", "setup", "up", "worker")
    },
    **{
        noun: f"{noun}:group"
        for noun in ("content", "demo", "enrollments", "leads", "mail", "orders", "seats", "users")
    },
    "doctor": "doctor:examine",
}
# Commands of a group that are in a module of their own.
MORE: Final = {"leads": "lead_imports"}
MIGRATE: Final = "db"


class Commands(AppGroup):
    """The command group of the site and of extensions."""

    def __init__(self, app: Flask) -> None:
        super().__init__(app.name)
        self._app = app

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*COMMANDS, MIGRATE, *super().list_commands(ctx)})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in COMMANDS:
            module, _, name = COMMANDS[cmd_name].partition(":")
            command: click.Command = getattr(import_module(f"{__name__}.{module}"), name)
            if cmd_name in MORE and isinstance(command, click.Group):
                for more in import_module(f"{__name__}.{MORE[cmd_name]}").commands:
                    command.add_command(more)
            return command
        if cmd_name == MIGRATE:
            from crossroads.ops import migrations

            migrations.init_app(self._app)
        return super().get_command(ctx, cmd_name)


def init_app(app: Flask) -> None:
    """Add the commands of the site to the flask command."""
    app.cli = Commands(app)
