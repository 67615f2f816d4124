"""Two Stripe accounts, and a database restored from a backup."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import Engine, delete, text, update
from sqlalchemy.orm import Session

from crossroads.fulfillment.reconciliation import Sweep
from crossroads.payments import Gateway
from models import (
    Enrollment,
    Hold,
    Message,
    Order,
    OrderEvent,
    Reconciliation,
    Site,
    db,
    now,
    writing,
)
from tests.support.fulfillment import BASE, opened
from tests.support.people import SUPPRESSION_KEY
from tests.support.sandbox_server import SandboxServer, start

LIVE_KEY = "sk_live_" + "abc"


@pytest.fixture
def other(tmp_path: Path) -> Iterator[SandboxServer]:
    """Another Stripe account."""
    server = start(tmp_path / "other")
    yield server
    server.stop()


def sweep(engine: Engine, gateway: Gateway) -> tuple[list[str], Sweep]:
    one = Sweep(engine, gateway, BASE, "a test", suppression_key=SUPPRESSION_KEY)
    return [str(drift) for drift in one.run()], one


def lose(engine: Engine) -> None:
    """Reset the database to its state before the first order, as a restored backup would."""
    with Session(engine) as session:
        writing(session)
        for model in (Message, Enrollment, Hold, OrderEvent, Order):
            session.execute(delete(model))
        session.execute(update(Reconciliation).values(read_until=now() - timedelta(minutes=5)))
        session.execute(update(Site).values(created_at=now() - timedelta(minutes=5)))
        if engine.dialect.name == "sqlite":
            session.execute(text("DELETE FROM sqlite_sequence WHERE name = 'order'"))
        else:
            session.execute(text("SELECT setval('order_id_seq', 1, false)"))
        session.commit()


@pytest.fixture
def lost(app: Flask, gateway: Gateway, sandbox: SandboxServer) -> Order:
    """A paid order that the database no longer has."""
    with app.app_context():
        order, url = opened(db.engine, gateway)
        sandbox.pay(url)
        lose(db.engine)
    return order
