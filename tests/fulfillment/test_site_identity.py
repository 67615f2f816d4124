"""Which orders belong to a site: another account, test before live, orders lost in a backup."""

import shutil
import sqlite3
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import Engine, select, update
from sqlalchemy.orm import Session

from crossroads.admin import dashboard
from crossroads.database import identity
from crossroads.fulfillment import checkouts, settlement
from crossroads.orders import ledger
from crossroads.orders import lifecycle as orders
from crossroads.orders.checkout import placement
from crossroads.orders.enrollment_listing import ENROLLMENTS, EnrollmentFilter
from crossroads.orders.listing import ORDERS, OrderFilter
from crossroads.payments import Gateway, PaymentsError, PaymentsRefused, PaymentsUnavailable
from models import (
    Enrollment,
    Hold,
    LostCheckout,
    Message,
    Order,
    Site,
    db,
    now,
    writing,
)
from tests.support.accounts_at_stripe import LIVE_KEY, lose, sweep
from tests.support.desk_visits import desk, send
from tests.support.fulfillment import BASE, left, older, opened, placed, state
from tests.support.order_states import add_orders, bring
from tests.support.orders import SMALL, checkout, paid, place
from tests.support.orders import left as seats_left
from tests.support.purchases import words
from tests.support.sandbox_server import KEY, SandboxServer, line_item, session_params


def site(engine: Engine) -> Site:
    with Session(engine, expire_on_commit=False) as session:
        return session.get_one(Site, 1)


# Another account.


def test_order_of_another_account_expires_with_its_reason(
    engine: Engine, gateway: Gateway, other: SandboxServer
) -> None:
    order, _ = opened(engine, gateway)
    assert sweep(engine, gateway)[1].left == []
    theirs = Gateway(KEY, base=other.url)
    said, one = sweep(engine, theirs)
    assert said == [
        f"order {order.id}: its checkout is not in this Stripe account (no event told of it): "
        "was open, is expired"
    ]
    assert (one.left, left(engine)) == ([], 10)
    assert sweep(engine, theirs)[0] == []
    with Session(engine) as session:
        assert session.get_one(Order, order.id).session_url is None
        rows = ledger.events(session, session.get_one(Order, order.id))
        assert rows[-1].reason == "not-in-this-account"


def test_paid_order_is_not_ended_by_another_account(
    engine: Engine, gateway: Gateway, sandbox: SandboxServer, other: SandboxServer
) -> None:
    order, url = opened(engine, gateway)
    sandbox.pay(url)
    settlement.settle(engine, gateway, order.id, "event")
    checkouts.resume(engine, Gateway(KEY, base=other.url), order.id, BASE, "sweep")
    assert state(engine, order) == "paid"


@pytest.mark.parametrize("fault", ["500", "reset", "429", "truncated", "html"])
def test_failed_call_to_stripe_ends_no_order(
    engine: Engine, gateway: Gateway, sandbox: SandboxServer, fault: str
) -> None:
    order, _ = opened(engine, gateway)
    sandbox.control("fault", kind=fault, path="/v1/checkout/sessions/*", times=9)
    with pytest.raises(PaymentsUnavailable):
        settlement.settle(engine, gateway, order.id, "sweep")
    assert state(engine, order) == "open"


@pytest.mark.parametrize("body", [b"<h1>Not Found</h1>", b"{}", b'{"error": {"code": 404}}'])
def test_404_from_a_proxy_ends_no_order(engine: Engine, gateway: Gateway, body: bytes) -> None:
    class Proxy(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    order, _ = opened(engine, gateway)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        with pytest.raises(PaymentsError):
            behind = Gateway(KEY, base=f"http://127.0.0.1:{server.server_port}")
            settlement.settle(engine, behind, order.id, "sweep")
    finally:
        server.shutdown()
        server.server_close()
    assert state(engine, order) == "open"


def test_key_without_rights_ends_no_order(
    engine: Engine, gateway: Gateway, sandbox: SandboxServer
) -> None:
    order, _ = opened(engine, gateway)
    sandbox.control("deny", rights=["rak_checkout_session_read", "rak_accounts_kyc_basic_read"])
    restricted = Gateway("rk_test_" + "abc", base=sandbox.url)
    assert restricted.account_id() is None
    sweep(engine, restricted)
    assert state(engine, order) == "open"


def test_order_of_another_account_can_be_canceled(
    engine: Engine, gateway: Gateway, other: SandboxServer
) -> None:
    order, _ = opened(engine, gateway)
    theirs = Gateway(KEY, base=other.url)
    assert checkouts.cancel(engine, theirs, order, BASE, "buyer") == "canceled"
    assert left(engine) == 10


def test_doctor_reports_another_account_until_it_is_accepted(
    make_app: Any, gateway: Gateway, other: SandboxServer, database_url: str
) -> None:
    app = make_app(
        database_url=database_url, stripe_secret_key=KEY, stripe_webhook_secret="whsec_x",
        stripe_api_base=other.url,
    )  # fmt: skip
    with app.app_context():
        writing(db.session)
        identity.record_account(db.session, gateway.account_id())
        db.session.commit()

    def said(*command: str) -> str:
        return str(app.test_cli_runner().invoke(args=command).output)

    assert f"and orders here were made in {gateway.account_id()}" in said("doctor")
    assert "nothing to do" in said("reconcile", "--new-account")
    assert f"fine: Stripe account {Gateway(KEY, base=other.url).account_id()}" in said("doctor")


def test_doctor_reports_that_reconciliation_never_ran(app: Flask) -> None:
    run = app.test_cli_runner().invoke
    assert "run flask reconcile before flask serve" in run(args=["doctor"]).output
    run(args=["reconcile"])
    assert "before flask serve" not in run(args=["doctor"]).output


# Test before live.


def test_test_orders_are_not_counted_on_a_live_site(engine: Engine) -> None:
    with Session(engine) as session:
        writing(session)
        test = [bring(session, one, number=2) for one in ("open", "paid", "unseated", "disputed")]
        real = place(session, live=True)
        session.flush()
        assert (identity.of(session).stripe_mode, real.mode) == ("live", "live")
        assert seats_left(session) == SMALL.seats - 1
        assert ORDERS.count(session, OrderFilter()) == 1
        assert ENROLLMENTS.count(session, EnrollmentFilter()) == 0
        sold = dashboard.sales(session, now())
        assert (sold.week, sold.revenue, sold.open, sold.held, sold.enrolled, sold.unseated) == (
            0, {}, 1, 1, 0, 0,
        )  # fmt: skip
        assert ledger.unfinished(session, now() + timedelta(hours=1)) == []
        assert ledger.unsettled(session, live=True) == []
        assert identity.count_excluded(session, "test") == len(test)


def test_test_order_takes_no_seat_on_a_live_site(engine: Engine) -> None:
    with Session(engine) as session:
        writing(session)
        place(session, live=True, email="real@example.com")
        tried = place(session, number=5)
        assert session.get(Hold, tried.id) is None
        assert seats_left(session) == SMALL.seats - 1
        placement.attach(session, tried.id, checkout(tried))
        orders.fulfill(session, tried.id, paid(tried), "event")
        assert ledger.balance_of(session, tried).state == "paid"
        assert seats_left(session) == SMALL.seats - 1
        assert identity.of(session).stripe_mode == "live"


def test_open_test_order_expires_in_a_sweep_with_a_live_key(
    engine: Engine, gateway: Gateway, sandbox: SandboxServer
) -> None:
    order, _ = opened(engine, gateway)
    unmade = placed(engine, "unmade@example.com")
    older(engine)
    sandbox.control("mode", live=True)
    said, one = sweep(engine, Gateway(LIVE_KEY, base=sandbox.url))
    assert [state(engine, one) for one in (order, unmade)] == ["expired", "expired"]
    assert (len(said), one.left, site(engine).stripe_mode) == (2, [], "live")
    assert left(engine) == 10


def test_live_order_stays_open_with_a_test_key(
    engine: Engine, gateway: Gateway, sandbox: SandboxServer
) -> None:
    sandbox.control("mode", live=True)
    live = Gateway(LIVE_KEY, base=sandbox.url)
    with Session(engine, expire_on_commit=False) as session:
        writing(session)
        order = place(session, live=True)
        session.commit()
    checkouts.open_checkout(engine, live, order, BASE)
    sandbox.control("mode", live=False)
    older(engine)
    said, one = sweep(engine, gateway)
    assert (said, one.left, state(engine, order), left(engine)) == ([], [], "open", 9)
    with pytest.raises(PaymentsRefused, match="resource_missing"):
        settlement.settle(engine, gateway, order.id, "event")
    with Session(engine, expire_on_commit=False) as session:
        made = session.get_one(Order, order.id)
    with pytest.raises(PaymentsRefused):
        checkouts.cancel(engine, gateway, made, BASE, "buyer")
    assert (state(engine, order), left(engine)) == ("open", 9)


def test_purge_deletes_only_test_orders(make_app: Any, database_url: str) -> None:
    app = make_app(database_url=database_url)
    run = app.test_cli_runner().invoke
    purge = ["orders", "purge", "--mode", "test"]
    add_orders(app, "open", "paid", "refunded")
    assert "no order of test mode to delete" in run(args=[*purge, "--yes"]).output
    with app.app_context(), Session(db.engine) as session:
        writing(session)
        real = place(session, live=True).id
        session.commit()
    page = words(desk(app).get("/admin/orders").text)
    assert "3 orders were made with a test key and do not count" in page
    assert run(args=purge, input="n").exit_code == 1
    assert run(args=[*purge, "--yes"]).output == "3 orders of test mode deleted\n"
    with app.app_context(), Session(db.engine) as session:
        assert list(session.scalars(select(Order.id))) == [real]


# Lost with a backup.


def test_paid_order_missing_from_the_backup_is_listed_with_its_number(
    engine: Engine, gateway: Gateway, sandbox: SandboxServer
) -> None:
    order, url = opened(engine, gateway)
    unpaid, _ = opened(engine, gateway, "unpaid@example.com")
    sandbox.pay(url)
    lose(engine)
    said, one = sweep(engine, gateway)
    (found,) = one.lost
    assert (said, one.left, one.foreign) == ([], [], 0)
    assert (found.number, found.email, found.name) == (
        order.id,
        "maria@example.com",
        "Ada Lovelace",
    )
    assert (found.amount, found.currency, found.quantity) == (order.amount, order.currency, 1)
    assert placed(engine, "next@example.com").id == unpaid.id + 1
    assert sweep(engine, gateway)[1].lost[0].session_id == found.session_id


def test_later_payment_of_a_lost_order_is_listed(
    engine: Engine, gateway: Gateway, sandbox: SandboxServer
) -> None:
    _, url = opened(engine, gateway)
    lose(engine)
    assert sweep(engine, gateway)[1].lost == []
    sandbox.pay(url)
    assert len(sweep(engine, gateway)[1].lost) == 1


def test_unpaid_order_missing_from_the_backup_is_deleted(
    engine: Engine, gateway: Gateway, sandbox: SandboxServer
) -> None:
    opened(engine, gateway)
    lose(engine)
    sweep(engine, gateway)
    sandbox.control("advance", seconds=3600)
    assert sweep(engine, gateway)[1].lost == []
    with Session(engine) as session:
        assert list(session.scalars(select(LostCheckout))) == []


def test_payments_of_other_sites_are_not_listed(
    engine: Engine, gateway: Gateway, sandbox: SandboxServer
) -> None:
    notes = {"site": "another", "order": "token", "number": "900"}
    for metadata in (notes, {"order": "token"}, {}):
        params = session_params(
            line_items=[line_item()], metadata=metadata, client_reference_id="token"
        )
        sandbox.pay(sandbox.client().v1.checkout.sessions.create(params).url or "")
    lose(engine)
    one = sweep(engine, gateway)[1]
    assert (one.lost, one.left) == ([], [])
    assert placed(engine).id == 1


def test_checkout_of_another_site_pays_no_order(
    engine: Engine, gateway: Gateway, sandbox: SandboxServer
) -> None:
    order, url = opened(engine, gateway)
    sandbox.pay(url)
    with Session(engine) as session:
        session.execute(update(Site).values(site_id="another"))
        session.commit()
    with pytest.raises(orders.ForeignCheckout):
        settlement.settle(engine, gateway, order.id, "event")


@pytest.fixture
def app(make_app: Any, database_url: str, sandbox: SandboxServer) -> Flask:
    built: Flask = make_app(
        database_url=database_url, stripe_secret_key=KEY, stripe_webhook_secret="whsec_x",
        stripe_api_base=sandbox.url,
    )  # fmt: skip
    return built


@pytest.mark.usefixtures("one_day")
def test_staff_enroll_the_buyer_of_a_lost_order(app: Flask, lost: Order) -> None:
    run = app.test_cli_runner().invoke
    result = run(args=["reconcile"])
    assert (result.exit_code, "maria@example.com paid $1,200" in result.stderr) == (1, True)
    assert "enroll the buyer or refund" in result.stderr
    assert "maria@example.com paid $1,200" in run(args=["doctor"]).output
    staff = desk(app)
    assert "1 payment has no order here" in words(staff.get("/admin/").text)
    assert app.test_client().get(f"/orders/{lost.token}").status_code == 404
    given = {"session": str(lost.session_id), "act": "enroll"}
    answer = send(staff, "/admin/orders/lost", given)
    assert answer.location == f"/admin/orders/{lost.id}"
    assert "You're in" in words(app.test_client().get(f"/orders/{lost.token}").text)
    assert run(args=["reconcile"]).exit_code == 0
    send(staff, "/admin/orders/lost", given, page="/admin/")
    with app.app_context(), Session(db.engine) as session:
        assert [one.email for one in session.scalars(select(Enrollment))] == ["maria@example.com"]
        kinds = sorted(one.kind for one in session.scalars(select(Message)))
        assert kinds == ["enrolled", "receipt"]


def test_staff_refund_a_lost_payment_once(
    app: Flask, lost: Order, gateway: Gateway, sandbox: SandboxServer
) -> None:
    run = app.test_cli_runner().invoke
    assert run(args=["reconcile"]).exit_code == 1
    staff = desk(app)
    given = {"session": str(lost.session_id), "act": "refund"}
    sandbox.control("fault", kind="500", path="/v1/refunds", method="POST", after=True)
    for _ in range(3):
        send(staff, "/admin/orders/lost", given, page="/admin/")
    payment = gateway.retrieve(str(lost.session_id)).payment_intent
    assert [one.amount for one in gateway.refunds(payment)] == [lost.amount]
    assert run(args=["reconcile"]).exit_code == 0
    assert "Every payment has its order" in staff.get("/admin/orders/lost").text


def test_refund_at_stripe_settles_a_lost_payment(
    app: Flask, lost: Order, gateway: Gateway, sandbox: SandboxServer
) -> None:
    run = app.test_cli_runner().invoke
    assert run(args=["reconcile"]).exit_code == 1
    (charge,) = gateway.charges(str(gateway.retrieve(str(lost.session_id)).payment_intent))
    sandbox.control("refund", id=charge.id)
    assert run(args=["reconcile"]).exit_code == 0


def test_personal_data_of_a_lost_order_is_exported_and_erased(app: Flask, lost: Order) -> None:
    run = app.test_cli_runner().invoke
    run(args=["reconcile"])
    shown = run(args=["leads", "data", "maria@example.com", "--output", "-"]).output
    assert '"lost_checkouts": [' in shown and str(lost.session_id) in shown
    assert run(args=["leads", "erase", "maria@example.com", "--yes"]).exit_code == 0
    with app.app_context(), Session(db.engine) as session:
        row = session.scalars(select(LostCheckout)).one()
        assert (row.email, row.name, row.settled_at) == ("", "", None)


def test_restored_sqlite_backup_finds_later_sales(
    make_app: Any, instance: Path, sandbox: SandboxServer, tmp_path: Path
) -> None:
    """A real file, copied by SQLite's own backup before the sale."""
    app = make_app(
        stripe_secret_key=KEY, stripe_webhook_secret="whsec_x", stripe_api_base=sandbox.url
    )
    file, copy = instance / "crossroads.db", tmp_path / "backup.db"
    run = app.test_cli_runner().invoke
    assert run(args=["reconcile"]).exit_code == 0
    with sqlite3.connect(file) as source, sqlite3.connect(copy) as target:
        source.backup(target)
    with app.app_context():
        order, url = opened(db.engine, Gateway(KEY, base=sandbox.url))
        sandbox.pay(url)
        db.engine.dispose()
    for each in instance.glob("crossroads.db*"):
        each.unlink()
    shutil.copyfile(copy, file)
    result = run(args=["reconcile"])
    assert (result.exit_code, f"order {order.id} was paid" in result.stderr) == (1, True)
    with app.app_context():
        assert placed(db.engine, "next@example.com").id == order.id + 1
