"""What people bought."""

import click
from flask.cli import AppGroup

from crossroads import order_list
from crossroads.console import export_options, with_tables, write_export
from crossroads.order_list import OrderFilter

group = AppGroup("orders", help="What people bought.")


@group.command("export")
@export_options
@click.option("--search", "q", default="", help="only this buyer, number or id at Stripe")
@click.option("--state", type=click.Choice(order_list.STATES))
@click.option("--course", default="", help="only of this course, or of course/cohort")
@with_tables
def export(output: str, **which: str | None) -> None:
    """Write orders to a file, complete or not at all."""
    write_export(order_list.SHEET, OrderFilter.of(**which), output, "order")
