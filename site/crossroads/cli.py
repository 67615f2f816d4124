"""The flask commands: `flask COMMAND --help` explains each."""

import sys
import threading
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path
from typing import NoReturn, ParamSpec, TypeVar

import click
from flask import Flask, current_app
from flask.cli import AppGroup, with_appcontext
from sqlalchemy.exc import InterfaceError, OperationalError

from crossroads import content as content_module
from crossroads import (
    doctor,
    export,
    lead_list,
    order_list,
    seats,
    server,
    settlement,
    start,
    users,
)
from crossroads.content import Content
from crossroads.export import Sheet
from crossroads.lead_list import LeadFilter
from crossroads.listing import Filter
from crossroads.logs import first_line
from crossroads.mailer import Mailer
from crossroads.order_list import OrderFilter
from crossroads.payments import Gateway
from crossroads.settings import Settings
from crossroads.settler import Settler
from crossroads.shelf import current_content, current_shelf
from crossroads.worker import Worker
from models import db, writing
from models.lead import STATES
from models.user import ROLES

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

STOP_SECONDS = 5  # a call to Stripe in hand is finished, or left for the next start

content_group = AppGroup("content", help="Comparisons and courses: the files in site/content.")
leads_group = AppGroup("leads", help="People who signed up.")
orders_group = AppGroup("orders", help="What people bought.")
users_group = AppGroup("users", help="Accounts for the desk.")
seats_group = AppGroup("seats", help="Seats given away off the site, say by invoice.")


def init_app(app: Flask) -> None:
    """Add the commands of the site to the flask command."""
    for command in (serve, setup, up, worker, deliver, reconcile, sandbox, examine):
        app.cli.add_command(command)
    for group in (content_group, leads_group, orders_group, users_group, seats_group):
        app.cli.add_command(group)


def with_tables(command: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Run a command that needs the database, and say in one line when it is away or not ours."""

    @wraps(command)
    def run(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        server.require_schema(db.engine)
        try:
            return command(*args, **kwargs)
        except (OperationalError, InterfaceError) as error:
            _fail(f"the database cannot be used: {first_line(error)}")

    wrapped: Callable[Arguments, Result] = with_appcontext(run)
    return wrapped


def export_options(command: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Let a command be told what kind of file to write, and where."""
    where = click.option("--output", required=True, help="file to write, or - for standard output")
    kind = click.option(
        "--format",
        type=click.Choice(["csv"]),
        default="csv",
        show_default=True,
        expose_value=False,  # one so far
    )
    return kind(where(command))


@click.command("serve")
@with_appcontext
def serve() -> None:
    """Run the web server alone."""
    server.serve(_settings(), db.engine)


@click.command("setup")
@with_appcontext
def setup() -> None:
    """Bring the database to this version and draw the share pictures."""
    start.prepare(_settings())


@click.command("up")
@with_appcontext
def up() -> None:
    """Run the whole product on this machine: set up, then every process of the Procfile."""
    sys.exit(start.everything(current_app, _settings()))


@click.command("worker")
@with_tables
def worker() -> None:
    """Deliver mail and follow Stripe, until told to stop."""
    settler = Settler(db.engine, _gateway(), _settings().base_url)
    beside = threading.Thread(target=settler.run, name="settler", daemon=True)
    beside.start()
    _worker().run()
    settler.stop()
    beside.join(STOP_SECONDS)


@click.command("reconcile")
@with_tables
def reconcile() -> None:
    """Bring every open order to where Stripe has it, whatever was missed."""
    drifts = 0
    for drift in settlement.sweep(db.engine, _gateway(), _settings().base_url):
        click.echo(f"order {drift.order}: was {drift.before}, is {drift.after}")
        drifts += 1
    click.echo(f"{drifts} orders had drifted")


@click.command("deliver")
@with_tables
def deliver() -> None:
    """Deliver what is due now, and end."""
    delivery = _worker().deliver_due()
    click.echo(
        f"{delivery.sent} sent, {delivery.held} held, "
        f"{delivery.postponed} postponed, {delivery.dead} given up"
    )


@click.command("sandbox")
@with_appcontext
def sandbox() -> None:
    """Stand in for the outside world in development: the mailbox, and Stripe."""
    from sandbox.server import serve as serve_sandbox
    from sandbox.stripe import Setup

    settings = _settings()
    server.require_free_port("127.0.0.1", settings.sandbox_port, "SANDBOX_PORT")
    stripe = Setup(
        folder=settings.instance / "stripe",
        url=settings.sandbox_url,
        endpoints=(f"http://127.0.0.1:{settings.port}/webhooks/stripe",),
        secrets=tuple(settings.webhook_secrets),
    )
    serve_sandbox(settings.mail_folder, settings.sandbox_port, stripe)


@click.command("doctor")
@with_appcontext
def examine() -> None:
    """Name what is wrong with database, Stripe, mail and content, one line each."""
    settings = _settings()
    gateway = Gateway(settings.stripe_secret_key, base=settings.stripe_api_base)
    mailer = Mailer(settings, _templates())
    wrong = 0
    for finding in doctor.examine(settings, db.engine, gateway, mailer, current_content()):
        click.echo(f"{finding.weight}: {finding.text}")
        wrong += finding.weight == "wrong"
    if wrong:
        sys.exit(1)


@content_group.command("check")
@with_appcontext
def check_content() -> None:
    """Name every mistake in the content, every expired claim, and figures without a source."""
    content = current_content()  # mistakes have stopped the command before this line
    for problem in content_module.figures_without_source(content):
        click.echo(f"note: {problem}")
    for sample in content.samples:
        click.echo(f"note: {sample}")
    expired = content_module.expired(content, datetime.now(UTC).date())
    for problem in expired:
        click.echo(str(problem), err=True)
    if expired:
        sys.exit(1)
    comparisons = _count(len(content.comparisons), "comparison")
    click.echo(f"no mistakes in {comparisons} and {_count(len(content.courses), 'course')}")


@leads_group.command("export")
@export_options
@click.option("--search", "q", default="", help="only where the email or name contains this")
@click.option("--state", type=click.Choice(STATES))
@click.option("--page", default="", help="only from this page, like /compare/…")
@click.option("--campaign", default="", help="only from this utm_campaign")
@with_tables
def export_leads(output: str, **which: str | None) -> None:
    """Write leads to a file, complete or not at all."""
    _export(lead_list.SHEET, LeadFilter.of(**which), output, "lead")


@orders_group.command("export")
@export_options
@click.option("--search", "q", default="", help="only this buyer, number or id at Stripe")
@click.option("--state", type=click.Choice(order_list.STATES))
@click.option("--course", default="", help="only of this course, or of course/cohort")
@with_tables
def export_orders(output: str, **which: str | None) -> None:
    """Write orders to a file, complete or not at all."""
    _export(order_list.SHEET, OrderFilter.of(**which), output, "order")


def _export(sheet: Sheet, which: Filter, output: str, noun: str) -> None:
    try:
        if output == "-":
            export.write_csv(db.engine, sheet, which, sys.stdout.buffer)
            sys.stdout.buffer.flush()
            return
        from rich.console import Console  # here alone: every command would pay for it
        from rich.progress import Progress

        console = Console(stderr=True)
        with Progress(console=console, disable=not sys.stderr.isatty()) as progress:
            task = progress.add_task(f"{noun.capitalize()}s", total=None)
            count = export.write_whole(
                db.engine, sheet, which, Path(output), lambda rows: progress.advance(task, rows)
            )
    except BrokenPipeError:  # whoever read it had enough
        raise
    except OSError as error:
        _fail(f"{output}: cannot be written: {error.strerror}")
    click.echo(f"{_count(count, noun)} written to {output}", err=True)


@users_group.command("add")
@click.argument("email")
@click.option("--role", type=click.Choice(ROLES), required=True)
@click.option("--password-stdin", is_flag=True, help="read the password from standard input")
@with_tables
def add_user(email: str, role: str, password_stdin: bool) -> None:
    """Add an account for the desk."""
    if password_stdin:
        password = sys.stdin.readline().rstrip("\r\n")
    else:
        password = click.prompt("Password", hide_input=True, confirmation_prompt=True)
    writing(db.session)
    try:
        users.add(db.session, email, role, password)
    except users.UserError as error:
        _fail(error)
    db.session.commit()
    click.echo(f"{email} can sign in as {role}")


@seats_group.command("reserve")
@click.argument("course")
@click.argument("cohort")
@click.argument("seats", type=click.IntRange(1))
@with_tables
def reserve_seats(course: str, cohort: str, seats: int) -> None:
    """Take seats off what the course page offers."""
    _change_seats(course, cohort, seats)


@seats_group.command("release")
@click.argument("course")
@click.argument("cohort")
@click.argument("seats", type=click.IntRange(1))
@with_tables
def release_seats(course: str, cohort: str, seats: int) -> None:
    """Give reserved seats back."""
    _change_seats(course, cohort, -seats)


def _change_seats(course_slug: str, code: str, number: int) -> None:
    content = current_content()
    course = content.course(course_slug)
    if course is None:
        _fail(f"no course {course_slug!r}: use {_list(one.slug for one in content.courses)}")
    cohort = next((one for one in course.cohorts if one.code == code), None)
    if cohort is None:
        _fail(f"no cohort {code!r}: use {_list(one.code for one in course.cohorts)}")
    writing(db.session)
    try:
        left = seats.reserve(db.session, course, cohort, number)
    except seats.SeatsError as error:
        _fail(error)
    db.session.commit()
    click.echo(f"{left} of {cohort.seats} seats left in {code}")


def _settings() -> Settings:
    settings: Settings = current_app.extensions["crossroads.settings"]
    return settings


def _gateway() -> Gateway:
    """Return a gateway that waits longer and tries again, as nobody waits for it."""
    settings = _settings()
    return Gateway(settings.stripe_secret_key, base=settings.stripe_api_base, background=True)


def _worker() -> Worker:
    shelf = current_shelf()

    def content() -> Content:
        shelf.refresh()
        return shelf.content

    return Worker(db.engine, Mailer(_settings(), _templates()), content)


def _templates() -> Path:
    return Path(current_app.root_path) / "templates"


def _count(number: int, noun: str) -> str:
    return f"1 {noun}" if number == 1 else f"{number} {noun}s"


def _list(names: Iterable[str]) -> str:
    return " or ".join(names)


def _fail(message: object) -> NoReturn:
    raise click.ClickException(str(message))
