"""Seats reserved outside the site, for example by invoice."""

from collections.abc import Iterable

import click
from flask.cli import AppGroup

from crossroads import current
from crossroads.cli.support import fail, with_tables
from crossroads.orders import seats
from models import db, writing

group = AppGroup("seats", help="Seats reserved outside the site, for example by invoice.")


@group.command("reserve")
@click.argument("course")
@click.argument("cohort")
@click.argument("number", metavar="SEATS", type=click.IntRange(1))
@with_tables
def reserve(course: str, cohort: str, number: int) -> None:
    """Reserve seats, so that the course page no longer offers them."""
    _change(course, cohort, number)


@group.command("release")
@click.argument("course")
@click.argument("cohort")
@click.argument("number", metavar="SEATS", type=click.IntRange(1))
@with_tables
def release(course: str, cohort: str, number: int) -> None:
    """Release reserved seats."""
    _change(course, cohort, -number)


def _change(course_slug: str, code: str, number: int) -> None:
    content = current.content()
    course = content.course(course_slug)
    if course is None:
        fail(f"no course {course_slug!r}: use {_either(one.slug for one in content.courses)}")
    cohort = next((one for one in course.cohorts if one.code == code), None)
    if cohort is None:
        fail(f"no cohort {code!r}: use {_either(one.code for one in course.cohorts)}")
    writing(db.session)
    try:
        left = seats.reserve(db.session, course, cohort, number)
    except seats.SeatsError as error:
        fail(error)
    db.session.commit()
    click.echo(f"{left} of {cohort.seats} seats left in {code}")


def _either(names: Iterable[str]) -> str:
    return " or ".join(names)
