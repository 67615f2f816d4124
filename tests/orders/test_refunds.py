"""Refunds and disputes through the sandbox: webhook events, worker, sweep and failures."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from threading import Barrier
from typing import Any

import pytest
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from crossroads.fulfillment import repayments, settlement, webhook_events
from crossroads.orders import ledger, refunds
from crossroads.orders import lifecycle as orders
from crossroads.orders.checkout import placement
from crossroads.orders.ledger import Balance
from crossroads.payments import Gateway, PaymentsUnavailable
from crossroads.worker.event_consumer import EventConsumer
from models import Message, Order, StripeEvent, now, writing
from models.order import OrderEventKind
from tests.support.fulfillment import BASE, left, older, opened, sweep
from tests.support.orders import take_seats
from tests.support.sandbox_server import SandboxServer


def bought(engine: Engine, gateway: Gateway, sandbox: SandboxServer) -> tuple[Order, str]:
    """Return a paid order, and the id of its charge."""
    order, url = opened(engine, gateway)
    sandbox.pay(url)
    settlement.settle(engine, gateway, order.id, "test")
    order = fresh(engine, order)
    (charge,) = gateway.charges(str(order.payment_intent))
    return order, charge.id


def fresh(engine: Engine, order: Order) -> Order:
    with Session(engine, expire_on_commit=False) as session:
        return session.get_one(Order, order.id)


def balance(engine: Engine, order: Order) -> Balance:
    with Session(engine) as session:
        return ledger.balance_of(session, session.get_one(Order, order.id))


def mails(engine: Engine) -> list[str]:
    with Session(engine) as session:
        return list(session.scalars(select(Message.kind).order_by(Message.id)))


def ask(engine: Engine, order: Order, **given: int) -> str:
    with Session(engine) as session:
        writing(session)
        asked: dict[str, Any] = {"seats": None, "amount": None, **given}
        reference = refunds.request(session, order.id, "desk", **asked)
        session.commit()
    return reference


def hear(engine: Engine, gateway: Gateway, *, backwards: bool = False) -> None:
    """Store every event that Stripe lists, and process them as the worker does."""
    events = list(gateway.events(now() - timedelta(days=1)))
    with Session(engine) as session:
        writing(session)
        for event in events if backwards else events[::-1]:
            if event.kind in webhook_events.FOLLOWED:
                webhook_events.receive(session, [event])
        session.commit()
    EventConsumer(engine, gateway, BASE).work()
    with Session(engine) as session:
        undone = select(StripeEvent).where(StripeEvent.done_at.is_(None))
        assert session.scalars(undone).all() == []


def test_concurrent_refunds_of_one_payment_are_made_once(
    engine: Engine, gateway: Gateway, sandbox: SandboxServer
) -> None:
    order, _ = bought(engine, gateway, sandbox)
    start = Barrier(4)

    def refund(_number: int) -> str:
        start.wait()
        try:
            ask(engine, order)
        except refunds.RefundError:
            return "refused"
        repayments.settle_payment(engine, gateway, order.id, "desk")
        return "returned"

    with ThreadPoolExecutor(4) as pool:
        said = list(pool.map(refund, range(4)))
    assert sorted(said) == ["refused"] * 3 + ["returned"]
    assert [one.amount for one in gateway.refunds(str(order.payment_intent))] == [order.amount]
    found = balance(engine, order)
    assert (found.state, found.returned, found.seats) == ("refunded", order.amount, 0)
    assert mails(engine).count("refund") == 1


def test_requested_refund_is_made_once(
    engine: Engine, gateway: Gateway, sandbox: SandboxServer
) -> None:
    order, _ = bought(engine, gateway, sandbox)
    reference = ask(engine, order)
    assert balance(engine, order).asked == order.amount
    for cause in ("desk", "sweep"):
        assert repayments.settle_payment(engine, gateway, order.id, cause) == "refunded"
    (made,) = gateway.refunds(str(order.payment_intent))
    assert (made.reference, made.amount) == (reference, order.amount)
    assert reference == f"order-{order.token}-refund-1"
    assert left(engine) == 10
    assert mails(engine) == ["receipt", "enrolled", "refund"]


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("kind", ["reset", "500", "truncated"])
def test_refund_with_a_lost_response_is_found_and_not_repeated(
    engine: Engine, gateway: Gateway, sandbox: SandboxServer, kind: str, after: bool
) -> None:
    order, _ = bought(engine, gateway, sandbox)
    ask(engine, order, amount=100)
    sandbox.control("fault", kind=kind, method="POST", path="/v1/refunds", after=after)
    with pytest.raises(PaymentsUnavailable):
        repayments.settle_payment(engine, gateway, order.id, "desk")
    assert balance(engine, order).state == "paid"
    assert sweep(engine, gateway) == [("paid", "partly-refunded")]
    assert [one.amount for one in gateway.refunds(str(order.payment_intent))] == [100]
    assert sweep(engine, gateway) == []


@pytest.mark.parametrize("backwards", [False, True])
def test_dashboard_refund_is_recorded_in_any_order_of_events(
    engine: Engine, gateway: Gateway, sandbox: SandboxServer, backwards: bool
) -> None:
    order, charge = bought(engine, gateway, sandbox)
    sandbox.control("refund", id=charge, amount=700)
    hear(engine, gateway, backwards=backwards)
    found = balance(engine, order)
    assert (found.state, found.returned, found.seats) == ("partly-refunded", 700, 1)
    sandbox.control("refund", id=charge)
    hear(engine, gateway, backwards=backwards)
    assert balance(engine, order).state == "refunded"
    assert left(engine) == 10
    assert mails(engine)[2:] == ["refund", "refund"]


def test_failed_refund_restores_the_seat_of_the_buyer(
    engine: Engine, gateway: Gateway, sandbox: SandboxServer
) -> None:
    order, charge = bought(engine, gateway, sandbox)
    sandbox.control("refund", id=charge)
    hear(engine, gateway)
    (made,) = gateway.refunds(str(order.payment_intent))
    sandbox.control("fail_refund", id=made.id)
    hear(engine, gateway)
    found = balance(engine, order)
    assert (found.state, found.seats) == ("paid", 1)
    assert [(one.status, one.reason) for one in found.refunds] == [("failed", "unknown")]
    assert mails(engine) == ["receipt", "enrolled", "refund", "refund-failed"]


def test_refund_of_a_duplicate_payment_does_not_change_the_order(
    engine: Engine, gateway: Gateway, sandbox: SandboxServer
) -> None:
    order, _ = bought(engine, gateway, sandbox)
    again = gateway.create(replace(placement.purchase(order, BASE, "a-site"), key="again"))
    sandbox.pay(str(again.url))
    double = gateway.retrieve(again.id)
    assert double.reference == order.token
    (charge,) = gateway.charges(str(double.payment_intent))
    sandbox.control("refund", id=charge.id)
    hear(engine, gateway)
    assert balance(engine, order).state == "paid"
    assert balance(engine, order).refunds == []
    assert left(engine) == 9
    assert mails(engine) == ["receipt", "enrolled"]


def test_refund_of_one_order_does_not_change_the_buyers_other_order(
    engine: Engine, gateway: Gateway, sandbox: SandboxServer
) -> None:
    first, charge = bought(engine, gateway, sandbox)
    second, _ = bought(engine, gateway, sandbox)
    assert first.address_hash == second.address_hash
    sandbox.control("refund", id=charge)
    hear(engine, gateway)
    assert balance(engine, first).access == "none"
    assert (balance(engine, second).state, balance(engine, second).access) == ("paid", "given")
    assert left(engine) == 9


def test_dispute_pauses_access_and_a_win_restores_it(
    engine: Engine, gateway: Gateway, sandbox: SandboxServer
) -> None:
    order, charge = bought(engine, gateway, sandbox)
    sandbox.control("dispute", id=charge)
    hear(engine, gateway)
    found = balance(engine, order)
    assert (found.state, found.access, found.seats) == ("disputed", "paused", 1)
    (dispute,) = found.disputes
    assert dispute.due_at is not None and dispute.due_at > now()
    with pytest.raises(refunds.RefundError, match="disputed"):
        ask(engine, order)
    sandbox.control("win", id=dispute.stripe_id)
    hear(engine, gateway, backwards=True)
    assert (balance(engine, order).state, balance(engine, order).access) == ("dispute-won", "given")


def test_sweep_records_a_lost_dispute_without_a_webhook(
    engine: Engine, gateway: Gateway, sandbox: SandboxServer
) -> None:
    order, charge = bought(engine, gateway, sandbox)
    sandbox.control("dispute", id=charge)
    hear(engine, gateway)
    sandbox.control("lose_dispute", id=balance(engine, order).disputes[0].stripe_id)
    assert sweep(engine, gateway) == [("disputed", "dispute-lost")]
    assert balance(engine, order).access == "none"
    assert left(engine) == 10
    assert sweep(engine, gateway) == []


def test_refund_refused_by_stripe_is_recorded(
    engine: Engine, gateway: Gateway, sandbox: SandboxServer
) -> None:
    order, charge = bought(engine, gateway, sandbox)
    ask(engine, order)
    sandbox.control("dispute", id=charge)
    repayments.settle_payment(engine, gateway, order.id, "desk")
    found = balance(engine, order)
    assert [(one.status, one.reason) for one in found.refunds] == [("refused", "charge_disputed")]
    assert (found.state, found.left) == ("disputed", order.amount)


def test_late_payment_without_free_seats_is_refunded_automatically(
    engine: Engine, gateway: Gateway, sandbox: SandboxServer
) -> None:
    order, url = opened(engine, gateway)
    sandbox.pay(url)
    with Session(engine) as session:
        writing(session)
        take_seats(session, session.get_one(Order, order.id))
        session.commit()
    older(engine)
    assert sweep(engine, gateway) == [("open", "refunded")]
    order = fresh(engine, order)
    (made,) = gateway.refunds(str(order.payment_intent))
    assert (made.amount, made.reference) == (order.amount, f"order-{order.token}-refund-1")
    assert balance(engine, order).access == "none"
    assert mails(engine) == ["unseated"]
    assert sweep(engine, gateway) == []


@pytest.mark.parametrize("returned", [700, 120_000])
def test_late_payment_is_refunded_without_the_part_already_refunded(
    engine: Engine, gateway: Gateway, sandbox: SandboxServer, returned: int
) -> None:
    order, url = opened(engine, gateway)
    sandbox.pay(url)
    payment = str(gateway.retrieve(str(order.session_id)).payment_intent)
    (charge,) = gateway.charges(payment)
    sandbox.control("refund", id=charge.id, amount=returned)
    with Session(engine) as session:
        writing(session)
        take_seats(session, session.get_one(Order, order.id))
        session.commit()
    hear(engine, gateway)
    found = balance(engine, order)
    assert (found.state, found.returned, found.asked) == ("refunded", order.amount, 0)
    assert not any(one.failed for one in found.refunds)
    assert sum(one.amount for one in gateway.refunds(payment)) == order.amount
    assert sweep(engine, gateway) == []
    with Session(engine) as session:
        assert ledger.unsettled(session) == []


def test_late_payment_enrolls_while_a_seat_is_free(
    engine: Engine, gateway: Gateway, sandbox: SandboxServer
) -> None:
    order, url = opened(engine, gateway)
    with Session(engine) as session:
        writing(session)
        orders.end(session, ledger.lock(session, order.id), OrderEventKind.EXPIRED, "sweep")
        session.commit()
    sandbox.pay(url)
    hear(engine, gateway)
    assert balance(engine, order).state == "paid"
    assert left(engine) == 9
