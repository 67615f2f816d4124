"""Checks this installation."""

import sys

import click
from flask.cli import with_appcontext

from crossroads import current
from crossroads.cli.support import settings
from crossroads.mail.smtp import Mailer
from crossroads.ops import doctor
from crossroads.payments import Gateway
from models import db


@click.command("doctor")
@with_appcontext
def examine() -> None:
    """Check database, Stripe, mail and content: one line per finding."""
    gateway = Gateway(settings().stripe_secret_key, base=settings().stripe_api_base)
    mailer = Mailer(settings())
    wrong = 0
    for finding in doctor.examine(settings(), db.engine, gateway, mailer, current.content()):
        click.echo(f"{finding.weight}: {finding.text}")
        wrong += finding.weight == "wrong"
    if wrong:
        sys.exit(1)
