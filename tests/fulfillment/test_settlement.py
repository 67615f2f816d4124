"""Settling orders with Stripe: lost webhooks, failures of every call, concurrent callers."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any, cast

import pytest
import time_machine
from sqlalchemy import Engine, func, select, update
from sqlalchemy.orm import Session

from crossroads.fulfillment import checkouts, matching, settlement
from crossroads.fulfillment.reconciliation import Sweep
from crossroads.orders import ledger
from crossroads.orders import lifecycle as orders
from crossroads.payments import Gateway, PaymentsRefused, PaymentsUnavailable
from crossroads.worker.event_consumer import EventConsumer
from models import Enrollment, Message, Order, StripeEvent, now, writing
from tests.support.fulfillment import (
    BASE,
    count,
    left,
    older,
    opened,
    placed,
    receive,
    state,
    sweep,
)
from tests.support.sandbox_server import SandboxServer


def test_lost_webhook_is_recovered_and_second_sweep_changes_nothing(
    engine: Engine, gateway: Gateway, sandbox: SandboxServer
) -> None:
    for number in range(3):
        _, url = opened(engine, gateway, f"p{number}@example.com")
        sandbox.pay(url)
    older(engine)
    assert sweep(engine, gateway) == [("open", "paid")] * 3
    assert (count(engine, Enrollment), count(engine, Message)) == (3, 6)
    assert sweep(engine, gateway) == []


def test_sweep_releases_the_seat_of_an_expired_checkout(
    engine: Engine, gateway: Gateway, sandbox: SandboxServer
) -> None:
    order, _ = opened(engine, gateway)
    assert left(engine) == 9
    sandbox.control("advance", seconds=3600)
    older(engine)
    assert sweep(engine, gateway) == [("open", "expired")]
    assert state(engine, order) == "expired"
    assert left(engine) == 10


def test_concurrent_callers_enroll_once(
    engine: Engine, gateway: Gateway, sandbox: SandboxServer
) -> None:
    order, url = opened(engine, gateway)
    sandbox.pay(url)

    def settle(cause: str) -> str:
        return settlement.settle(engine, gateway, order.id, cause)

    with ThreadPoolExecutor(9) as pool:
        assert set(pool.map(settle, ["event", "order page", "sweep"] * 6)) == {"paid"}
    assert (count(engine, Enrollment), count(engine, Message)) == (1, 2)


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("kind", ["reset", "500", "truncated"])
def test_checkout_without_an_answer_is_found_and_ended(
    engine: Engine, gateway: Gateway, sandbox: SandboxServer, kind: str, after: bool
) -> None:
    order = placed(engine)
    sandbox.control("fault", kind=kind, method="POST", after=after)
    with pytest.raises(PaymentsUnavailable):
        checkouts.open_checkout(engine, gateway, order, BASE)
    assert left(engine) == 9
    older(engine)
    assert sweep(engine, gateway) == []  # it is open at Stripe too, and the buyer may return
    with Session(engine) as session:
        assert session.get_one(Order, order.id).session_id is not None
    sandbox.control("advance", seconds=3600)
    assert sweep(engine, gateway) == [("open", "expired")]
    assert left(engine) == 10


def test_order_without_a_checkout_at_stripe_expires(
    engine: Engine, gateway: Gateway, sandbox: SandboxServer
) -> None:
    order = placed(engine)
    with time_machine.travel(now() + timedelta(hours=1), tick=True):
        sandbox.control("advance", seconds=3600)
        assert sweep(engine, gateway) == [("open", "expired")]
    assert state(engine, order) == "expired"
    assert left(engine) == 10


def test_erased_order_without_a_checkout_expires(
    engine: Engine, gateway: Gateway, sandbox: SandboxServer
) -> None:
    order = placed(engine)
    with Session(engine) as session:
        writing(session)
        orders.erase(session, [session.get_one(Order, order.id)], [])
        session.commit()
    with time_machine.travel(now() + timedelta(hours=1), tick=True):
        sandbox.control("advance", seconds=3600)
        assert sweep(engine, gateway) == [("open", "expired")]
    assert left(engine) == 10


def test_checkout_is_made_without_an_address_that_stripe_refuses(
    engine: Engine, gateway: Gateway, sandbox: SandboxServer
) -> None:
    order, url = opened(engine, gateway, "maria@example。com")
    assert checkouts.open_checkout(engine, gateway, order, BASE).url == url
    sandbox.pay(url)
    assert settlement.settle(engine, gateway, order.id, "event") == "paid"
    assert len(list(gateway.checkouts(order.created_at - timedelta(hours=1)))) == 1


def test_payment_link_with_an_orders_reference_does_not_pay_it(
    engine: Engine, gateway: Gateway, sandbox: SandboxServer
) -> None:
    """Source: https://docs.stripe.com/payment-links/url-parameters."""
    order = placed(engine)  # it has no checkout yet
    pen = {"currency": "usd", "unit_amount": 100, "product_data": {"name": "A pen"}}
    link = sandbox.client().v1.checkout.sessions.create(
        {
            "mode": "payment",
            "line_items": [{"quantity": 1, "price_data": cast(Any, pen)}],
            "success_url": BASE,
            "client_reference_id": order.token,
        }
    )
    sandbox.pay(str(link.url))
    assert matching.order_of_checkout(engine, gateway, gateway.retrieve(link.id)) is None
    older(engine)
    sweep(engine, gateway)
    assert state(engine, order) == "open"
    with Session(engine) as session:
        assert session.get_one(Order, order.id).session_id not in (None, link.id)


def test_order_stays_open_during_an_outage_of_stripe(
    engine: Engine, gateway: Gateway, sandbox: SandboxServer
) -> None:
    order, url = opened(engine, gateway)
    sandbox.pay(url)
    older(engine)
    sandbox.control("fault", kind="500", method="GET", times=50)
    assert sweep(engine, gateway) == []
    sandbox.control("clear_faults")
    assert sweep(engine, gateway) == [("open", "paid")]
    assert state(engine, order) == "paid"


def test_cancel_finds_a_payment_made_meanwhile(
    engine: Engine, gateway: Gateway, sandbox: SandboxServer
) -> None:
    order, url = opened(engine, gateway)
    sandbox.pay(url)
    assert checkouts.cancel(engine, gateway, order, BASE, "buyer") == "paid"
    other, _ = opened(engine, gateway, "other@example.com")
    assert checkouts.cancel(engine, gateway, other, BASE, "buyer") == "canceled"
    assert left(engine) == 9


def test_event_is_processed_and_marked_done(
    engine: Engine, gateway: Gateway, sandbox: SandboxServer
) -> None:
    order, url = opened(engine, gateway)
    sandbox.pay(url)
    for _ in range(2):
        receive(engine, order)
    EventConsumer(engine, gateway, BASE).work()
    assert state(engine, order) == "paid"
    with Session(engine) as session:
        event = session.scalars(select(StripeEvent)).one()
        assert event.done_at is not None
        assert ledger.events(session, order)[-1].cause == "event evt_1"


def test_event_is_kept_until_stripe_answers(
    engine: Engine, gateway: Gateway, sandbox: SandboxServer
) -> None:
    order, url = opened(engine, gateway)
    sandbox.pay(url)
    receive(engine, order)
    sandbox.control("fault", kind="500", method="GET", times=1)
    settler = EventConsumer(engine, gateway, BASE)
    settler.work()
    assert state(engine, order) == "open"
    with Session(engine) as session:
        event = session.scalars(select(StripeEvent)).one()
        assert event.done_at is None
        assert event.error
        session.execute(update(StripeEvent).values(due_at=now()))
        session.commit()
    settler.work()
    assert state(engine, order) == "paid"


def test_event_of_another_site_has_no_effect(engine: Engine, gateway: Gateway) -> None:
    stranger = placed(engine)
    stranger.session_id = "cs_test_of_someone_else"
    receive(engine, stranger)
    EventConsumer(engine, gateway, BASE).work()
    with Session(engine) as session:
        assert session.scalars(select(StripeEvent)).one().done_at is not None
    assert state(engine, stranger) == "open"


def test_hundred_duplicate_events_enroll_once(
    engine: Engine, gateway: Gateway, sandbox: SandboxServer
) -> None:
    order, url = opened(engine, gateway)
    sandbox.pay(url)
    for number in range(100):
        receive(engine, order, number)
    settlers = [EventConsumer(engine, gateway, BASE) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda settler: settler.work(), settlers))
    with Session(engine) as session:
        undone = select(func.count()).where(StripeEvent.done_at.is_(None))
        assert session.scalar(undone) == 0
    assert (count(engine, Enrollment), count(engine, Message)) == (1, 2)


NAMELESS = "refused: parameter_invalid_empty (line_items[0][price_data][product_data][name])"


def refused(engine: Engine, gateway: Gateway) -> Order:
    """Return an order that Stripe refuses a checkout for, because its item has no name."""
    order = placed(engine)
    with Session(engine, expire_on_commit=False) as session:
        session.execute(update(Order).values(item=""))
        session.commit()
        order = session.get_one(Order, order.id)
    with pytest.raises(PaymentsRefused, match="parameter_invalid_empty"):
        checkouts.open_checkout(engine, gateway, order, BASE)
    return order


def end(engine: Engine, order: Order) -> tuple[str, str]:
    """Return the kind and reason of an order's last event."""
    with Session(engine) as session:
        last = ledger.events(session, order)[-1]
    return last.kind, last.reason


def test_order_refused_by_stripe_can_be_canceled_at_once(engine: Engine, gateway: Gateway) -> None:
    order = refused(engine, gateway)
    assert checkouts.cancel(engine, gateway, order, BASE, "buyer") == "canceled"
    assert end(engine, order) == ("canceled", NAMELESS)
    assert left(engine) == 10


def test_order_refused_by_stripe_expires_after_its_time(engine: Engine, gateway: Gateway) -> None:
    order = refused(engine, gateway)
    older(engine)
    early = Sweep(engine, gateway, BASE, "a test")
    assert list(early.run()) == []  # the buyer may try again
    (said,) = early.left
    assert said.startswith(f"order {order.id}: {NAMELESS}")
    with time_machine.travel(now() + timedelta(minutes=36), tick=True):
        late = Sweep(engine, gateway, BASE, "a test")
        assert [drift.after for drift in late.run()] == ["expired"]
    assert late.left == []
    assert end(engine, order) == ("expired", NAMELESS)
    assert left(engine) == 10


def test_order_of_the_other_mode_cannot_be_canceled(engine: Engine, gateway: Gateway) -> None:
    """Its checkout may be open in the other mode, which this key cannot see."""
    order = placed(engine)
    with Session(engine, expire_on_commit=False) as session:
        session.execute(update(Order).values(mode="live"))
        session.commit()
        order = session.get_one(Order, order.id)
    with pytest.raises(PaymentsRefused, match="other_mode"):
        checkouts.cancel(engine, gateway, order, BASE, "buyer")
    assert state(engine, order) == "open"
