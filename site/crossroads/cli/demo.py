"""Demo data: a database to try and to measure with."""

import click
from flask.cli import AppGroup

from crossroads import current
from crossroads.cli.support import count, fail, progress, settings, with_tables
from crossroads.ops import demo
from crossroads.ops.demo import tables
from models import db

group = AppGroup("demo", help="Demo data: a database to try and to measure with.")


@group.command("fill")
@click.option("--leads", type=click.IntRange(1, 10_000_000), default=2000, show_default=True)
@click.option("--seed", type=int, default=1, show_default=True, help="random seed")
@with_tables
def fill(leads: int, seed: int) -> None:
    """Add people who do not exist, with their consent and orders. Development only."""
    if settings().production:
        fail("made-up people are for development: in production nothing was added")
    with (
        progress("Leads", leads) as advance,
        db.engine.connect().execution_options(begin="IMMEDIATE") as connection,
    ):
        made = demo.fill(
            connection,
            current.content(),
            leads=leads,
            seed=seed,
            suppression_key=settings().suppression_key,
            progress=advance,
        )
        connection.commit()
    tables.tidy(db.engine)
    orders, seats = made.get("order", 0), made.get("enrollment", 0)
    click.echo(
        f"{count(made['lead'], 'lead')}, {count(made['consent_event'], 'event')} of consent, "
        f"{count(orders, 'order')} and {count(seats, 'seat')} added",
        err=True,
    )
