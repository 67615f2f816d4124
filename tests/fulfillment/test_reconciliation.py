"""The sweep finds what lost webhooks would have reported, applies it once, and reports why."""

from contextlib import closing
from datetime import datetime, timedelta
from typing import Any

import pytest
import time_machine
from flask import Flask
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from crossroads.fulfillment import checkouts, reconciliation, sweep_lease, webhook_events
from crossroads.fulfillment.reconciliation import Sweep
from crossroads.fulfillment.sweep_lease import AlreadyRunning
from crossroads.payments import Event, Gateway, connection
from crossroads.worker.event_consumer import EventConsumer
from crossroads.worker.reconciler import Reconciler
from models import (
    Base,
    Enrollment,
    Message,
    Order,
    Reconciliation,
    db,
    now,
    writing,
)
from tests.support.fulfillment import BASE, count, older, opened, placed, reconcile, state
from tests.support.sandbox_server import KEY, SandboxServer, line_item, session_params

SECRET = "whsec_sweep"


def make(engine: Engine, gateway: Gateway, owner: str = "a test") -> Sweep:
    return Sweep(engine, gateway, BASE, owner)


def sweep(engine: Engine, gateway: Gateway) -> tuple[list[str], Sweep]:
    """Run a sweep; return the lines of its drifts, and the sweep."""
    one = make(engine, gateway)
    return [str(drift) for drift in one.run()], one


def rows(engine: Engine) -> dict[str, list[Any]]:
    """Return all stored rows, without the position that the sweep has read to."""
    with engine.connect() as connection:
        return {
            table.name: [tuple(row) for row in connection.execute(select(table))]
            for table in Base.metadata.sorted_tables
            if table.name != Reconciliation.__tablename__
        }


def mark(engine: Engine, at: datetime | None = None) -> datetime | None:
    """Return the time that the sweep has read to, or set it."""
    with Session(engine) as session:
        if at:
            writing(session)
            session.merge(Reconciliation(id=1, read_until=at))
            session.commit()
        found = session.get(Reconciliation, 1)
        return found.read_until if found else None


def listed(gateway: Gateway, kind: str) -> Event:
    """Return Stripe's newest event of a kind."""
    return next(gateway.events(now() - timedelta(days=1), [kind]))


def hear(engine: Engine, gateway: Gateway) -> None:
    """Receive and process every event, as when all webhooks arrive."""
    with Session(engine) as session:
        writing(session)
        for event in gateway.events(now() - timedelta(days=1), sorted(webhook_events.FOLLOWED)):
            webhook_events.receive(session, [event])
        session.commit()
    EventConsumer(engine, gateway, BASE).work()


def bought(engine: Engine, gateway: Gateway, sandbox: SandboxServer) -> tuple[Order, str]:
    """Return a paid order whose webhooks have all arrived, and its charge."""
    order, url = opened(engine, gateway)
    sandbox.pay(url)
    hear(engine, gateway)
    with Session(engine, expire_on_commit=False) as session:
        order = session.get_one(Order, order.id)
    (charge,) = gateway.charges(str(order.payment_intent))
    return order, charge.id


def test_lost_webhooks_are_recovered_and_second_run_changes_nothing(
    engine: Engine, gateway: Gateway, sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "PAGE", 2)
    monkeypatch.setattr(reconciliation, "BATCH", 2)
    for number in range(5):
        sandbox.pay(opened(engine, gateway, f"b{number}@example.com")[1])
    said, first = sweep(engine, gateway)
    assert {line.partition(": ")[2].partition(" (")[0] for line in said} == {"paid at Stripe"}
    assert [line.endswith(" never came): was open, is paid") for line in said] == [True] * 5
    assert (first.left, first.orders, first.events) == ([], 5, 5)
    assert (count(engine, Enrollment), count(engine, Message)) == (5, 10)
    before = rows(engine)
    said, second = sweep(engine, gateway)
    assert (said, second.left, second.orders) == ([], [], 0)
    assert rows(engine) == before


def test_old_open_order_is_checked_when_the_event_list_fails(
    engine: Engine, gateway: Gateway, sandbox: SandboxServer
) -> None:
    order, url = opened(engine, gateway)
    sandbox.pay(url)
    older(engine, 60 * 24 * 400)
    mark(engine, now())
    sandbox.control("fault", kind="500", path="/v1/events*", times=100)
    said, one = sweep(engine, gateway)
    assert said == [f"order {order.id}: paid at Stripe (no event told of it): was open, is paid"]
    assert one.left == ["the events that Stripe lists were not read: APIError"]


def test_refund_at_stripe_is_found_without_its_webhooks(
    engine: Engine, gateway: Gateway, sandbox: SandboxServer
) -> None:
    order, charge = bought(engine, gateway, sandbox)
    assert sweep(engine, gateway)[0] == []
    sandbox.control("refund", id=charge, amount=10_000)
    (refund,) = gateway.refunds(str(order.payment_intent))
    said, _ = sweep(engine, gateway)
    assert len(said) == 1
    assert said[0].startswith(
        f"order {order.id}: refund {refund.id} of $100 made at Stripe is succeeded ("
    )
    assert said[0].endswith(" never came): was paid, is partly-refunded")
    sandbox.control("fail_refund", id=refund.id)
    said, _ = sweep(engine, gateway)
    assert len(said) == 1
    assert f"refund {refund.id} of $100 made at Stripe is failed (" in said[0]
    assert said[0].endswith("was partly-refunded, is paid")
    assert sweep(engine, gateway)[0] == []


def test_dispute_and_its_outcome_are_found_without_webhooks(
    engine: Engine, gateway: Gateway, sandbox: SandboxServer
) -> None:
    order, charge = bought(engine, gateway, sandbox)
    sandbox.control("dispute", id=charge)
    (dispute,) = gateway.disputes(str(order.payment_intent))
    said = sweep(engine, gateway)[0]
    assert len(said) == 1
    assert f": dispute {dispute.id} of " in said[0] and " is needs response (" in said[0]
    assert said[0].endswith(": was paid, is disputed")
    sandbox.control("win", id=dispute.id)
    said = sweep(engine, gateway)[0]
    assert len(said) == 1 and said[0].endswith(": was disputed, is dispute-won")
    assert sweep(engine, gateway)[0] == []


def test_received_event_that_waits_for_a_worker_is_processed(
    engine: Engine, gateway: Gateway, sandbox: SandboxServer
) -> None:
    order, url = opened(engine, gateway)
    sandbox.pay(url)
    event = listed(gateway, "checkout.session.completed")
    with Session(engine) as session:
        writing(session)
        webhook_events.receive(session, [event])
        session.commit()
    assert sweep(engine, gateway)[0] == [
        f"order {order.id}: paid at Stripe ({event.kind} {event.id} came and was not followed "
        "yet): was open, is paid"
    ]


def test_late_webhook_after_the_sweep_is_stored_and_changes_no_order(
    engine: Engine, gateway: Gateway, sandbox: SandboxServer
) -> None:
    """The doctor needs its row to know whether webhooks arrive at all."""
    _, url = opened(engine, gateway)
    sandbox.pay(url)
    sweep(engine, gateway)
    event = listed(gateway, "checkout.session.completed")
    with Session(engine) as session:
        assert webhook_events.reception(session, [event.id]).here == set()
        assert webhook_events.reception(session, [event.id]).last is None
    before = rows(engine)
    hear(engine, gateway)
    with Session(engine) as session:
        assert webhook_events.reception(session, [event.id]).here == {event.id}
    after = rows(engine)
    assert after.pop("stripe_event") != before.pop("stripe_event")
    assert after == before


def test_checkout_without_a_stored_id_is_found_by_its_order_reference(
    engine: Engine, gateway: Gateway, sandbox: SandboxServer
) -> None:
    """Stripe made the checkout, and the process ended before it stored the id."""
    order = placed(engine)
    lost = checkouts.open_checkout(engine, gateway, order, BASE)
    with Session(engine) as session:
        session.get_one(Order, order.id).session_id = None
        session.commit()
    sandbox.pay(str(lost.url))
    assert [line.endswith("was open, is paid") for line in sweep(engine, gateway)[0]] == [True]
    with Session(engine) as session:
        assert session.get_one(Order, order.id).session_id == lost.id


def strange(sandbox: SandboxServer) -> None:
    """Sell, refund and dispute something of another product in the account."""
    sdk = sandbox.client()
    made = sdk.v1.checkout.sessions.create(
        session_params(client_reference_id="their-7", line_items=[line_item(900)])
    )
    sandbox.pay(made.url or "")
    payment = str(sdk.v1.checkout.sessions.retrieve(made.id).payment_intent)
    charge = sdk.v1.charges.list({"payment_intent": payment}).data[0]
    sandbox.control("refund", id=charge.id, amount=100)
    sandbox.control("dispute", id=charge.id)


def test_events_of_other_products_are_counted_once_and_ignored(
    engine: Engine, gateway: Gateway, sandbox: SandboxServer
) -> None:
    order, _ = opened(engine, gateway)
    strange(sandbox)
    theirs = sandbox.state()
    said, one = sweep(engine, gateway)
    assert (said, one.left, one.orders) == ([], [], 1)
    assert one.foreign == one.events > 3
    assert sandbox.state()["charges"] == theirs["charges"]
    assert state(engine, order) == "open"
    again = sweep(engine, gateway)[1]
    assert (again.events, again.foreign) == (one.events, 0)


def test_mark_moves_only_when_all_events_were_read(
    engine: Engine, gateway: Gateway, sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "PAGE", 1)
    monkeypatch.setattr(reconciliation, "BATCH", 1)
    for number in range(3):
        sandbox.pay(opened(engine, gateway, f"b{number}@example.com")[1])
    one = make(engine, gateway)
    drifts = one.run()
    next(drifts)
    sandbox.control("fault", kind="reset", path="/v1/events*", times=100)
    rest = [drift.cause for drift in drifts]
    assert rest == ["no event told of it"] * 2
    assert mark(engine) is None and len(one.left) == 1
    sandbox.control("clear_faults")
    began = now()
    assert sweep(engine, gateway)[1].left == []
    first = mark(engine)
    assert first is not None and began <= first <= now()
    sweep(engine, gateway)
    assert (mark(engine) or first) > first


def test_next_sweep_reads_from_one_hour_before_the_mark(
    engine: Engine, gateway: Gateway, sandbox: SandboxServer
) -> None:
    opened(engine, gateway)
    strange(sandbox)
    with time_machine.travel(now() + timedelta(minutes=50)):
        assert sweep(engine, gateway)[1].events > 3
    with time_machine.travel(now() + timedelta(minutes=100)):
        assert sweep(engine, gateway)[1].events > 3
    with time_machine.travel(now() + timedelta(minutes=200)):
        assert sweep(engine, gateway)[1].events == 1  # the expired checkout


def test_sweep_after_stripes_event_retention_still_finds_changes(
    engine: Engine, gateway: Gateway, sandbox: SandboxServer
) -> None:
    (first, charge), (second, url) = (
        bought(engine, gateway, sandbox),
        opened(engine, gateway, "other@example.com"),
    )
    mark(engine, now())
    sandbox.pay(url)
    sandbox.control("refund", id=charge)
    with time_machine.travel(now() + timedelta(days=40)):
        said, one = sweep(engine, gateway)
    assert [(line.split(": ")[0], line.rpartition(": ")[2]) for line in said] == [
        (f"order {second.id}", "was open, is paid"),
        (f"order {first.id}", "was paid, is refunded"),
    ]
    assert all("its events are no longer listed" in line for line in said)
    assert (one.events, one.left) == (0, [])


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Collects the seconds of each wait for Stripe, without waiting."""
    waited: list[float] = []
    monkeypatch.setattr("crossroads.payments.connection.sleep", waited.append)
    return waited


def busy(sandbox: SandboxServer, times: int, seconds: int = 0) -> None:
    sandbox.control("fault", kind="429", times=times, seconds=seconds)


def test_rate_limited_call_is_retried_after_growing_pauses(
    engine: Engine, sandbox: SandboxServer, patient: list[float]
) -> None:
    gateway = Gateway(KEY, base=sandbox.url, background=True)
    sandbox.pay(opened(engine, gateway)[1])
    busy(sandbox, 3)
    said, one = sweep(engine, gateway)
    assert (len(said), one.left) == (1, [])
    assert all(low <= wait <= low * 1.25 for low, wait in zip((1, 2, 4), patient, strict=True))


def test_retry_waits_as_long_as_stripe_asks(
    engine: Engine, sandbox: SandboxServer, patient: list[float]
) -> None:
    gateway = Gateway(KEY, base=sandbox.url, background=True)
    sandbox.pay(opened(engine, gateway)[1])
    busy(sandbox, 1, seconds=17)
    assert len(sweep(engine, gateway)[0]) == 1
    assert len(patient) == 1 and 17 <= patient[0] <= 17 * 1.25


@pytest.mark.parametrize("seconds", [0, 600])
def test_sweep_stops_at_lasting_rate_limits_and_keeps_its_results(
    engine: Engine, sandbox: SandboxServer, patient: list[float], seconds: int
) -> None:
    gateway = Gateway(KEY, base=sandbox.url, background=True)
    for number in range(3):
        sandbox.pay(opened(engine, gateway, f"b{number}@example.com")[1])
    one = make(engine, gateway)
    drifts = one.run()
    next(drifts)
    busy(sandbox, 1000, seconds)
    assert list(drifts) == []
    assert len(patient) == (0 if seconds else len(connection.BUSY_WAITS))
    assert one.left[-1] == "stopped calling Stripe after that: the rest is left for the next sweep"
    assert count(engine, Enrollment) == 1
    sandbox.control("clear_faults")
    assert len(sweep(engine, gateway)[0]) == 2


def test_sweep_stops_calling_stripe_during_an_outage(
    engine: Engine, gateway: Gateway, sandbox: SandboxServer
) -> None:
    for number in range(5):
        opened(engine, gateway, f"b{number}@example.com")
    asked = len(sandbox.state()["calls"])
    sandbox.control("fault", kind="500", times=100)
    assert sweep(engine, gateway)[0] == []
    assert len(sandbox.state()["calls"]) == asked + 3


def test_second_sweep_runs_only_after_the_lease_of_the_first_expired(
    engine: Engine, gateway: Gateway, sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep_lease, "RENEW_SECONDS", 0)
    for number in range(3):
        sandbox.pay(opened(engine, gateway, f"b{number}@example.com")[1])
    first, second = (make(engine, gateway, name) for name in ("the first", "the second"))
    drifts = first.run()
    next(drifts)
    with pytest.raises(AlreadyRunning) as caught:
        list(second.run())
    assert caught.value.owner == "the first"
    assert timedelta() < caught.value.until - now() <= timedelta(minutes=2)
    with time_machine.travel(now() + timedelta(minutes=3)), closing(second.run()) as others:
        next(others, None)
        assert list(drifts) == [] and first.left == ["another sweep has taken over"]
        list(others)
    assert second.left == [] and count(engine, Enrollment) == 3


def test_lease_is_renewed_while_the_sweep_runs(
    engine: Engine, gateway: Gateway, sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep_lease, "RENEW_SECONDS", 0)
    for number in range(3):
        sandbox.pay(opened(engine, gateway, f"b{number}@example.com")[1])
    with closing(make(engine, gateway, "the first").run()) as drifts:
        for minutes in (1, 2, 3):
            with time_machine.travel(now() + timedelta(minutes=minutes)):
                next(drifts)
                with pytest.raises(AlreadyRunning):
                    list(make(engine, gateway, "the second").run())


def test_sweeper_runs_at_once_then_pauses_and_stops_on_request(
    engine: Engine, gateway: Gateway, sandbox: SandboxServer
) -> None:
    sandbox.pay(opened(engine, gateway)[1])
    sweeper = Reconciler(engine, gateway, BASE)
    sweeper.work()
    assert count(engine, Enrollment) == 1
    sandbox.pay(opened(engine, gateway, "other@example.com")[1])
    sweeper.work()
    assert count(engine, Enrollment) == 1
    stopped = Reconciler(engine, gateway, BASE)
    stopped.stop()
    stopped.work()
    assert count(engine, Enrollment) == 1


@pytest.fixture
def app(make_app: Any, sandbox: SandboxServer) -> Flask:
    built: Flask = make_app(stripe_api_base=sandbox.url)
    with built.app_context():
        assert built.test_cli_runner().invoke(args=["db", "stamp", "head"]).exit_code == 0
    return built


def test_command_prints_each_drift_its_totals_and_its_errors(
    app: Flask, gateway: Gateway, sandbox: SandboxServer
) -> None:
    with app.app_context():
        engine = db.engine
    assert reconcile(app) == (0, "nothing to do: 0 orders and 0 events looked at\n", "")
    order, url = opened(engine, gateway)
    sandbox.pay(url)
    strange(sandbox)
    code, said, trouble = reconcile(app)
    first, last = said.splitlines()
    assert (code, trouble) == (0, "")
    assert first.startswith(f"order {order.id}: paid at Stripe (checkout.session.completed evt_")
    assert first.endswith(" never came): was open, is paid")
    assert last.startswith("1 drift healed: 1 order and ") and "of others on the account" in last
    assert reconcile(app)[1].startswith("nothing to do: 0 orders and ")
    sandbox.control("fault", kind="500", times=100)
    code, said, trouble = reconcile(app)
    assert code == 1 and "not done: " in said
    assert trouble == (
        "left: the account of the key: APIError\n"
        "left: the events that Stripe lists were not read: APIError\n"
    )
    with Session(engine) as session:
        writing(session)
        row = session.get_one(Reconciliation, 1)
        row.owner, row.lease_until = "host-1-abc", now() + timedelta(minutes=1)
        session.commit()
    code, said, trouble = reconcile(app)
    assert (code, said) == (75, "")
    assert trouble.startswith("another sweep is at work (host-1-abc): nothing was done.")
