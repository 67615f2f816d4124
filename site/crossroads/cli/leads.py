"""People who signed up."""

import click
from flask.cli import AppGroup

from crossroads import lead_list
from crossroads.console import export_options, with_tables, write_export
from crossroads.lead_list import LeadFilter
from models.lead import STATES

group = AppGroup("leads", help="People who signed up.")


@group.command("export")
@export_options
@click.option("--search", "q", default="", help="only where the email or name contains this")
@click.option("--state", type=click.Choice(STATES))
@click.option("--page", default="", help="only from this page, like /compare/…")
@click.option("--campaign", default="", help="only from this utm_campaign")
@with_tables
def export(output: str, **which: str | None) -> None:
    """Write leads to a file, complete or not at all."""
    write_export(lead_list.SHEET, LeadFilter.of(**which), output, "lead")
