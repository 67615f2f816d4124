"""Orders."""

import click
from flask.cli import AppGroup

from crossroads import money
from crossroads.cli.support import count, export_options, fail, gateway, with_tables, write_export
from crossroads.database import identity
from crossroads.fulfillment import repayments
from crossroads.orders import ledger, listing, refunds
from crossroads.orders.checkout import lost_checkouts
from crossroads.orders.listing import OrderFilter
from crossroads.payments import PaymentsError
from crossroads.privacy import retention
from models import Order, db, writing
from models.base import scrub
from models.order import OrderState
from models.site import TEST

group = AppGroup("orders", help="Orders: export, refund, purge.")


@group.command("export")
@export_options
@click.option("--search", "q", default="", help="only this buyer, number or id at Stripe")
@click.option("--state", type=click.Choice([state.value for state in OrderState]))
@click.option("--course", default="", help="only of this course, or of course/cohort")
@with_tables
def export(kind: str, output: str, **which: str | None) -> None:
    """Export orders to a file; no partial files."""
    write_export(listing.SHEET, OrderFilter.of(**which), kind, output, "order")


@group.command("refund")
@click.argument("number", type=int)
@click.option("--seats", type=click.IntRange(1), help="refund this many seats")
@click.option("--seat", "wanted", type=int, multiple=True, help="refund this seat; repeatable")
@click.option("--amount", help="refund this amount, like 120.50, and keep the seats")
@click.option("--yes", is_flag=True, help="do not ask first")
@with_tables
def refund(
    number: int, seats: int | None, wanted: tuple[int, ...], amount: str | None, yes: bool
) -> None:
    """Refund an order: all of it, some seats, or an amount."""
    order = db.session.get(Order, number)
    if order is None:
        fail(f"no order {number}")
    seats = seats or len(set(wanted)) or None
    if seats and amount:
        fail("name seats or an amount, not both")
    try:
        asked = money.parse(amount, order.currency) if amount else None
        balance = ledger.balance_of(db.session, order)
        price, taken = refunds.price(order, balance, seats, asked)
        numbers = refunds.choose(db.session, order, balance, taken, wanted)
    except ValueError as error:
        fail(error)
    summary = f"{money.display(price, order.currency)} and {taken} of {order.seats} seats"
    if 0 < taken < order.seats:
        summary += f" ({refunds.seats_text(numbers)})"
    db.session.rollback()
    if not yes:
        click.confirm(f"Refund {summary} of order {number}?", abort=True)
    writing(db.session)
    try:
        reference = refunds.request(
            db.session, number, "command", seats=seats, amount=asked, wanted=numbers
        )
    except refunds.RefundError as error:
        fail(error)
    db.session.commit()
    try:
        repayments.settle_payment(db.engine, gateway(), number, "command")
    except PaymentsError as error:
        fail(f"the refund is noted, and flask worker asks again: Stripe says {error}")
    order = db.session.get_one(Order, number, populate_existing=True)
    made = ledger.balance_of(db.session, order).refund(reference)
    if made is None or not made.counts:
        fail(f"Stripe did not make it: {made.reason if made else 'it is not there'}")
    click.echo(f"{summary} of order {number}: {made.status}; the order is {order.state}")


@group.command("purge")
@click.option("--mode", type=click.Choice([TEST]), required=True, help="the mode to delete")
@click.option("--yes", is_flag=True, help="do not ask first")
@with_tables
def purge(mode: str, yes: bool) -> None:
    """Delete the orders of a mode that no longer counts, and all rows that belong to them."""
    number = identity.count_excluded(db.session, mode)
    if not number and not lost_checkouts.count_excluded(db.session, mode):
        click.echo(f"no order of {mode} mode to delete: those that count stay")
        return
    db.session.rollback()
    if not yes:
        click.confirm(f"Delete {count(number, 'order')} of {mode} mode for good?", abort=True)
    writing(db.session)
    deleted = retention.purge_orders(db.session, mode)
    db.session.commit()
    scrub(db.engine)
    click.echo(f"{count(deleted, 'order')} of {mode} mode deleted")
