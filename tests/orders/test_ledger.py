"""The ledger: the sum of an order's events does not depend on the order of their arrival."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from crossroads.orders import disputes, ledger, refunds
from crossroads.orders import lifecycle as orders
from crossroads.orders.refunds import RefundError
from models import Hold, Message, Order, OrderEvent
from models.order import OrderEventKind, OrderState
from models.stripe_words import RefundStatus
from tests.support.order_states import dispute, refund
from tests.support.orders import COURSE, checkout, left, paid, take_seats, with_checkout
from tests.support.walks import examples, walk

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
    return OrderEvent(order_id=1, kind=OrderEventKind(kind), cause="test", **given)


PLACED = row("placed")
PAID = row("paid", amount_total=TOTAL)


def refund_rows(subject: str, amount: int, seats: int, statuses: list[str]) -> list[OrderEvent]:
    asked = row("refund", subject=subject, status="asked", amount=amount, seats=seats)
    seen = [row("refund", subject=subject, status=one, amount=amount) for one in statuses]
    return [asked, *seen]


def dispute_rows(subject: str, statuses: list[str]) -> list[OrderEvent]:
    return [row("dispute", subject=subject, status=one, amount=TOTAL) for one in statuses]


# Sequences that are possible at Stripe, oldest first.
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
    """Draw the events of an order of three seats, oldest first."""
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
    for statuses in draw(st.lists(DISPUTES, max_size=1)):
        for one in dispute_rows("du_second", statuses):
            one.kind, one.stripe_id = OrderEventKind.DUPLICATE_DISPUTE, "pi_2"
            rows.append(one)
    return rows


@walk
@settings(max_examples=examples(300, 80), deadline=None)
@given(history=histories(), data=st.data())
def test_balance_ignores_the_order_of_arrival_and_duplicates(
    history: list[OrderEvent], data: st.DataObject
) -> None:
    arrived = data.draw(st.permutations(history))
    arrived = [*arrived, *data.draw(st.lists(st.sampled_from(history), max_size=5))]
    # The database keeps one event for each of these keys.
    kept = {(one.kind, one.subject, one.status): one for one in arrived}
    assert ledger.balance(SEATS, kept.values()) == ledger.balance(SEATS, history)


@walk
@settings(max_examples=examples(200, 60), deadline=None)
@given(history=histories())
def test_seat_needs_a_payment_that_was_not_fully_refunded(history: list[OrderEvent]) -> None:
    found = ledger.balance(SEATS, history)
    assert 0 <= found.seats <= SEATS
    if found.access != "none":
        assert PAID in history and found.returned < found.total
        assert found.state in ("paid", "partly-refunded", "disputed", "dispute-won")
    assert (found.access == "paused") is (found.state == "disputed" and found.seats > 0)


DUE = datetime(2026, 12, 24, tzinfo=UTC)
News = Callable[[Session, Order], object]  # processes one message from Stripe


def of_checkout(**given: Any) -> News:
    return lambda session, order: orders.fulfill(
        session, order.id, checkout(order, **given), "test"
    )


def of_payment(session: Session, order: Order) -> None:
    orders.fulfill(session, order.id, paid(order), "test")


def of_refund(reference: str | None, id: str, status: str, amount: int) -> News:  # noqa: A002
    if status == RefundStatus.REFUSED:
        return lambda session, order: refunds.record_refusal(
            session, order, str(reference), "no", "test"
        )
    return lambda session, order: refunds.record_status(
        session, order, refund(order, id=id, reference=reference, status=status, amount=amount),
        "test",
    )  # fmt: skip


def of_dispute(id: str, status: str) -> News:  # noqa: A002
    return lambda session, order: disputes.record_status(
        session, order, dispute(order, id=id, status=status, due_by=DUE), "test"
    )


TO_THE_END = {
    "at once": [],
    "later": [of_checkout(status="complete")],
    "never": [of_checkout(status="complete"), of_checkout(status="complete", failed=True)],
    "not in time": [of_checkout(status="expired")],
}


def told(session: Session, order: Order, news: list[News]) -> ledger.Balance:
    """Process the messages, check the stored state against a replay, and return the balance."""
    for one in news:
        one(session, order)
    replayed = ledger.balance(order.seats, ledger.events(session, order))
    assert (order.state, order.seats_kept) == (replayed.state, replayed.seats)
    held = session.get(Hold, order.id)
    assert left(session) <= 10 - replayed.seats - (held.seats if held else 0)
    return replayed


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_stored_state_is_equal_to_a_replay_of_all_events(
    session: Session, data: st.DataObject
) -> None:
    """Messages from Stripe arrive in order, then shuffled and twice: the result is the same."""
    session.rollback()  # discards the rest of an interrupted example
    order = with_checkout(session, number=SEATS)
    if data.draw(st.integers(0, 3)) == 0:
        take_seats(session, order)  # a payment is now too late
    paying = list(TO_THE_END[data.draw(st.sampled_from(sorted(TO_THE_END)))])
    if data.draw(st.integers(0, 4)):
        paying.append(of_payment)
    asks = data.draw(st.booleans())
    course = data.draw(REFUNDS)
    said: list[News] = []
    for number, statuses in enumerate(data.draw(st.lists(REFUNDS, max_size=2))):
        amount = data.draw(st.sampled_from([1, COURSE.price.amount, TOTAL]))
        seen = (one for one in statuses if one != RefundStatus.REFUSED)
        said += [of_refund(None, f"re_{number}", status, amount) for status in seen]
    for number, statuses in enumerate(data.draw(st.lists(DISPUTES, max_size=1))):
        said += [of_dispute(f"du_{number}", status) for status in statuses]

    def lived(arrange: Callable[[list[News]], list[News]]) -> ledger.Balance:
        savepoint = session.begin_nested()
        found = told(session, order, arrange(paying))
        if asks and found.refundable:
            refunds.request(session, order.id, "desk", seats=1, amount=None)
        ours = [
            of_refund(one.reference, "re_ours", status, one.amount)
            for one in ledger.balance_of(session, order).refunds
            for status in course
        ]
        if found.paid:
            found = told(session, order, arrange([*ours, *said]))
        enrolled = len(orders.enrollments(session, order))
        unseated = any(one.kind == "unseated" for one in ledger.events(session, order))
        assert enrolled == (SEATS if found.paid and not unseated else 0)
        savepoint.rollback()
        session.refresh(order)
        return found

    in_order = lived(lambda news: news)
    assert lived(lambda news: data.draw(st.permutations(news * 2))) == in_order


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
def test_dispute_pauses_restores_and_ends_access(
    session: Session, status: str, state: str, access: str, seats: int
) -> None:
    order = bought(session)
    disputes.record_status(session, order, dispute(order, status="warning_needs_response"), "event")
    disputes.record_status(session, order, dispute(order, status=status), "event")
    found = ledger.balance_of(session, order)
    assert (found.state, found.access, found.seats) == (state, access, seats)
    assert left(session) == 10 - seats


def test_refund_of_one_seat_releases_that_seat_only(session: Session) -> None:
    order = bought(session)
    reference = refunds.request(session, order.id, "desk", seats=1, amount=None)
    assert left(session) == 7  # not released before Stripe has made the refund
    made = refund(order, reference=reference, amount=COURSE.price.amount)
    refunds.record_status(session, order, made, "desk")
    found = ledger.balance_of(session, order)
    assert (found.state, found.seats, found.returned) == ("partly-refunded", 2, made.amount)
    assert left(session) == 8
    refunds.record_status(session, order, replace(made, status="failed"), "event")
    assert (order.state, order.seats_kept, left(session)) == ("paid", 3, 7)


def test_refund_of_an_amount_releases_seats_only_when_all_is_refunded(session: Session) -> None:
    order = bought(session)
    refunds.record_status(session, order, refund(order, amount=TOTAL - 1), "event")
    assert (order.state, order.seats_kept) == ("partly-refunded", 3)
    refunds.record_status(session, order, refund(order, amount=1), "event")
    assert (order.state, order.seats_kept) == ("refunded", 0)
    assert left(session) == 10


def test_buyer_gets_one_mail_per_refund_and_one_when_it_fails(session: Session) -> None:
    order = bought(session)
    made = refund(order, amount=5, status="pending")
    for status in ("pending", "succeeded", "succeeded", "failed"):
        refunds.record_status(session, order, replace(made, status=status), "event")
    refunds.record_status(session, order, refund(order, amount=5, status="failed"), "event")
    kinds = list(session.scalars(select(Message.kind).order_by(Message.id)))
    assert kinds == ["receipt", "enrolled", "refund", "refund-failed"]


@pytest.mark.parametrize("status", ["canceled", "failed"])
def test_refund_that_failed_before_its_mail_causes_no_mail(session: Session, status: str) -> None:
    order = bought(session)
    reference = refunds.request(session, order.id, "desk", seats=None, amount=5)
    made = refund(order, amount=5, reference=reference, status=status)
    for one in (made, replace(made, status="succeeded"), replace(made, status="pending")):
        refunds.record_status(session, order, one, "event")
    assert list(session.scalars(select(Message.kind).order_by(Message.id))) == [
        "receipt", "enrolled",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("status", "state"), [("needs_response", "disputed"), ("lost", OrderState.DISPUTE_LOST)]
)
def test_refund_that_fails_in_a_dispute_causes_no_mail(
    session: Session, status: str, state: str
) -> None:
    order = bought(session)
    made = refund(order, amount=COURSE.price.amount)
    refunds.record_status(session, order, made, "event")
    disputes.record_status(session, order, dispute(order, status=status), "event")
    failure = "charge_for_pending_refund_disputed"
    refunds.record_status(
        session, order, replace(made, status="failed", failure_reason=failure), "event"
    )
    kinds = list(session.scalars(select(Message.kind).order_by(Message.id)))
    assert kinds == ["receipt", "enrolled", "refund"]
    found = ledger.balance_of(session, order)
    assert (found.state, found.seats) == (state, 0 if state == OrderState.DISPUTE_LOST else SEATS)
    assert refunds.failed(session) == [order.id]
    assert not found.refundable


def test_dispute_after_a_full_refund_changes_no_seats(
    session: Session,
) -> None:
    order = bought(session)
    refunds.record_status(session, order, refund(order), "event")
    for status, state in (("needs_response", "disputed"), ("won", "refunded")):
        disputes.record_status(session, order, dispute(order, status=status), "event")
        found = ledger.balance_of(session, order)
        assert (found.state, found.access, found.seats) == (state, "none", 0)
    assert left(session) == 10


def test_won_dispute_does_not_restore_a_refunded_seat(session: Session) -> None:
    order = bought(session)
    reference = refunds.request(session, order.id, "desk", seats=1, amount=None)
    made = refund(order, reference=reference, amount=COURSE.price.amount)
    refunds.record_status(session, order, made, "desk")
    for status, state, access in (
        ("needs_response", "disputed", "paused"),
        ("won", "partly-refunded", "given"),
    ):
        disputes.record_status(session, order, dispute(order, status=status), "event")
        found = ledger.balance_of(session, order)
        assert (found.state, found.access, found.seats) == (state, access, 2)
    assert left(session) == 8


def test_second_refund_is_refused_until_the_first_is_answered(session: Session) -> None:
    order = bought(session)
    refunds.request(session, order.id, "desk", seats=None, amount=100)
    assert not ledger.balance_of(session, order).refundable
    with pytest.raises(RefundError, match=r"a refund of \$1 waits for Stripe's answer"):
        refunds.request(session, order.id, "desk", seats=None, amount=100)


def test_late_buyer_gets_a_mail_when_the_refund_fails(session: Session) -> None:
    order = with_checkout(session)
    take_seats(session, order)
    orders.fulfill(session, order.id, paid(order), "event")
    (asked,) = ledger.balance_of(session, order).refunds
    made = refund(order, reference=asked.reference)
    for status in ("pending", "succeeded", "failed", "failed"):
        refunds.record_status(session, order, replace(made, status=status), "event")
    kinds = list(session.scalars(select(Message.kind).order_by(Message.id)))
    assert kinds == ["unseated", "refund-failed"]
    assert (order.state, ledger.balance_of(session, order).left) == ("unseated", order.amount)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"seats": 4}, "has 3 seats to refund"),
        ({"seats": 0}, "has 3 seats"),
        ({"amount": TOTAL + 1}, r"\$3,600 is left"),
        ({"amount": 0}, "is left"),
    ],
)
def test_refund_of_more_than_is_left_is_refused(
    session: Session, asked: dict[str, int], said: str
) -> None:
    order = bought(session)
    given: dict[str, Any] = {"seats": None, "amount": None, **asked}
    with pytest.raises(RefundError, match=said):
        refunds.request(session, order.id, "desk", **given)


def test_refund_is_refused_if_requested_already_or_not_paid(
    session: Session,
) -> None:
    order = bought(session)
    refunds.request(session, order.id, "desk", seats=None, amount=None)
    with pytest.raises(RefundError, match="the full payment is refunded already"):
        refunds.request(session, order.id, "desk", seats=None, amount=None)
    other = with_checkout(session, email="other@example.com")
    with pytest.raises(RefundError, match="not paid"):
        refunds.request(session, other.id, "desk", seats=None, amount=None)


def test_refund_of_a_discounted_seat_is_its_share_of_the_payment(session: Session) -> None:
    order = bought(session, amount_discount=1000, amount_total=TOTAL - 1000)
    found = ledger.balance_of(session, order)
    share = refunds.price(order, found, 1, None)
    assert share == ((TOTAL - 1000) // 3, 1)
    assert refunds.price(order, found, 3, None) == (TOTAL - 1000, 3)
    refunds.record_status(session, order, refund(order, amount=share[0]), "event")
    assert (
        refunds.price(order, ledger.balance_of(session, order), 3, None)[0]
        == TOTAL - 1000 - share[0]
    )


def test_free_order_cannot_be_refunded(session: Session) -> None:
    order = bought(session, amount_discount=TOTAL, amount_total=0, payment_intent=None)
    assert (order.state, order.seats_kept) == ("paid", 3)
    with pytest.raises(RefundError, match="nothing had to be paid"):
        refunds.request(session, order.id, "desk", seats=None, amount=None)


def test_order_is_found_by_its_payment_and_unsettled_while_pending(session: Session) -> None:
    order = bought(session)
    assert orders.find_by_payment(session, order.payment_intent) is order
    assert orders.find_by_payment(session, "pi_duplicate") is None
    assert orders.find_by_payment(session, None) is None
    assert ledger.unsettled(session) == []
    refunds.record_status(session, order, refund(order, amount=1, status="pending"), "event")
    assert ledger.unsettled(session) == [order.id]
