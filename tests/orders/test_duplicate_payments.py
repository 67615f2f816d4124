"""Copies of an expired checkout: the first paid one counts, further payments are refunded.

Source: https://docs.stripe.com/payments/checkout/abandoned-carts.
"""

from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session

from crossroads.admin import order_record
from crossroads.content import CheckoutOptions
from crossroads.fulfillment import checkouts, settlement, webhook_events
from crossroads.fulfillment.reconciliation import Sweep
from crossroads.orders import disputes, ledger
from crossroads.orders import lifecycle as orders
from crossroads.orders.ledger import Balance
from crossroads.orders.lifecycle import ForeignCheckout
from crossroads.payments import Event, Gateway
from crossroads.worker.event_consumer import EventConsumer
from models import Cohort, Enrollment, Message, Order, OrderEvent, db, now, writing
from models.base import AnySession
from tests.support.desk_visits import desk
from tests.support.order_states import bring
from tests.support.orders import COURSE, paid, place
from tests.support.purchases import (
    bought,
    buttons,
    course_file,
    heading,
    order_page,
    refresh,
    words,
)
from tests.support.sandbox_server import KEY, SandboxServer, fetch

BASE = "http://localhost"
RECOVERING = COURSE.model_copy(update={"checkout": CheckoutOptions(recovery=True)})


@pytest.fixture
def gateway(sandbox: SandboxServer) -> Gateway:
    return Gateway(KEY, base=sandbox.url)


@pytest.fixture
def shop(make_app: Any, sandbox: SandboxServer, site_root: Path) -> Flask:
    """The site with a course whose expired checkouts can be recovered."""
    course_file(site_root, "recovery")
    built: Flask = make_app(root=site_root, stripe_api_base=sandbox.url)
    return built


def run_out(shop: Flask, client: FlaskClient, sandbox: SandboxServer) -> Order:
    """Return an order whose checkout has expired, as its page already shows."""
    with shop.app_context(), Session(db.engine) as session:
        order, _ = bought(client, session)
    sandbox.client().v1.checkout.sessions.expire(str(order.session_id))
    assert heading(order_page(client, order)) == "This order has expired"
    return order


def debited(order: Order, sandbox: SandboxServer, iban: str) -> str:
    """Recover the checkout, pay from a bank account, and return the id of the payment."""
    copy = fetch(f"{sandbox.url}/pay/{order.session_id}/recover").location
    sandbox.pay(copy, iban=iban)
    (intent,) = sandbox.state()["payment_intents"]
    return str(intent["id"])


def expired(engine: Engine, gateway: Gateway, number: int = 2) -> Order:
    """Return an order whose checkout has expired and can be recovered."""
    with Session(engine, expire_on_commit=False) as session:
        writing(session)
        order = place(session, course=RECOVERING, number=number)
        session.commit()
    gateway.expire(checkouts.open_checkout(engine, gateway, order, BASE).id)
    assert settlement.settle(engine, gateway, order.id, "event") == "expired"
    with Session(engine) as session:
        return session.get_one(Order, order.id)


def copied(order: Order, sandbox: SandboxServer, number: str = "4242424242424242") -> str:
    """Recover the checkout, pay, and return the id of the copy."""
    address = fetch(str(order.session_url)).location
    sandbox.pay(address, number)
    return address.rpartition("/")[2]


def hear(engine: Engine, gateway: Gateway, *copies: str) -> None:
    """Process the completion events of these copies, each twice."""
    for number, copy in enumerate(copies * 2):
        event = Event(
            id=f"evt_{number}",
            kind="checkout.session.completed",
            object_id=copy,
            live=False,
            created_at=now(),
        )
        with Session(engine) as session:
            writing(session)
            webhook_events.receive(session, [event])
            session.commit()
    EventConsumer(engine, gateway, BASE).work()


def balance(engine: Engine, order: Order) -> Balance:
    with Session(engine) as session:
        return ledger.balance_of(session, order)


def count(session: AnySession, kind: str) -> int:
    return session.scalar(select(func.count(Message.id)).where(Message.kind == kind)) or 0


def test_payment_of_a_copy_enrolls_while_seats_are_left(
    engine: Engine, gateway: Gateway, sandbox: SandboxServer
) -> None:
    order = expired(engine, gateway)
    copy = copied(order, sandbox)
    hear(engine, gateway, copy)
    found = balance(engine, order)
    assert (found.state, found.seats, found.duplicates) == ("paid", 2, [])
    with Session(engine) as session:
        assert orders.paid_session(session, order) == copy != order.session_id
        assert count(session, "receipt") == 1


def test_payment_of_a_copy_is_refunded_when_no_seat_is_left(
    engine: Engine, gateway: Gateway, sandbox: SandboxServer
) -> None:
    order = expired(engine, gateway)
    copy = copied(order, sandbox)
    with Session(engine) as session:
        session.scalars(select(Cohort)).one().seats = 1
        session.commit()
    hear(engine, gateway, copy)
    found = balance(engine, order)
    assert (found.state, found.seats, found.returned) == ("refunded", 0, order.amount)


def test_second_payment_is_refunded_and_the_first_is_kept(
    engine: Engine, gateway: Gateway, sandbox: SandboxServer
) -> None:
    order = expired(engine, gateway)
    first, second = copied(order, sandbox), copied(order, sandbox)
    hear(engine, gateway, first, second)
    found = balance(engine, order)
    assert (found.state, found.seats, found.gone) == ("paid", 2, 0)
    (twice,) = found.duplicates
    assert (twice.status, twice.amount) == ("succeeded", order.amount)
    (refund,) = gateway.refunds(twice.reference)
    assert refund.amount == order.amount
    with Session(engine) as session:
        kept = session.get_one(Order, order.id)
        assert list(gateway.refunds(str(kept.payment_intent))) == []
        assert kept.amount_returned == 0
        assert session.scalar(select(func.count(Enrollment.id))) == 2
        assert (count(session, "receipt"), count(session, "refund")) == (1, 1)
        assert ledger.unsettled(session) == []


def test_copy_of_a_copy_belongs_to_the_order(
    engine: Engine, gateway: Gateway, sandbox: SandboxServer
) -> None:
    order = expired(engine, gateway)
    between = gateway.expire(fetch(str(order.session_url)).location.rpartition("/")[2])
    address = fetch(str(between.recovery_url)).location
    sandbox.pay(address)
    hear(engine, gateway, address.rpartition("/")[2])
    assert balance(engine, order).state == "paid"


def test_sweep_finds_copies_whose_webhooks_were_lost(
    engine: Engine, gateway: Gateway, sandbox: SandboxServer
) -> None:
    order = expired(engine, gateway)
    for _ in range(2):
        copied(order, sandbox)
    drifts = list(Sweep(engine, gateway, BASE, "one").run())
    assert {drift.order for drift in drifts} == {order.id}
    found = balance(engine, order)
    assert (found.state, [one.status for one in found.duplicates]) == ("paid", ["succeeded"])
    assert list(Sweep(engine, gateway, BASE, "two").run()) == []


@pytest.mark.parametrize("after", [False, True])
def test_second_payment_is_refunded_once_despite_a_server_error(
    engine: Engine, gateway: Gateway, sandbox: SandboxServer, after: bool
) -> None:
    order = expired(engine, gateway)
    copies = [copied(order, sandbox) for _ in range(2)]
    sandbox.control("fault", kind="500", method="POST", after=after)
    hear(engine, gateway, *copies)
    list(Sweep(engine, gateway, BASE, "one").run())
    (twice,) = balance(engine, order).duplicates
    assert twice.status == "succeeded"
    assert len(list(gateway.refunds(twice.reference))) == 1


def test_only_the_rest_is_refunded_after_a_partial_refund_by_staff(
    engine: Engine, gateway: Gateway, sandbox: SandboxServer
) -> None:
    order = expired(engine, gateway)
    first, second = copied(order, sandbox), copied(order, sandbox)
    payment = str(gateway.retrieve(second).payment_intent)
    (charge,) = gateway.charges(payment)
    sandbox.control("refund", id=charge.id, amount=700)
    hear(engine, gateway, first, second)
    (twice,) = balance(engine, order).duplicates
    assert (twice.reference, twice.status, twice.amount) == (payment, "succeeded", order.amount)
    assert sorted(one.amount for one in gateway.refunds(payment)) == [700, order.amount - 700]
    with Session(engine) as session:
        assert count(session, "refund") == 1
        mail = session.scalars(select(Message).where(Message.kind == "refund")).one()
        event = session.get_one(OrderEvent, mail.order_event_id)
        assert event.amount == order.amount


def test_failed_refund_of_a_second_payment_is_reported_by_mail(
    engine: Engine, gateway: Gateway, sandbox: SandboxServer
) -> None:
    order = expired(engine, gateway)
    hear(engine, gateway, copied(order, sandbox), copied(order, sandbox))
    refund = next(gateway.refunds(balance(engine, order).duplicates[0].reference))
    sandbox.control("fail_refund", id=refund.id)
    assert settlement.settle(engine, gateway, order.id, "event") == "paid"
    (twice,) = balance(engine, order).duplicates
    assert twice.failed
    with Session(engine) as session:
        assert (count(session, "refund"), count(session, "refund-failed")) == (1, 1)


@pytest.mark.parametrize("inquiry", [False, True])
def test_dispute_of_a_second_payment_does_not_change_the_first(
    engine: Engine, gateway: Gateway, sandbox: SandboxServer, inquiry: bool
) -> None:
    order = expired(engine, gateway)
    hear(engine, gateway, copied(order, sandbox), copied(order, sandbox))
    payment = balance(engine, order).duplicates[0].reference
    (charge,) = gateway.charges(payment)
    sandbox.control("dispute", id=charge.id, **({"inquiry": True} if inquiry else {}))
    for _ in range(2):  # without its webhook
        list(Sweep(engine, gateway, BASE, "one").run())
    found = balance(engine, order)
    assert (found.state, found.access, found.seats) == ("paid", "given", 2)
    assert found.disputes == []
    (dispute,) = found.open_disputes
    assert (dispute.duplicate, dispute.inquiry, dispute.wants_answer) == (payment, inquiry, True)
    with Session(engine) as session:
        (case,) = disputes.open_cases(session)
        assert (case.order.id, case.dispute.due_at) == (order.id, dispute.due_at)
        assert dispute.due_at is not None
        assert ledger.unsettled(session) == [order.id]
    sandbox.control("win", id=dispute.stripe_id)
    list(Sweep(engine, gateway, BASE, "one").run())
    with Session(engine) as session:
        assert disputes.open_cases(session) == []
        assert [case.dispute.duplicate for case in disputes.closed_cases(session)] == [payment]
        assert ledger.unsettled(session) == []


def test_failed_bank_debit_of_a_copy_is_reported_once(
    engine: Engine, gateway: Gateway, sandbox: SandboxServer
) -> None:
    order = expired(engine, gateway)
    address = fetch(str(order.session_url)).location
    sandbox.pay(address, iban="AT861904300235473202")
    copy = address.rpartition("/")[2]
    hear(engine, gateway, copy)
    assert balance(engine, order).state == "expired"
    sandbox.control("bounce", id=gateway.retrieve(copy).payment_intent)
    for _ in range(2):
        list(Sweep(engine, gateway, BASE, "one").run())
    assert balance(engine, order).state == "expired"
    with Session(engine) as session:
        assert count(session, "failed") == 1
    paid_in_the_end = copied(order, sandbox)
    assert settlement.settle(engine, gateway, order.id, "x", copy_id=paid_in_the_end) == "paid"


def test_free_copy_needs_no_refund(engine: Engine) -> None:
    with Session(engine) as session:
        writing(session)
        order = bring(session, "paid")
        free = paid(order, id="cs_copy", recovered_from=order.session_id, payment_intent=None)
        orders.fulfill(session, order.id, free, "event")
        assert ledger.balance_of(session, order).duplicates == []


def test_checkout_that_is_not_a_copy_is_refused(engine: Engine) -> None:
    with Session(engine) as session:
        writing(session)
        order = bring(session, "paid")
        with pytest.raises(ForeignCheckout):
            orders.fulfill(session, order.id, paid(order, id="cs_other"), "event")


def test_second_payment_is_in_no_sum_and_is_found_with_its_order(engine: Engine) -> None:
    with Session(engine) as session:
        writing(session)
        order = bring(session, "paid", number=2)
        before = ledger.balance_of(session, order)
        again = paid(order, id="cs_2", recovered_from=order.session_id, payment_intent="pi_2")
        for _ in range(2):
            orders.fulfill(session, order.id, again, "event")
        after = order_record.load(session, order).balance
        assert (after.total, after.left, after.seats) == (before.total, before.left, before.seats)
        assert [one.reference for one in after.duplicates] == ["pi_2"]
        assert orders.find_by_payment(session, "pi_2") is order
        assert ledger.unsettled(session) == [order.id]


@pytest.mark.usefixtures("one_day")
def test_page_of_an_expired_order_offers_a_copy_and_shows_its_payment(
    shop: Flask, sandbox: SandboxServer
) -> None:
    client = shop.test_client()
    order = run_out(shop, client, sandbox)
    page = order_page(client, order)
    assert "We hold no seat for it" in words(page)
    address = f"{sandbox.url}/pay/{order.session_id}/recover"
    assert f'href="{address}"' in page
    for _ in range(2):
        sandbox.pay(fetch(address).location)
    assert "You're in" in words(order_page(client, order))  # before any webhook
    with shop.app_context():
        list(Sweep(db.engine, Gateway(KEY, base=sandbox.url), BASE, "one").run())
    record = words(desk(shop).get(f"/admin/orders/{order.id}").text)
    assert "Paid twice: the second payment of $1,200 USD was refunded" in record
    assert "The first payment and the seats are not affected." in record
    assert "Second payment of $1,200 USD, its refund: done" in record


@pytest.mark.usefixtures("one_day")
def test_page_of_a_pending_copy_offers_no_second_payment(
    shop: Flask, sandbox: SandboxServer
) -> None:
    client = shop.test_client()
    order = run_out(shop, client, sandbox)
    payment = debited(order, sandbox, "AT321904300235473204")
    page = order_page(client, order)
    assert heading(page) == "Your payment is on its way"
    assert "we hold no seat for it" in words(page)
    assert (buttons(page), "/recover" in page, refresh(page)) == (
        [], False, f"120;url=/orders/{order.token}"
    )  # fmt: skip
    sandbox.control("settle", id=payment)
    assert heading(order_page(client, order)) == "You're in"


@pytest.mark.usefixtures("one_day")
def test_page_of_a_failed_copy_offers_another_one(shop: Flask, sandbox: SandboxServer) -> None:
    client = shop.test_client()
    order = run_out(shop, client, sandbox)
    payment = debited(order, sandbox, "AT861904300235473202")
    sandbox.control("bounce", id=payment)
    page = order_page(client, order)
    assert heading(page) == "This order has expired"
    assert "/recover" in page
