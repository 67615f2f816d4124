"""Orders with a checkout at the sandbox, and reconciliation of them."""

from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import Engine, func, select, update
from sqlalchemy.orm import Session

from crossroads.fulfillment import checkouts, webhook_events
from crossroads.fulfillment.reconciliation import Sweep
from crossroads.orders import ledger, seats
from crossroads.payments import Event, Gateway
from models import (
    Base,
    Order,
    now,
    writing,
)
from tests.support.orders import COURSE, SMALL, place
from tests.support.sandbox_server import KEY, SandboxServer

BASE = "http://localhost"


@pytest.fixture
def gateway(sandbox: SandboxServer) -> Gateway:
    return Gateway(KEY, base=sandbox.url)


def placed(engine: Engine, email: str = "maria@example.com") -> Order:
    with Session(engine, expire_on_commit=False) as session:
        writing(session)
        order = place(session, email=email)
        session.commit()
    return order


def opened(engine: Engine, gateway: Gateway, email: str = "maria@example.com") -> tuple[Order, str]:
    """Return an order with a checkout, and the URL of its payment page."""
    order = placed(engine, email)
    checkout = checkouts.open_checkout(engine, gateway, order, BASE)
    with Session(engine, expire_on_commit=False) as session:
        return session.get_one(Order, order.id), str(checkout.url)


def state(engine: Engine, order: Order) -> str:
    with Session(engine) as session:
        return ledger.balance_of(session, order).state


def count(engine: Engine, model: type[Base]) -> int:
    with Session(engine) as session:
        return session.scalar(select(func.count()).select_from(model)) or 0


def left(engine: Engine) -> int:
    with Session(engine) as session:
        return seats.seats_left(session, COURSE, SMALL)


def older(engine: Engine, minutes: int = 5) -> None:
    """Make every order some minutes older."""
    with Session(engine) as session:
        session.execute(update(Order).values(created_at=now() - timedelta(minutes=minutes)))
        session.commit()


def sweep(engine: Engine, gateway: Gateway) -> list[tuple[str, str]]:
    """Run a sweep, and return the states before and after of each order that had drifted."""
    drifts = Sweep(engine, gateway, BASE, "a test").run()
    return [(drift.before, drift.after) for drift in drifts]


def receive(engine: Engine, order: Order, number: int = 1) -> None:
    event = Event(
        id=f"evt_{number}",
        kind="checkout.session.completed",
        object_id=str(order.session_id),
        live=False,
        created_at=now(),
    )
    with Session(engine) as session:
        writing(session)
        webhook_events.receive(session, [event])
        session.commit()


def reconcile(app: Flask) -> tuple[int, str, str]:
    """Run `flask reconcile`, and return exit code, standard output and standard error."""
    result = app.test_cli_runner().invoke(args=["reconcile"])
    return result.exit_code, result.stdout, result.stderr
