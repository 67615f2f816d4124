"""Staff accounts."""

import sys

import click
from flask.cli import AppGroup

from crossroads.cli.support import fail, with_tables
from crossroads.staff import accounts
from models import db, writing
from models.user import Role

group = AppGroup("users", help="Staff accounts.")


@group.command("add")
@click.argument("email")
@click.option("--role", type=click.Choice([role.value for role in Role]), required=True)
@click.option("--password-stdin", is_flag=True, help="read the password from standard input")
@with_tables
def add(email: str, role: str, password_stdin: bool) -> None:
    """Add a staff account."""
    if password_stdin:
        password = sys.stdin.readline().rstrip("\r\n")
    else:
        password = click.prompt("Password", hide_input=True, confirmation_prompt=True)
    writing(db.session)
    try:
        accounts.add(db.session, email, role, password)
    except accounts.UserError as error:
        fail(error)
    db.session.commit()
    click.echo(f"{email} can sign in as {role}")
