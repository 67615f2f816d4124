"""The flask commands, one module a noun: `flask COMMAND --help` explains each."""

from flask import Flask

from crossroads.cli import content, demo, leads, mail, orders, seats, users
from crossroads.cli.doctor import examine
from crossroads.cli.processes import deliver, reconcile, sandbox, serve, setup, up, worker


def init_app(app: Flask) -> None:
    """Add the commands of the site to the flask command."""
    for command in (setup, up, serve, worker, deliver, reconcile, sandbox, examine):
        app.cli.add_command(command)
    for noun in (content, demo, leads, mail, orders, seats, users):
        app.cli.add_command(noun.group)
