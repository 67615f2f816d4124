"""Orders whose payment or mode does not belong to the Stripe account of the current key."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Engine, select, update
from sqlalchemy.orm import Session

from crossroads.database import identity
from crossroads.fulfillment import checkouts, repayments, settlement
from crossroads.orders import duplicate_payments, ledger, refunds
from crossroads.orders import lifecycle as orders
from crossroads.orders.checkout import placement
from crossroads.payments import Gateway, PaymentsRefused
from crossroads.worker.event_consumer import EventConsumer
from models import (
    Hold,
    Order,
    Site,
    StripeEvent,
    writing,
)
from models.order import OrderEventKind
from tests.support.accounts_at_stripe import LIVE_KEY, sweep
from tests.support.fulfillment import BASE, left, opened, receive, state
from tests.support.orders import SMALL, checkout, paid, place
from tests.support.sandbox_server import KEY, SandboxServer


@pytest.mark.parametrize("way", ["sweep", "event", "cancel"])
def test_order_with_a_pending_payment_elsewhere_keeps_its_seat(
    engine: Engine, gateway: Gateway, sandbox: SandboxServer, other: SandboxServer, way: str
) -> None:
    order, url = opened(engine, gateway)
    sandbox.pay(url, iban="AT321904300235473204")
    assert settlement.settle(engine, gateway, order.id, "event") == "pending"
    theirs = Gateway(KEY, base=other.url)
    if way == "event":
        receive(engine, order)
        EventConsumer(engine, theirs, BASE).work()
        with Session(engine) as session:
            assert session.scalars(select(StripeEvent)).one().done_at is not None
    elif way == "cancel":
        with pytest.raises(Exception, match="on its way in another Stripe account"):
            checkouts.cancel(engine, theirs, order, BASE, "buyer")
    one = sweep(engine, theirs)[1]
    (said,) = one.left
    assert said.startswith(f"order {order.id}: its payment is on its way in another Stripe account")
    assert (state(engine, order), left(engine)) == ("pending", 9)
    (intent,) = sandbox.state()["payment_intents"]
    sandbox.control("settle", id=intent["id"])
    sweep(engine, gateway)
    assert state(engine, order) == "paid"


@pytest.mark.parametrize("was", ["open", "paid"])
def test_event_of_an_order_elsewhere_is_marked_done(
    engine: Engine, gateway: Gateway, sandbox: SandboxServer, other: SandboxServer, was: str
) -> None:
    order, url = opened(engine, gateway)
    if was == "paid":
        sandbox.pay(url)
        settlement.settle(engine, gateway, order.id, "event")
    receive(engine, order)
    EventConsumer(engine, Gateway(KEY, base=other.url), BASE).work()
    assert state(engine, order) == ("expired" if was == "open" else "paid")
    with Session(engine) as session:
        assert session.scalars(select(StripeEvent)).one().done_at is not None


def test_refunds_of_a_payment_elsewhere_are_left_to_staff(
    engine: Engine, gateway: Gateway, sandbox: SandboxServer, other: SandboxServer
) -> None:
    """Also of a second payment whose order was free at first."""
    order, url = opened(engine, gateway)
    sandbox.pay(url)
    settlement.settle(engine, gateway, order.id, "event")
    with Session(engine) as session:
        writing(session)
        reference = refunds.request(session, order.id, "desk", seats=None, amount=None)
        free = place(session, email="free@example.com")
        placement.attach(session, free.id, checkout(free))
        orders.fulfill(session, free.id, paid(free, amount_total=0, payment_intent=None), "event")
        second = paid(free, id="cs_test_copy", payment_intent="pi_second")
        duplicate_payments.note(session, free, second, "event")
        number = free.id
        session.commit()
    theirs = Gateway(KEY, base=other.url)
    assert sweep(engine, theirs)[1].left == []
    with Session(engine) as session:
        for each, kind, subject in (
            (order.id, "refund", reference),
            (number, "duplicate", "pi_second"),
        ):
            rows = ledger.events(session, session.get_one(Order, each))
            found = [
                (one.status, one.reason)
                for one in rows
                if (one.kind, one.subject) == (kind, subject)
            ]
            assert found == [("asked", ""), ("refused", "not-in-this-account")]
        assert ledger.unsettled(session) == []
        assert refunds.failed(session) == [order.id, number]  # the list in the admin area


def test_event_about_refunds_of_a_payment_elsewhere_is_marked_done(
    engine: Engine, gateway: Gateway, sandbox: SandboxServer, other: SandboxServer
) -> None:
    order, url = opened(engine, gateway)
    sandbox.pay(url)
    settlement.settle(engine, gateway, order.id, "event")
    with Session(engine) as session:
        writing(session)
        refunds.request(session, order.id, "desk", seats=None, amount=None)
        session.commit()
    receive(engine, order)
    EventConsumer(engine, Gateway(KEY, base=other.url), BASE).work()
    with Session(engine) as session:
        assert session.scalars(select(StripeEvent)).one().done_at is not None
        assert refunds.failed(session) == [order.id]


def test_test_key_does_not_fail_the_refund_of_a_live_payment(
    engine: Engine, gateway: Gateway, sandbox: SandboxServer
) -> None:
    sandbox.control("mode", live=True)
    live = Gateway(LIVE_KEY, base=sandbox.url)
    with Session(engine, expire_on_commit=False) as session:
        writing(session)
        order = place(session, live=True)
        session.commit()
    sandbox.pay(str(checkouts.open_checkout(engine, live, order, BASE).url))
    settlement.settle(engine, live, order.id, "event")
    with Session(engine) as session:
        writing(session)
        refunds.request(session, order.id, "desk", seats=None, amount=None)
        session.commit()
    sandbox.control("mode", live=False)
    with pytest.raises(PaymentsRefused, match="resource_missing"):
        repayments.settle_payment(engine, gateway, order.id, "sweep")
    with Session(engine) as session:
        assert refunds.failed(session) == []
    sandbox.control("mode", live=True)
    repayments.settle_payment(engine, live, order.id, "sweep")
    assert state(engine, order) == "refunded"


@pytest.mark.parametrize("live", [False, True])
def test_order_without_a_stored_mode_takes_the_mode_of_its_checkout(
    engine: Engine, live: bool
) -> None:
    with Session(engine) as session:
        writing(session)
        order = place(session)
        order.mode = ""
        session.execute(update(Site).values(stripe_mode=None))
        session.flush()
        placement.attach(session, order.id, checkout(order, live=live))
        assert order.mode == ("live" if live else "test") == identity.of(session).stripe_mode
        assert session.get(Hold, order.id) is not None


def test_order_without_mode_gets_no_hold_from_test_checkout_on_live_site(
    engine: Engine,
) -> None:
    with Session(engine) as session:
        writing(session)
        order = place(session)
        order.mode = ""
        session.execute(update(Site).values(stripe_mode="live"))
        session.flush()
        placement.attach(session, order.id, checkout(order))
        assert order.mode == "test"
        assert session.get(Hold, order.id, populate_existing=True) is None


@pytest.mark.parametrize("code", ["one", "another"])
def test_first_live_order_and_concurrent_test_order_do_not_deadlock(
    engine: Engine, code: str
) -> None:
    """Every placement locks the cohort, then the site's page version: the first live order too."""
    with Session(engine) as session:
        writing(session)
        place(session, SMALL.model_copy(update={"code": "one"}))
        session.commit()
    cohort = SMALL.model_copy(update={"code": code})

    def first_live() -> str:
        with Session(engine) as session:
            writing(session)
            order = place(session, cohort, live=True, email="live@example.com")
            session.commit()
            return order.mode

    with ThreadPoolExecutor(1) as pool, Session(engine) as session:
        writing(session)
        tried = place(session, cohort, email="test@example.com")
        waits = pool.submit(first_live)
        with pytest.raises(TimeoutError):
            waits.result(timeout=0.5)
        orders.end(session, tried, OrderEventKind.CANCELED, "buyer")  # locks the version
        session.commit()
        assert waits.result(timeout=20) == "live"
