"""The ledger: what an order's events add up to, whatever the order in which they come."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from crossroads import disputes, ledger, orders, refunds
from crossroads.refunds import RefundError
from models import Message, Order, OrderEvent
from tests.order_states import dispute, refund
from tests.test_orders import COURSE, left, paid, take_seats, with_checkout

SEATS = 3
TOTAL = SEATS * COURSE.price.amount


@pytest.fixture
def session(engine: Engine) -> Iterator[Session]:
    with Session(engine) as session:
        yield session


def bought(session: Session, number: int = SEATS, **given: Any) -> Order:
    order = with_checkout(session, number=number)
    orders.fulfill(session, order.id, paid(order, **given), "event")
    return order


def row(kind: str, **given: Any) -> OrderEvent:
    return OrderEvent(order_id=1, kind=kind, cause="test", **given)


PLACED = row("placed")
PAID = row("paid", amount_total=TOTAL)


def refund_rows(subject: str, amount: int, seats: int, statuses: list[str]) -> list[OrderEvent]:
    asked = row("refund", subject=subject, status="asked", amount=amount, seats=seats)
    seen = [row("refund", subject=subject, status=one, amount=amount) for one in statuses]
    return [asked, *seen]


def dispute_rows(subject: str, statuses: list[str]) -> list[OrderEvent]:
    return [row("dispute", subject=subject, status=one, amount=TOTAL) for one in statuses]


# What can truly happen, in the order in which it happens at Stripe.
REFUNDS = st.sampled_from(
    [
        [],
        ["refused"],
        ["pending"],
        ["succeeded"],
        ["pending", "succeeded"],
        ["pending", "failed"],
        ["succeeded", "failed"],
        ["pending", "requires_action", "succeeded"],
        ["pending", "requires_action", "canceled"],
    ]
)
DISPUTES = st.sampled_from(
    [
        ["warning_needs_response"],
        ["warning_needs_response", "warning_under_review", "warning_closed"],
        ["warning_needs_response", "needs_response", "lost"],
        ["needs_response"],
        ["needs_response", "under_review"],
        ["needs_response", "under_review", "won"],
        ["needs_response", "lost"],
        ["needs_response", "lost", "appeal_under_review", "won"],
    ]
)
ENDS = st.sampled_from([[], ["pending"], ["expired"], ["pending", "failed"], ["canceled"]])


@st.composite
def histories(draw: st.DrawFn) -> list[OrderEvent]:
    """Draw what happened to an order of three seats, oldest first."""
    rows = [PLACED, *(row(kind) for kind in draw(ENDS))]
    if draw(st.integers(0, 9)) == 0:
        return rows
    rows.append(PAID)
    if draw(st.integers(0, 4)) == 0:
        rows.append(row("unseated"))
    for number, statuses in enumerate(draw(st.lists(REFUNDS, max_size=3))):
        amount = draw(st.sampled_from([1, COURSE.price.amount, TOTAL]))
        seats = draw(st.integers(0, SEATS))
        rows += refund_rows(f"refund-{number}", amount, seats, statuses)
    for number, statuses in enumerate(draw(st.lists(DISPUTES, max_size=2))):
        rows += dispute_rows(f"du_{number}", statuses)
    return rows


@settings(max_examples=300, deadline=None)
@given(history=histories(), data=st.data())
def test_order_of_arrival_and_duplicates_change_nothing(
    history: list[OrderEvent], data: st.DataObject
) -> None:
    arrived = data.draw(st.permutations(history))
    arrived = [*arrived, *data.draw(st.lists(st.sampled_from(history), max_size=5))]
    # The database keeps one of each: what the rows are unique by.
    kept = {(one.kind, one.subject, one.status): one for one in arrived}
    assert ledger.balance(SEATS, kept.values()) == ledger.balance(SEATS, history)


@settings(max_examples=200, deadline=None)
@given(history=histories())
def test_nobody_has_a_seat_whose_money_is_not_here(history: list[OrderEvent]) -> None:
    found = ledger.balance(SEATS, history)
    assert 0 <= found.seats <= SEATS
    if found.access != "none":
        assert PAID in history and found.returned < found.total
        assert found.state in ("paid", "partly-refunded", "disputed", "dispute-won")
    assert (found.access == "paused") is (found.state == "disputed" and found.seats > 0)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_what_is_stored_is_what_a_replay_from_zero_adds_up_to(
    session: Session, data: st.DataObject
) -> None:
    """Drive a stored order with what Stripe says, late, twice and in any order."""
    session.rollback()  # of an example that was given up half-way
    order = bought(session)
    said: list[Any] = []
    for number, statuses in enumerate(data.draw(st.lists(REFUNDS, max_size=2))):
        amount = data.draw(st.sampled_from([1, COURSE.price.amount, TOTAL]))
        said += [
            refund(order, id=f"re_{number}", amount=amount, status=status)
            for status in statuses
            if status != "refused"
        ]
    for number, statuses in enumerate(data.draw(st.lists(DISPUTES, max_size=1))):
        said += [dispute(order, id=f"du_{number}", status=status) for status in statuses]
    ends = []
    for arrived in (said, data.draw(st.permutations(said * 2))):
        savepoint = session.begin_nested()
        for one in arrived:
            learn = disputes.learn if hasattr(one, "charge") else refunds.learn
            learn(session, order, one, "test")
        replayed = ledger.balance(order.seats, ledger.events(session, order))
        assert (order.state, order.seats_kept) == (replayed.state, replayed.seats)
        ends.append(replayed)
        savepoint.rollback()
        session.refresh(order)
    assert ends[0] == ends[1]


@pytest.mark.parametrize(
    ("status", "state", "access", "seats"),
    [
        ("warning_needs_response", "paid", "given", 3),
        ("needs_response", "disputed", "paused", 3),
        ("under_review", "disputed", "paused", 3),
        ("won", "dispute-won", "given", 3),
        ("lost", "dispute-lost", "none", 0),
    ],
)
def test_dispute_pauses_restores_and_revokes(
    session: Session, status: str, state: str, access: str, seats: int
) -> None:
    order = bought(session)
    disputes.learn(session, order, dispute(order, status="warning_needs_response"), "event")
    disputes.learn(session, order, dispute(order, status=status), "event")
    found = ledger.of(session, order)
    assert (found.state, found.access, found.seats) == (state, access, seats)
    assert left(session) == 10 - seats


def test_refund_of_seats_takes_those_and_no_more(session: Session) -> None:
    order = bought(session)
    reference = refunds.ask(session, order.id, "desk", seats=1, amount=None)
    assert left(session) == 7  # until Stripe has made it
    made = refund(order, reference=reference, amount=COURSE.price.amount)
    refunds.learn(session, order, made, "desk")
    found = ledger.of(session, order)
    assert (found.state, found.seats, found.returned) == ("partly-refunded", 2, made.amount)
    assert left(session) == 8
    refunds.learn(session, order, replace(made, status="failed"), "event")
    assert (order.state, order.seats_kept, left(session)) == ("paid", 3, 7)


def test_amount_takes_no_seat_until_it_is_all(session: Session) -> None:
    order = bought(session)
    refunds.learn(session, order, refund(order, amount=TOTAL - 1), "event")
    assert (order.state, order.seats_kept) == ("partly-refunded", 3)
    refunds.learn(session, order, refund(order, amount=1), "event")
    assert (order.state, order.seats_kept) == ("refunded", 0)
    assert left(session) == 10


def test_buyer_is_told_once_of_each_refund_and_once_that_it_failed(session: Session) -> None:
    order = bought(session)
    made = refund(order, amount=5, status="pending")
    for status in ("pending", "succeeded", "succeeded", "failed"):
        refunds.learn(session, order, replace(made, status=status), "event")
    refunds.learn(session, order, refund(order, amount=5, status="failed"), "event")
    kinds = list(session.scalars(select(Message.kind).order_by(Message.id)))
    assert kinds == ["receipt", "enrolled", "refund", "refund-failed"]


@pytest.mark.parametrize("status", ["canceled", "failed"])
def test_refund_that_came_to_nothing_before_the_buyer_heard_of_it_is_told_to_nobody(
    session: Session, status: str
) -> None:
    order = bought(session)
    reference = refunds.ask(session, order.id, "desk", seats=None, amount=5)
    made = refund(order, amount=5, reference=reference, status=status)
    for one in (made, replace(made, status="succeeded"), replace(made, status="pending")):
        refunds.learn(session, order, one, "event")
    assert list(session.scalars(select(Message.kind).order_by(Message.id))) == [
        "receipt", "enrolled",
    ]  # fmt: skip


def test_whose_money_came_too_late_is_told_when_it_cannot_be_returned(session: Session) -> None:
    order = with_checkout(session)
    take_seats(session, order)
    orders.fulfill(session, order.id, paid(order), "event")
    (asked,) = ledger.of(session, order).refunds
    made = refund(order, reference=asked.reference)
    for status in ("pending", "succeeded", "failed", "failed"):
        refunds.learn(session, order, replace(made, status=status), "event")
    kinds = list(session.scalars(select(Message.kind).order_by(Message.id)))
    assert kinds == ["unseated", "refund-failed"]
    assert (order.state, ledger.of(session, order).left) == ("unseated", order.amount)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"seats": 4}, "has 3 seats to give back"),
        ({"seats": 0}, "has 3 seats"),
        ({"amount": TOTAL + 1}, r"\$3,600 is left"),
        ({"amount": 0}, "is left"),
    ],
)
def test_more_than_there_is_cannot_be_asked_for(
    session: Session, asked: dict[str, int], said: str
) -> None:
    order = bought(session)
    given: dict[str, Any] = {"seats": None, "amount": None, **asked}
    with pytest.raises(RefundError, match=said):
        refunds.ask(session, order.id, "desk", **given)


def test_second_refund_of_the_same_money_is_refused_before_stripe_is_asked(
    session: Session,
) -> None:
    order = bought(session)
    refunds.ask(session, order.id, "desk", seats=None, amount=None)
    with pytest.raises(RefundError, match="nothing is left"):
        refunds.ask(session, order.id, "desk", seats=None, amount=None)
    other = with_checkout(session, email="other@example.com")
    with pytest.raises(RefundError, match="not paid"):
        refunds.ask(session, other.id, "desk", seats=None, amount=None)


def test_seat_after_a_discount_is_returned_for_its_share(session: Session) -> None:
    order = bought(session, amount_discount=1000, amount_total=TOTAL - 1000)
    found = ledger.of(session, order)
    share = refunds.price(order, found, 1, None)
    assert share == ((TOTAL - 1000) // 3, 1)
    assert refunds.price(order, found, 3, None) == (TOTAL - 1000, 3)
    refunds.learn(session, order, refund(order, amount=share[0]), "event")
    assert refunds.price(order, ledger.of(session, order), 3, None)[0] == TOTAL - 1000 - share[0]


def test_free_order_has_nothing_to_return(session: Session) -> None:
    order = bought(session, amount_discount=TOTAL, amount_total=0, payment_intent=None)
    assert (order.state, order.seats_kept) == ("paid", 3)
    with pytest.raises(RefundError, match="nothing had to be paid"):
        refunds.ask(session, order.id, "desk", seats=None, amount=None)


def test_order_is_found_by_its_own_payment_until_all_is_settled(session: Session) -> None:
    order = bought(session)
    assert orders.by_payment(session, order.payment_intent) is order
    assert orders.by_payment(session, "pi_duplicate") is None
    assert orders.by_payment(session, None) is None
    assert ledger.unsettled(session) == []
    refunds.learn(session, order, refund(order, amount=1, status="pending"), "event")
    assert ledger.unsettled(session) == [order.id]
