"""Comparisons and courses: the files in site/content."""

import sys
from datetime import UTC, datetime

import click
from flask.cli import AppGroup, with_appcontext

from crossroads import content
from crossroads.console import count
from crossroads.shelf import current_content

group = AppGroup("content", help="Comparisons and courses: the files in site/content.")


@group.command("check")
@with_appcontext
def check() -> None:
    """Name every mistake in the content, every expired claim, and figures without a source."""
    found = current_content()  # mistakes have stopped the command before this line
    for problem in content.figures_without_source(found):
        click.echo(f"note: {problem}")
    for sample in found.samples:
        click.echo(f"note: {sample}")
    expired = content.expired(found, datetime.now(UTC).date())
    for problem in expired:
        click.echo(str(problem), err=True)
    if expired:
        sys.exit(1)
    comparisons = count(len(found.comparisons), "comparison")
    click.echo(f"no mistakes in {comparisons} and {count(len(found.courses), 'course')}")
