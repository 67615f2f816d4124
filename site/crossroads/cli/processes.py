"""The processes of the product, and commands for one pass of each.

Each imports what it is made of when it begins: none pays for the others.
"""

import os
import sys
import threading
from importlib.util import find_spec
from typing import TYPE_CHECKING

import click
from flask import current_app
from flask.cli import with_appcontext

from crossroads import current
from crossroads.cli.support import count, fail, gateway, settings, templates, with_tables
from crossroads.content import Content
from crossroads.database import identity, leases
from crossroads.ops import server
from crossroads.ops.parent_process import end_with_supervisor
from crossroads.orders.checkout import lost_checkouts
from crossroads.payments import PaymentsError
from models import db, writing

if TYPE_CHECKING:
    from crossroads.database.presence import Presence
    from crossroads.worker.delivery import Worker

AGAIN = os.EX_TEMPFAIL  # 75: nothing is wrong, try again later
STOP_SECONDS = 5  # a call to Stripe in hand is finished, or left for the next start


@click.command("setup")
@with_appcontext
def setup() -> None:
    """Bring the database to this version and draw the share pictures."""
    from crossroads.ops import startup

    startup.prepare(current_app, settings())


@click.command("up")
@with_appcontext
def up() -> None:
    """Run the whole product on this machine: set up, then every process of the Procfile."""
    from crossroads.ops import startup

    sys.exit(startup.run_all(current_app, settings()))


@click.command("serve")
@with_appcontext
def serve() -> None:
    """Run the web server alone."""
    end_with_supervisor()
    from crossroads.middleware.template_cache import TemplateCache

    current_app.jinja_env.bytecode_cache = TemplateCache(settings().instance / "templates")
    server.serve(settings(), db.engine, current.pages())


@click.command("worker")
@with_tables
def worker() -> None:
    """Run the worker: deliver mail, process events, reconcile, delete old data."""
    end_with_supervisor()
    from crossroads.worker.checkout_opener import AT_ONCE, CheckoutOpener
    from crossroads.worker.event_consumer import EventConsumer
    from crossroads.worker.reconciler import Reconciler
    from crossroads.worker.retention_job import RetentionJob
    from crossroads.worker.search_indexer import SearchIndexer

    alive = _presence()
    stripe = db.engine, gateway(), settings().base_url
    keeper = RetentionJob(db.engine, settings().pending_days)
    openers = [CheckoutOpener(*stripe) for _ in range(AT_ONCE)]
    sweeper = Reconciler(*stripe, settings().suppression_key, alive.owner)
    loops = EventConsumer(*stripe, alive.owner), sweeper, keeper, SearchIndexer(db.engine), *openers
    beside = [threading.Thread(target=loop.run, name=loop.name, daemon=True) for loop in loops]
    for thread in beside:
        thread.start()
    _worker(alive).run()
    for loop in loops:
        loop.stop()
    for thread in beside:
        thread.join(STOP_SECONDS)
    # A thread that is still at work has jobs in hand: then its lock ends with the process.
    if not any(thread.is_alive() for thread in beside):
        alive.close()


@click.command("deliver")
@with_tables
def deliver() -> None:
    """Deliver due mail once, then exit."""
    alive = _presence()
    delivery = _worker(alive).deliver_due()
    alive.close()
    click.echo(
        f"{delivery.sent} sent, {delivery.held} held, "
        f"{delivery.postponed} postponed, {delivery.dead} given up"
    )


@click.command("reconcile")
@click.option("--new-account", is_flag=True, help="confirm that the key belongs to another account")
@with_tables
def reconcile(new_account: bool) -> None:
    """Fetch anything missed from Stripe, and make every order match it.

    Says what had drifted and why, and what that came to. Ends with 0 when all is as Stripe has it,
    with 1 when something is left for another run or for staff, and with 75 when another sweep is
    at work.
    """
    from crossroads.fulfillment.reconciliation import Sweep
    from crossroads.fulfillment.sweep_lease import AlreadyRunning

    if new_account:
        _take_account()
    sweep = Sweep(
        db.engine,
        gateway(),
        settings().base_url,
        leases.new_owner(),
        suppression_key=settings().suppression_key,
    )
    healed = 0
    try:
        for drift in sweep.run():
            click.echo(drift)
            healed += 1
    except AlreadyRunning as error:
        click.echo(
            f"another sweep is at work ({error.owner}): nothing was done. It has until "
            f"{error.until:%H:%M:%S} UTC, or longer while it goes on",
            err=True,
        )
        sys.exit(AGAIN)
    for left in sweep.left:
        click.echo(f"left: {left}", err=True)
    for one in sweep.lost:
        click.echo(lost_checkouts.describe(one), err=True)
    looked = f"{count(sweep.orders, 'order')} and {count(sweep.events, 'event')} looked at"
    others = f", {count(sweep.foreign, 'event')} of others on the account" if sweep.foreign else ""
    did = f"{count(healed, 'drift')} healed" if healed else "nothing to do"
    undone = sweep.left or sweep.lost
    click.echo(f"{'not done' if undone and not healed else did}: {looked}{others}")
    if undone:
        sys.exit(1)


@click.command("sandbox")
@with_appcontext
def sandbox() -> None:
    """Run the sandbox of Stripe and the mail server; development only."""
    end_with_supervisor()
    chosen = settings()
    if chosen.production or find_spec("sandbox") is None:
        fail("the sandbox is for development: it runs from the source tree, not in production")
    from sandbox.server import serve as serve_sandbox
    from sandbox.stripe.app import StripeSetup

    server.require_free_port("127.0.0.1", chosen.sandbox_port, "SANDBOX_PORT")
    stripe = StripeSetup(
        folder=chosen.instance / "stripe",
        url=chosen.sandbox_url,
        endpoints=(f"http://127.0.0.1:{chosen.port}/webhooks/stripe",),
        secrets=tuple(chosen.webhook_secrets),
    )
    serve_sandbox(chosen.mail_folder, chosen.sandbox_port, stripe)


def _take_account() -> None:
    """Store the account of the key as the account of this site."""
    try:
        account = gateway().account_id()
    except PaymentsError as error:
        fail(f"Stripe does not say whose key it is: {error}")
    if account is None:
        fail("the restricted key may not ask whose it is: do this once with the secret key")
    writing(db.session)
    identity.record_account(db.session, account, replace=True)
    db.session.commit()


def _presence() -> "Presence":
    from crossroads.database.presence import Presence

    return Presence(settings().instance / "workers")


def _worker(alive: "Presence | None" = None) -> "Worker":
    from crossroads.mail.composer import Composer
    from crossroads.mail.mx import Domains
    from crossroads.mail.smtp import Mailer
    from crossroads.worker.delivery import Worker

    store = current.store()

    def content() -> Content:
        store.refresh()
        return store.content

    chosen = settings()
    return Worker(
        db.engine,
        Composer(chosen, templates()),
        Mailer(chosen),
        content,
        Domains() if chosen.mx_check else None,
        alive,
    )
