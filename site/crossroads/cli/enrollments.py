"""Paid seats and their participants."""

import click
from flask.cli import AppGroup

from crossroads.cli.support import export_options, with_tables, write_export
from crossroads.orders import enrollment_listing
from crossroads.orders.enrollment_listing import EnrollmentFilter

group = AppGroup("enrollments", help="Paid seats and their participants.")


@group.command("export")
@export_options
@click.option("--search", "q", default="", help="only where student or buyer contains this")
@click.option("--course", default="", help="only of this course, or of course/cohort")
@with_tables
def export(kind: str, output: str, **which: str | None) -> None:
    """Export paid seats to a file; no partial files."""
    write_export(enrollment_listing.SHEET, EnrollmentFilter.of(**which), kind, output, "seat")
