"""Random histories of buyers, staff, banks and failures: a sweep then matches Stripe's state."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from random import Random

import pytest
from sqlalchemy import Engine, select, update
from sqlalchemy.orm import Session

from crossroads.content import CheckoutOptions
from crossroads.fulfillment import checkouts, repayments, webhook_events
from crossroads.orders import ledger, refunds
from crossroads.orders import lifecycle as orders
from crossroads.orders.checkout.placement import OrderError
from crossroads.orders.ledger import UNDECIDED
from crossroads.orders.refunds import RefundError
from crossroads.payments import Checkout, Gateway, PaymentsError
from crossroads.worker.event_consumer import EventConsumer
from models import Enrollment, Hold, Order, StripeEvent, now, writing
from tests.support.fulfillment import BASE, older, sweep
from tests.support.orders import COHORT as WIDE
from tests.support.orders import COURSE, place
from tests.support.sandbox_server import KEY, SandboxServer, fetch

STEPS = 150
COHORT = WIDE.model_copy(update={"seats": 3})
RECOVERING = COURSE.model_copy(update={"checkout": CheckoutOptions(recovery=True)})
CARDS = ("4242424242424242",) * 2 + ("4000000000007726", "4000000000005126")  # late or no refunds
ACCOUNTS = ("AT321904300235473204", "AT861904300235473202")  # one of them is empty
DAY = timedelta(days=1)


class World:
    """Stripe, the site's database, and the actions on both."""

    def __init__(self, engine: Engine, sandbox: SandboxServer, seed: int) -> None:
        self.engine = engine
        self.sandbox = sandbox
        self.gateway = Gateway(KEY, base=sandbox.url)
        self.random = Random(seed)

    def live(self, steps: int) -> None:
        """Do random actions, one after the other; ignore refused and failed ones."""
        does: Sequence[Callable[[], object]] = (
            self.buy, self.buy, self.pay, self.pay, self.pay, self.debit, self.end_debit,
            self.expire, self.cancel, self.take_up, self.take_up, self.return_at_stripe,
            self.return_at_desk, self.return_at_desk, self.fail_refund, self.dispute, self.decide,
            self.hear, self.hear, self.fail_next,
        )  # fmt: skip
        for _ in range(steps):
            with suppress(PaymentsError, OrderError, RefundError, AssertionError):
                self.random.choice(does)()

    def orders(self) -> Sequence[Order]:
        with Session(self.engine, expire_on_commit=False) as session:
            return session.scalars(select(Order).order_by(Order.id)).all()

    def some(self, found: Sequence[Order]) -> Order:
        assert found, "nothing to do it to"
        return self.random.choice(found)

    def one_of(self, kind: str, *states: str) -> str:
        """Return the id at Stripe of a random object of a kind in one of these states."""
        things = self.sandbox.state()[kind]
        found = [str(one["id"]) for one in things if one["status"] in states]
        assert found, "nothing to do it to"
        return self.random.choice(found)

    def buy(self) -> None:
        email = f"buyer{self.random.randint(1, 4)}@example.com"
        with Session(self.engine, expire_on_commit=False) as session:
            writing(session)
            number = self.random.choice((1, 1, 2))
            order = place(session, COHORT, RECOVERING, email=email, number=number)
            session.commit()
        checkouts.open_checkout(self.engine, self.gateway, order, BASE)

    def pay(self) -> None:
        opened = [one for one in self.orders() if one.session_url and one.state == "open"]
        self.sandbox.pay(str(self.some(opened).session_url), self.random.choice(CARDS))

    def debit(self) -> None:
        opened = [one for one in self.orders() if one.session_url and one.state == "open"]
        iban = self.random.choice(ACCOUNTS)
        self.sandbox.pay(str(self.some(opened).session_url), iban=iban)

    def end_debit(self) -> None:
        payment = self.one_of("payment_intents", "processing")
        self.sandbox.control(self.random.choice(("settle", "bounce")), id=payment)

    def expire(self) -> None:
        opened = [one for one in self.orders() if one.session_id]
        self.gateway.expire(str(self.some(opened).session_id))

    def cancel(self) -> None:
        checkouts.cancel(self.engine, self.gateway, self.some(self.orders()), BASE, "buyer")

    def take_up(self) -> None:
        """Pay a recovered copy of an expired checkout; each call makes a new copy."""
        ended = [one for one in self.orders() if (one.session_url or "").endswith("/recover")]
        copy = fetch(str(self.some(ended).session_url)).location
        account = {"iban": ACCOUNTS[0]} if self.random.random() < 0.3 else {}
        self.sandbox.pay(copy, self.random.choice(CARDS), **account)

    def return_at_stripe(self) -> None:
        part = {"amount": self.random.choice((700, 60_000))} if self.random.random() < 0.6 else {}
        self.sandbox.control("refund", id=self.one_of("charges", "succeeded"), **part)

    def return_at_desk(self) -> None:
        order = self.some(self.orders())
        seats, amount = self.random.choice(((None, None), (1, None), (None, 500), (None, 60_000)))
        with Session(self.engine) as session:
            writing(session)
            refunds.request(session, order.id, "desk", seats=seats, amount=amount)
            session.commit()
        repayments.settle_payment(self.engine, self.gateway, order.id, "desk")

    def fail_refund(self) -> None:
        self.sandbox.control("fail_refund", id=self.one_of("refunds", "pending", "succeeded"))

    def dispute(self) -> None:
        self.sandbox.control("dispute", id=self.one_of("charges", "succeeded"))

    def decide(self) -> None:
        dispute = self.one_of("disputes", "needs_response", "warning_needs_response")
        self.sandbox.control(self.random.choice(("win", "lose_dispute")), id=dispute)

    def hear(self) -> None:
        """Receive some of Stripe's events, in any order, some of them again."""
        events = list(self.gateway.events(now() - DAY, sorted(webhook_events.FOLLOWED)))
        with Session(self.engine) as session:
            writing(session)
            for event in self.random.sample(events, self.random.randint(0, len(events))):
                webhook_events.receive(session, [event])
            session.commit()
        EventConsumer(self.engine, self.gateway, BASE).work()

    def fail_next(self) -> None:
        self.sandbox.control(
            "fault",
            kind=self.random.choice(("500", "reset", "429", "truncated")),
            method=self.random.choice(("GET", "POST")),
            path="/v1/",
            after=self.random.random() < 0.5,
        )

    def calm_down(self) -> None:
        """End all faults, and sweep until a sweep finds nothing new."""
        self.sandbox.control("clear_faults")
        older(self.engine)
        with Session(self.engine) as session:
            session.execute(update(StripeEvent).values(due_at=now() - DAY))
            session.commit()
        for _ in range(5):
            if not sweep(self.engine, self.gateway):
                return
        assert sweep(self.engine, self.gateway) == []


@pytest.mark.parametrize("seed", [4, 7, 12])
def test_sweep_after_a_random_history_matches_stripes_state(
    engine: Engine, sandbox: SandboxServer, seed: int
) -> None:
    world = World(engine, sandbox, seed)
    world.live(STEPS)
    world.calm_down()
    checkouts = list(world.gateway.checkouts(now() - DAY))
    assert any(checkout.paid for checkout in checkouts)
    with Session(engine) as session:
        for order in session.scalars(select(Order)):
            paid = [one for one in checkouts if one.reference == order.token and one.paid]
            if paid:
                is_as_at_stripe(session, world.gateway, order, paid)
            assert_consistent(session, order, paid=bool(paid))


def is_as_at_stripe(
    session: Session, gateway: Gateway, order: Order, paid: Sequence[Checkout]
) -> None:
    """Assert that an order's refunds and disputes match Stripe, and duplicates are refunded."""
    balance = ledger.balance_of(session, order)
    payments = {order.payment_intent, *(one.reference for one in balance.duplicates)}
    assert payments == {one.payment_intent for one in paid}
    returned = sum(one.amount for one in gateway.refunds(order.payment_intent) if one.counts)
    assert (balance.returned, balance.asked) == (returned, 0)
    disputes = {one.id: one.status for one in gateway.disputes(order.payment_intent)}
    assert disputes == {one.stripe_id: one.status for one in balance.disputes}
    if returned == balance.total or "lost" in disputes.values():
        assert balance.kept == ()
    for twice in balance.duplicates:
        back = sum(one.amount for one in gateway.refunds(twice.reference) if one.counts)
        assert twice.failed or (back == twice.amount and twice.counts)


def assert_consistent(session: Session, order: Order, *, paid: bool) -> None:
    """Assert that an order is paid if its checkout is, and that stored totals match its ledger."""
    balance = ledger.balance_of(session, order)
    assert balance.paid == paid
    assert (session.get(Hold, order.id) is not None) == (balance.state in UNDECIDED)
    stored = (order.state, order.seats_kept, order.amount_returned)
    assert stored == (balance.state, balance.seats, balance.gone)
    seats = select(Enrollment.seat).where(
        Enrollment.order_id == order.id, Enrollment.kept.is_(True), Enrollment.ended_at.is_(None)
    )
    assert sorted(session.scalars(seats)) == sorted(balance.kept)
    assert orders.find(session, order.token) is order
