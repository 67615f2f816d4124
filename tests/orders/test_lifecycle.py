"""Orders and seats as stored by SQLite and PostgreSQL."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session

from crossroads.admin import order_record
from crossroads.content import Cohort
from crossroads.orders import ledger, seats
from crossroads.orders import lifecycle as orders
from crossroads.orders.checkout import placement
from crossroads.orders.checkout.holds import TooManyHeld
from crossroads.orders.checkout.placement import HasOpenCheckout, OrderError, SoldOut
from crossroads.orders.checkout.requests import HALF, key
from crossroads.orders.lifecycle import ForeignCheckout
from models import (
    ConsentEvent,
    Enrollment,
    Hold,
    Message,
    Order,
    OrderEvent,
    Waiting,
    now,
    writing,
)
from models.order import OrderEventKind
from tests.support.orders import (
    COHORT,
    COURSE,
    LIMITS,
    SMALL,
    checkout,
    left,
    paid,
    place,
    take_seats,
    with_checkout,
)


@pytest.fixture
def session(engine: Engine) -> Iterator[Session]:
    with Session(engine) as session:
        yield session


def kinds(session: Session, order: Order) -> list[str]:
    return [event.kind for event in ledger.events(session, order)]


def test_placing_an_order_holds_seats_and_copies_the_price(session: Session) -> None:
    order = place(session, number=3)
    assert left(session) == 7
    assert (order.unit_amount, order.currency) == (COURSE.price.amount, COURSE.price.currency)
    assert order.amount == 3 * COURSE.price.amount
    assert COURSE.title in order.item
    assert ledger.balance_of(session, order).state == "open"


def test_hold_outlasts_the_checkout_and_both_have_a_limit(session: Session) -> None:
    order = place(session)
    hold = session.get_one(Hold, order.id)
    # Long enough for a clock that is 4 minutes slow.
    assert order.session_until > now() + timedelta(minutes=34)
    assert hold.until > order.session_until + timedelta(minutes=5)
    assert hold.until < now() + timedelta(hours=1)  # the limit for a buyer who leaves


def test_same_request_key_returns_the_same_order(session: Session) -> None:
    first = place(session, request_key="key")
    assert place(session, request_key="key") is first
    assert left(session) == 9


def test_changed_form_or_token_selects_the_order_to_replace(session: Session) -> None:
    first = place(session, request_key=key("f1", "1"), number=8)
    with pytest.raises(HasOpenCheckout) as caught:  # its own seats count as free
        place(session, request_key=key("f1", "2"), number=10, email="other@example.com")
    assert caught.value.order is first
    with pytest.raises(HasOpenCheckout) as caught:
        place(session, request_key=key("f2", "1"), number=10, replaced=first.token)
    assert caught.value.order is first
    orders.end(session, first, OrderEventKind.CANCELED, "buyer")
    second = place(session, request_key=key("f1", "2"), number=10)
    assert second is not first
    orders.end(session, second, OrderEventKind.CANCELED, "buyer")
    again = place(session, request_key=key("f1", "1"), number=8)  # the first form again
    assert again is not first
    assert place(session, request_key=key("f1", "1"), number=8) is again
    assert left(session) == 2


def test_same_address_alone_does_not_replace_an_order(session: Session) -> None:
    first = place(session, request_key=key("f1", "1"))
    second = place(session, request_key=key("f2", "1"), replaced="x", email="MARIA@example.com")
    assert second is not first
    assert {ledger.balance_of(session, one).state for one in (first, second)} == {"open"}
    assert left(session) == 8


def test_order_in_another_course_is_not_replaced(session: Session) -> None:
    other = COURSE.model_copy(update={"slug": "another"})
    first = place(session, course=other)
    assert place(session, replaced=first.token) is not first


def test_order_for_too_many_seats_is_refused_with_the_seats_left(session: Session) -> None:
    place(session, number=8)
    with pytest.raises(SoldOut) as caught:
        place(session, email="late@example.com", number=3)
    assert caught.value.left == 2


def test_seats_held_per_network_are_limited_across_addresses(session: Session) -> None:
    for number in range(3):
        place(session, COHORT, email=f"p{number}@example.com", network="192.0.2.1", number=4)
    for number in (4, 12):
        with pytest.raises(TooManyHeld):
            place(session, COHORT, email="m@example.com", network="192.0.2.1", number=number)
    place(session, COHORT, email="m@example.com", network="192.0.2.1", number=3)
    with pytest.raises(TooManyHeld):  # in any cohort
        place(session, COURSE.cohorts[1], email="n@example.com", network="192.0.2.1")
    place(session, COHORT, email="elsewhere@example.com", network="198.51.100.1")


def test_seats_held_per_address_are_limited_across_networks(session: Session) -> None:
    first = place(session, COHORT, number=6)
    for number in (5, 18):
        with pytest.raises(TooManyHeld):
            place(session, COHORT, email="MARIA@example.com", number=number)
    second = place(session, COHORT, number=4)
    with pytest.raises(TooManyHeld):
        place(session, COURSE.cohorts[1])
    with pytest.raises(HasOpenCheckout):  # the replaced order no longer counts
        place(session, COHORT, number=6, replaced=first.token)
    for order in (first, second):
        orders.end(session, order, OrderEventKind.CANCELED, "buyer")
    place(session, COHORT, number=10)


def test_seats_with_a_pending_payment_do_not_count_as_held(session: Session) -> None:
    """A bank debit takes days: an office that pays so could not order anything else meanwhile."""
    office: dict[str, Any] = {"cohort": COHORT, "network": "192.0.2.1"}
    for number in (6, 4):
        order = with_checkout(session, number=number, **office)
        with pytest.raises(TooManyHeld):
            place(session, number=7, **office)
        on_its_way = checkout(order, status="complete")
        assert orders.fulfill(session, order.id, on_its_way, "event evt_1") == "pending"
    place(session, number=10, **office)
    assert left(session, COHORT) == COHORT.seats - 20
    with pytest.raises(TooManyHeld):
        place(session, number=1, **office)


def test_request_key_does_not_reveal_the_typed_fields() -> None:
    typed = "2027-01\x001\0Maria\0maria@example.com"
    ours, theirs = key("form 1", typed), key("form 2", typed)
    assert ours[HALF:] != theirs[HALF:]
    assert ours[:HALF] != theirs[:HALF]
    assert key("form 1", typed) == ours
    assert key("form 1", typed + "x")[:HALF] == ours[:HALF]


def test_paid_order_enrolls_and_queues_receipt_and_welcome(session: Session) -> None:
    order = with_checkout(session, number=2)
    assert orders.fulfill(session, order.id, paid(order), "event evt_1") == "paid"
    seated = orders.enrollments(session, order)
    assert [(one.seat, one.email, one.name) for one in seated] == [
        (1, "maria@example.com", "Maria"),
        (2, None, ""),
    ]
    assert left(session) == 8
    assert session.scalar(select(func.count()).select_from(Hold)) == 0
    assert set(session.scalars(select(Message.kind))) == {"receipt", "enrolled"}
    found = ledger.events(session, order)
    assert [event.kind for event in found] == ["placed", "paid"]
    assert (found[-1].cause, found[-1].amount_total) == ("event evt_1", order.amount)
    assert order.payment_intent == f"pi_{order.token}"


def test_second_fulfillment_changes_nothing(session: Session) -> None:
    order = with_checkout(session)
    for cause in ("event", "order page", "sweep"):
        assert orders.fulfill(session, order.id, paid(order), cause) == "paid"
    assert kinds(session, order) == ["placed", "paid"]
    assert len(session.scalars(select(Message)).all()) == 2


def test_concurrent_fulfillments_enroll_once(engine: Engine) -> None:
    with Session(engine, expire_on_commit=False) as session:
        writing(session)
        order = with_checkout(session, number=2)
        session.commit()

    def fulfill(number: int) -> str:
        with Session(engine) as session:
            writing(session)
            state = orders.fulfill(session, order.id, paid(order), f"caller {number}")
            session.commit()
            return state

    with ThreadPoolExecutor(10) as pool:
        assert set(pool.map(fulfill, range(100))) == {"paid"}
    with Session(engine) as session:
        assert session.scalar(select(func.count(Enrollment.id))) == 2
        assert session.scalar(select(func.count(Message.id))) == 2
        query = select(func.count(OrderEvent.id)).where(OrderEvent.kind == "paid")
        assert session.scalar(query) == 1


def placed_at_once(engine: Engine, buyers: int, **given: Callable[[int], object]) -> int:
    """Return how many concurrent buyers got an order; `given` makes fields of a buyer's number."""

    def buy(number: int) -> bool:
        with Session(engine) as session:
            writing(session)
            try:
                asked: dict[str, Any] = {name: value(number) for name, value in given.items()}
                place(session, email=f"buyer{number}@example.com", **asked)
            except (OrderError, TooManyHeld):
                session.rollback()
                return False
            session.commit()
            return True

    with ThreadPoolExecutor(12) as pool:
        return sum(pool.map(buy, range(buyers)))


def test_concurrent_buyers_get_exactly_the_seats_of_the_cohort(engine: Engine) -> None:
    assert placed_at_once(engine, 50) == 10
    with Session(engine) as session:
        assert left(session) == 0
        assert session.scalar(select(func.sum(Hold.seats))) == 10


def test_concurrent_orders_of_one_network_keep_its_limit(engine: Engine) -> None:
    def cohort(number: int) -> Cohort:
        return COURSE.cohorts[number % len(COURSE.cohorts)]

    got = placed_at_once(engine, 24, cohort=cohort, network=lambda _: "192.0.2.1")
    assert got == LIMITS.per_network


@pytest.mark.parametrize(
    ("ending", "state"),
    [
        ({"status": "expired"}, "expired"),
        ({"status": "complete", "failed": True}, "failed"),
    ],
)
def test_order_that_ends_unpaid_releases_its_seats(
    session: Session, ending: dict[str, Any], state: str
) -> None:
    order = with_checkout(session, number=4)
    assert left(session) == 6
    for _ in range(2):
        assert orders.fulfill(session, order.id, checkout(order, **ending), "event") == state
    assert left(session) == 10
    place(session)  # the buyer may order again


def test_pending_payment_keeps_the_seat_without_enrolling(session: Session) -> None:
    order = with_checkout(session)
    waiting = checkout(order, status="complete")
    assert orders.fulfill(session, order.id, waiting, "event") == "pending"
    assert left(session) == 9
    assert orders.enrollments(session, order) == []
    assert orders.fulfill(session, order.id, paid(order), "event") == "paid"
    assert len(orders.enrollments(session, order)) == 1


def test_order_with_a_100_percent_code_enrolls_without_a_payment(session: Session) -> None:
    order = with_checkout(session)
    free = paid(order, payment_intent=None, amount_discount=order.amount, amount_total=0)
    assert orders.fulfill(session, order.id, free, "event") == "paid"
    assert len(orders.enrollments(session, order)) == 1


@pytest.mark.parametrize(
    "other",
    [
        {"reference": "someone-else"},
        {"id": "cs_test_other"},
        {"currency": "EUR"},
    ],
)
def test_checkout_of_another_order_is_refused(session: Session, other: dict[str, Any]) -> None:
    order = with_checkout(session)
    with pytest.raises(ForeignCheckout):
        orders.fulfill(session, order.id, paid(order, **other), "event")
    assert kinds(session, order) == ["placed"]


def test_amounts_sold_by_stripe_are_stored_even_if_they_differ(session: Session) -> None:
    order = with_checkout(session, number=2)
    sold = paid(
        order, quantity=3, amount_subtotal=9_000, amount_discount=900, amount_tax=81,
        amount_total=8_181,
    )  # fmt: skip
    assert orders.fulfill(session, order.id, sold, "event") == "paid"
    record = order_record.load(session, order)
    assert record.paid is not None and record.drift and not record.tax_included
    assert (record.paid.amount_subtotal, record.paid.amount_discount) == (9_000, 900)
    assert (record.paid.amount_tax, record.paid.amount_total) == (81, 8_181)
    assert record.paid.stripe_id == orders.paid_session(session, order) == sold.id
    assert len(record.enrollments) == 2


def test_discount_and_tax_are_no_drift(session: Session) -> None:
    order = with_checkout(session)
    taxed = paid(order, amount_discount=900, amount_tax=500, amount_total=order.amount - 400)
    orders.fulfill(session, order.id, taxed, "event")
    assert not order_record.load(session, order).drift


@pytest.mark.parametrize(
    "other", [{"reference": "someone-else"}, {"made_for": "someone-else"}, {"made_for": None}]
)
def test_foreign_checkout_is_not_attached(session: Session, other: dict[str, Any]) -> None:
    order = place(session)
    placement.attach(session, order.id, checkout(order, **other))
    assert order.session_id is None


def test_older_checkout_state_does_not_overwrite_a_newer_one(session: Session) -> None:
    order = with_checkout(session)
    orders.fulfill(session, order.id, paid(order), "event 2")
    assert orders.fulfill(session, order.id, checkout(order), "event 1") == "paid"
    assert orders.fulfill(session, order.id, checkout(order, status="expired"), "x") == "paid"


def test_late_payment_without_free_seats_requests_a_refund(session: Session) -> None:
    order = with_checkout(session)
    take_seats(session, order)
    orders.fulfill(session, order.id, paid(order), "event")
    orders.fulfill(session, order.id, paid(order), "sweep")
    assert kinds(session, order) == ["placed", "paid", "unseated", "refund"]
    balance = ledger.balance_of(session, order)
    assert (balance.state, balance.asked, balance.left) == ("unseated", order.amount, 0)
    assert orders.enrollments(session, order) == []
    assert list(session.scalars(select(Message.kind))) == ["unseated"]
    assert session.scalars(select(Waiting)).one().waits
    assert list(session.scalars(select(ConsentEvent.kind))) == ["paid-to-wait"]


@pytest.mark.parametrize("ending", ["expired", "failed", "canceled"])
def test_late_payment_enrolls_while_seats_are_free(session: Session, ending: str) -> None:
    order = with_checkout(session, number=2)
    orders.end(session, order, OrderEventKind(ending), "sweep")
    assert left(session) == 10
    assert orders.fulfill(session, order.id, paid(order), "event") == "paid"
    assert len(orders.enrollments(session, order)) == 2
    assert left(session) == 8


def test_late_payment_for_more_seats_than_are_free_takes_no_seat(session: Session) -> None:
    order = with_checkout(session, number=2)
    orders.end(session, order, OrderEventKind.EXPIRED, "sweep")
    place(session, email="other@example.com", number=9)
    assert orders.fulfill(session, order.id, paid(order), "event") == "unseated"
    assert left(session) == 1


def test_cancellation_ends_an_open_order_but_not_a_paid_one(session: Session) -> None:
    order = with_checkout(session)
    orders.end(session, order, OrderEventKind.CANCELED, "buyer")
    assert left(session) == 10
    other = with_checkout(session)
    orders.fulfill(session, other.id, paid(other), "event")
    orders.end(session, other, OrderEventKind.CANCELED, "buyer")
    assert kinds(session, other) == ["placed", "paid"]


def test_reserved_held_and_paid_seats_all_count_as_taken(session: Session) -> None:
    seats.reserve(session, COURSE, SMALL, 2)
    with_checkout(session, number=3)
    order = with_checkout(session, email="other@example.com", number=1)
    orders.fulfill(session, order.id, paid(order), "event")
    assert left(session) == 4
    with pytest.raises(seats.SeatsError, match="has 4 seats left"):
        seats.reserve(session, COURSE, SMALL, 5)


def test_open_and_pending_orders_are_unfinished(session: Session) -> None:
    done = with_checkout(session)
    orders.fulfill(session, done.id, paid(done), "event")
    waiting = with_checkout(session, email="other@example.com")
    orders.fulfill(session, waiting.id, checkout(waiting, status="complete"), "event")
    fresh = place(session, email="fresh@example.com")
    assert list(ledger.unfinished(session, now() + timedelta(seconds=1))) == [waiting.id, fresh.id]
    assert list(ledger.unfinished(session, fresh.created_at)) == [waiting.id]
