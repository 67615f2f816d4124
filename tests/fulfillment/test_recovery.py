"""A key of another account or mode loses no data: marks, pending payments and lost payments."""

from datetime import timedelta
from typing import Any

import pytest
import time_machine
from flask import Flask
from sqlalchemy import Engine, select, update
from sqlalchemy.orm import Session

from crossroads import current
from crossroads.database import identity
from crossroads.fulfillment import checkouts
from crossroads.orders import lifecycle as orders
from crossroads.orders.checkout import lost_checkouts
from crossroads.payments import Gateway
from crossroads.worker.event_consumer import EventConsumer
from crossroads.worker.retention_job import RetentionJob
from models import (
    Enrollment,
    LostCheckout,
    Order,
    Reconciliation,
    Site,
    db,
    now,
    writing,
)
from tests.support.accounts_at_stripe import LIVE_KEY, lose, sweep
from tests.support.desk_visits import desk, send
from tests.support.fulfillment import BASE, opened, receive, state
from tests.support.orders import paid, place
from tests.support.purchases import words
from tests.support.sandbox_server import KEY, SandboxServer


@pytest.fixture
def app(make_app: Any, database_url: str, sandbox: SandboxServer) -> Flask:
    built: Flask = make_app(
        database_url=database_url, stripe_secret_key=KEY, stripe_webhook_secret="whsec_x",
        stripe_api_base=sandbox.url,
    )  # fmt: skip
    return built


def mark(engine: Engine) -> Any:
    with Session(engine) as session:
        return session.scalar(select(Reconciliation.read_until))


def at_another(sandbox: SandboxServer, other: SandboxServer, app: Flask) -> Flask:
    """Give the app a key of the other account."""
    current.of(app).gateway = Gateway(KEY, base=other.url)
    return app


# The position read.


@pytest.mark.parametrize("meant", [False, True])
@pytest.mark.parametrize("told", [False, True])
def test_payment_is_found_after_another_account_ended_the_order(
    engine: Engine, gateway: Gateway, sandbox: SandboxServer, other: SandboxServer,
    meant: bool, told: bool,
) -> None:  # fmt: skip
    order, url = opened(engine, gateway)
    sweep(engine, gateway)
    before = mark(engine)
    theirs = Gateway(KEY, base=other.url)
    if meant:
        with Session(engine) as session:
            writing(session)
            identity.record_account(session, theirs.account_id(), replace=True)
            session.commit()
    sweep(engine, theirs)
    sandbox.pay(url)
    if told:  # the webhook of the order's own account
        receive(engine, order)
        EventConsumer(engine, theirs, BASE).work()
    assert state(engine, order) == "expired"
    assert meant or mark(engine) == before
    if meant:
        with Session(engine) as session:
            writing(session)
            identity.record_account(session, gateway.account_id(), replace=True)
            session.commit()
    said, one = sweep(engine, gateway)
    assert (len(said), one.left, state(engine, order)) == (1, [], "paid")
    assert mark(engine) > before


def test_order_ended_by_a_restricted_key_is_checked_again(
    engine: Engine, gateway: Gateway, sandbox: SandboxServer, other: SandboxServer
) -> None:
    """Neither account is known, so the mark moves forward."""
    for each in (sandbox, other):
        each.control("deny", rights=["rak_accounts_kyc_basic_read"])
    restricted = "rk_test_" + "abc"
    order, url = opened(engine, gateway)
    sandbox.pay(url)
    with time_machine.travel(now() + timedelta(days=3), tick=True):
        sweep(engine, Gateway(restricted, base=other.url))
        assert state(engine, order) == "expired"
        with Session(engine) as session:
            session.execute(update(Reconciliation).values(read_until=now() + timedelta(hours=2)))
            session.commit()
        sweep(engine, Gateway(restricted, base=sandbox.url))
    assert state(engine, order) == "paid"


@pytest.fixture
def sold_live(engine: Engine, sandbox: SandboxServer) -> Gateway:
    """A live site whose database is restored from before its first sale."""
    sandbox.control("mode", live=True)
    live = Gateway(LIVE_KEY, base=sandbox.url)
    with Session(engine, expire_on_commit=False) as session:
        writing(session)
        order = place(session, live=True)
        session.commit()
    sandbox.pay(str(checkouts.open_checkout(engine, live, order, BASE).url))
    lose(engine)
    return live


@pytest.mark.parametrize("mode", ["live", "test", None])
def test_lost_live_order_is_found_after_a_sweep_with_a_test_key(
    engine: Engine, gateway: Gateway, sandbox: SandboxServer, sold_live: Gateway, mode: str | None
) -> None:
    with Session(engine) as session:
        session.execute(update(Site).values(stripe_mode=mode))
        session.commit()
    sandbox.control("mode", live=False)
    with time_machine.travel(now() + timedelta(days=1), tick=True):
        assert sweep(engine, gateway)[1].lost == []
        if mode is None:  # somebody places a test order
            opened(engine, gateway, "tries@example.com")
            sweep(engine, gateway)
        sandbox.control("mode", live=True)
        assert [one.mode for one in sweep(engine, sold_live)[1].lost] == ["live"]


def test_first_order_after_the_restore_does_not_hide_lost_orders(
    engine: Engine, gateway: Gateway, sandbox: SandboxServer
) -> None:
    sandbox.pay(opened(engine, gateway)[1])
    lose(engine)
    with Session(engine) as session:
        session.execute(update(Reconciliation).values(read_until=None))
        session.commit()
    with time_machine.travel(now() + timedelta(hours=5), tick=True):
        opened(engine, gateway, "next@example.com")
        assert len(sweep(engine, gateway)[1].lost) == 1


# Lost payments and another account.


@pytest.mark.parametrize("act", ["enroll", "refund"])
def test_lost_payment_stays_listed_while_its_account_is_not_connected(
    app: Flask, lost: Order, gateway: Gateway, sandbox: SandboxServer, other: SandboxServer,
    act: str,
) -> None:  # fmt: skip
    app.test_cli_runner().invoke(args=["reconcile"])
    staff = desk(at_another(sandbox, other, app))
    given = {"session": str(lost.session_id), "act": act}
    send(staff, "/admin/orders/lost", given, page="/admin/")
    said = words(staff.get("/admin/orders/lost").text)
    assert "this Stripe account does not know the payment" in said
    assert "does not answer" not in said
    with app.app_context(), Session(db.engine) as session:
        assert session.scalars(select(Order)).all() == []
        assert session.scalars(select(LostCheckout)).one().settled_at is None
    current.of(app).gateway = gateway
    send(staff, "/admin/orders/lost", given, page="/admin/")
    with app.app_context(), Session(db.engine) as session:
        row = session.scalars(select(LostCheckout)).one()
        assert row.how == {"enroll": "enrolled", "refund": "refunded"}[act]
        assert len(session.scalars(select(Enrollment)).all()) == (act == "enroll")


def test_recreated_order_settles_a_lost_payment_only_when_paid(
    engine: Engine, gateway: Gateway, sandbox: SandboxServer
) -> None:
    order, url = opened(engine, gateway)
    sandbox.pay(url)
    lose(engine)
    sweep(engine, gateway)
    made = gateway.retrieve(str(order.session_id))
    with Session(engine) as session:
        writing(session)
        again = place(session)
        again.session_id = made.id
        session.flush()
        lost_checkouts.refresh(session, made.id, made, [], "sweep")
        assert session.get_one(LostCheckout, made.id).settled_at is None
        orders.fulfill(session, again.id, paid(again, id=made.id), "sweep")
        lost_checkouts.refresh(session, made.id, made, [], "sweep")
        assert session.get_one(LostCheckout, made.id).how == "enrolled"


def test_deleted_unpaid_checkout_is_found_when_its_account_returns(
    engine: Engine, gateway: Gateway, sandbox: SandboxServer, other: SandboxServer
) -> None:
    _, url = opened(engine, gateway)
    lose(engine)
    sweep(engine, gateway)
    one = sweep(engine, Gateway(KEY, base=other.url))[1]
    assert one.left == []
    with Session(engine) as session:
        assert session.scalars(select(LostCheckout)).all() == []
    sandbox.pay(url)
    with time_machine.travel(now() + timedelta(hours=3), tick=True):
        assert len(sweep(engine, gateway)[1].lost) == 1


def test_paid_lost_checkout_of_another_account_is_reported(
    engine: Engine, gateway: Gateway, sandbox: SandboxServer, other: SandboxServer
) -> None:
    sandbox.pay(opened(engine, gateway)[1])
    lose(engine)
    sweep(engine, gateway)
    one = sweep(engine, Gateway(KEY, base=other.url))[1]
    assert len(one.lost) == 1
    assert ["does not know the payment" in line for line in one.left] == [True]


def test_lost_test_payments_are_not_listed_on_a_live_site(app: Flask, lost: Order) -> None:
    run = app.test_cli_runner().invoke
    assert run(args=["reconcile"]).exit_code == 1
    with app.app_context(), Session(db.engine) as session:
        writing(session)
        place(session, live=True)
        session.commit()
        assert lost_checkouts.awaiting_staff(session) == []
    assert "deleted" in run(args=["orders", "purge", "--mode", "test", "--yes"]).output
    with app.app_context(), Session(db.engine) as session:
        assert session.scalars(select(LostCheckout)).all() == []


# Retention.


def test_personal_data_of_a_settled_lost_payment_is_kept_30_days(
    engine: Engine, gateway: Gateway, sandbox: SandboxServer
) -> None:
    for email in ("settled@example.com", "waits@example.com"):
        sandbox.pay(opened(engine, gateway, email)[1], email=email)
    lose(engine)
    sweep(engine, gateway)
    with Session(engine) as session:
        writing(session)
        (row,) = (one for one in session.scalars(select(LostCheckout)) if "settled" in one.email)
        lost_checkouts.refunded(session, row.session_id, "desk")
        session.commit()

    def known() -> set[str]:
        with Session(engine) as session:
            return {one.email or one.name for one in session.scalars(select(LostCheckout))}

    with time_machine.travel(now() + timedelta(days=29), tick=True):
        RetentionJob(engine, pending_days=30).purge()
        assert known() == {"settled@example.com", "waits@example.com"}
    with time_machine.travel(now() + timedelta(days=31), tick=True):
        RetentionJob(engine, pending_days=30).purge()
        assert known() == {"", "waits@example.com"}


def test_name_on_a_lost_payment_has_no_invisible_characters(
    engine: Engine, gateway: Gateway, sandbox: SandboxServer
) -> None:
    _, url = opened(engine, gateway)
    sandbox.pay(url, name="\u200bAnn\u00a0Ex\u00adample")
    lose(engine)
    sweep(engine, gateway)
    with Session(engine) as session:
        assert session.scalars(select(LostCheckout.name)).all() == ["Ann Example"]
