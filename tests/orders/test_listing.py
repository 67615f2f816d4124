"""The lists of orders and seats, and the sales figures of the dashboard, on both databases."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from secrets import token_hex

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, update
from sqlalchemy.orm import Session

from crossroads.admin import dashboard
from crossroads.content import load
from crossroads.fulfillment import webhook_events
from crossroads.orders import listing
from crossroads.orders.enrollment_listing import ENROLLMENTS, EnrollmentFilter, buyers
from crossroads.orders.listing import ORDERS, OrderFilter
from crossroads.payments import Event
from models import Message, Order, OrderEvent, StripeEvent, now, writing
from models.message import MessageState
from models.order import OrderEventKind
from tests.support.content_files import REAL
from tests.support.databases import opened, plans
from tests.support.order_states import COHORT, NARROW, SOLD, STATES, bring
from tests.support.orders import COURSE

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.fixture
def session(engine: Engine) -> Iterator[Session]:
    with Session(engine) as session:
        writing(session)
        yield session


def found(session: Session, **which: str) -> list[int]:
    return sorted(order.id for order in ORDERS.page(session, OrderFilter.of(**which)).rows)


def seats(session: Session, **which: str) -> list[tuple[int, int]]:
    shown = ENROLLMENTS.page(session, EnrollmentFilter.of(**which), sort="oldest")
    return [(one.order_id, one.seat) for one in shown.rows]


def hear(session: Session, order: Order, **given: object) -> str:
    """Store a webhook event about the order, and return its id."""
    event = Event(
        id=f"evt_{token_hex(8)}",
        kind="checkout.session.completed",
        object_id=str(order.session_id),
        live=False,
        created_at=now(),
    )
    webhook_events.receive(session, [event])
    if given:
        session.execute(update(StripeEvent).where(StripeEvent.id == event.id).values(**given))
    return event.id


def pay_at(session: Session, order: Order, at: datetime, total: int, currency: str = "USD") -> None:
    order.currency = currency
    session.execute(
        update(OrderEvent)
        .where(OrderEvent.order_id == order.id, OrderEvent.kind == OrderEventKind.PAID)
        .values(created_at=at, amount_total=total)
    )


def test_orders_are_filtered_by_state_and_shown_with_it(session: Session) -> None:
    made = {state: bring(session, state) for state in STATES}
    for state, order in made.items():
        assert found(session, state=state) == [order.id], state
    standings = listing.standings(session, list(made.values()))
    assert {state: standings[order.id].state for state, order in made.items()} == {
        state: state for state in STATES
    }
    assert {state for state in STATES if standings[made[state].id].paid} == set(SOLD)


def test_order_is_found_by_address_name_and_every_id(session: Session) -> None:
    order = bring(session, "paid", email="Maria.Silva@example.com", name="María Silva")
    other = bring(session, "paid", email="jonas@example.com", name="Jonas")
    event = hear(session, order)
    for term in (
        "silva@EX",
        "maría",
        str(order.id),
        f"#{order.id}",
        str(order.session_id),
        str(order.payment_intent),
        order.token,
        event,
        f"  {order.payment_intent} ",
    ):
        assert order.id in found(session, q=term), term
        assert other.id not in found(session, q=term), term
    assert found(session, q=str(order.payment_intent)[:-1]) == []
    assert found(session, q="evt_unknown") == []


def test_course_and_cohort_filter_both_lists(session: Session) -> None:
    other = COHORT.model_copy(update={"code": "elsewhen"})
    first = bring(session, "paid", number=2)
    second = bring(session, "paid", cohort=other)
    assert found(session, course=COURSE.slug) == [first.id, second.id]
    assert found(session, course=NARROW) == [first.id]
    assert found(session, course=f"{COURSE.slug}/elsewhen") == [second.id]
    assert found(session, course="no-such-course") == []
    assert seats(session, course=NARROW) == [(first.id, 1), (first.id, 2)]
    assert seats(session, course=f"{COURSE.slug}/elsewhen") == [(second.id, 1)]


def test_filters_are_combined(session: Session) -> None:
    order = bring(session, "paid", email="maria@example.com")
    bring(session, "open", email="maria@elsewhere.example")
    assert found(session, q="maria", state="paid", course=NARROW) == [order.id]
    assert found(session, q="maria", state="expired") == []
    assert len(found(session, q="maria", state="no state")) == 2


def test_pages_show_every_order_once_in_every_sort(session: Session) -> None:
    numbers = {bring(session, email=f"buyer{n % 9}@{n}.example").id for n in range(113)}
    session.execute(update(Order).values(created_at=NOON))  # so that only the id sorts them
    for sort in ORDERS.sorts:
        walked: list[int] = []
        shown = ORDERS.page(session, OrderFilter(), sort=sort)
        while True:
            walked += [order.id for order in shown.rows]
            assert shown.total == 113
            if shown.after is None:
                break
            shown = ORDERS.page(session, OrderFilter(), sort=sort, after=shown.after)
        assert len(walked) == 113, sort
        assert set(walked) == numbers, sort


def test_course_filter_offers_current_and_removed_cohorts(session: Session) -> None:
    bring(session, cohort=COHORT.model_copy(update={"code": "gone"}))
    choices = dict(listing.courses(session, load(REAL)))
    assert choices[COURSE.slug] == COURSE.title
    assert choices[NARROW].startswith(f"{COURSE.title}, ")
    assert choices[f"{COURSE.slug}/gone"] == f"{COURSE.slug}/gone"
    assert list(choices)[-1] == f"{COURSE.slug}/gone"


def test_seat_without_a_name_is_found_by_its_buyer(session: Session) -> None:
    order = bring(session, "paid", number=3, email="maria@example.com")
    bring(session, "paid", email="jonas@example.com")
    assert seats(session, q="MARIA") == [(order.id, 1), (order.id, 2), (order.id, 3)]
    shown = ENROLLMENTS.page(session, EnrollmentFilter.of(q="maria"))
    assert buyers(session, shown.rows) == {order.id: "maria@example.com"}


def test_list_of_seats_shows_only_paid_seats(session: Session) -> None:
    for state in STATES:
        bring(session, state)
    assert len(seats(session)) == 4  # paid, partly refunded, disputed, dispute won


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(text=st.text(st.characters(codec=None), max_size=300))
def test_search_accepts_any_text(session: Session, text: str) -> None:
    which = OrderFilter.of(q=text, state=text, course=text)
    assert ORDERS.page(session, which).rows == []
    which_seats = EnrollmentFilter.of(q=text, course=text)
    assert ENROLLMENTS.page(session, which_seats).rows == []


def test_sales_are_counted_per_week_and_summed_per_currency(session: Session) -> None:
    for age, total, currency in (
        (1, 120000, "USD"),
        (6.9, 5, "USD"),
        (2, 9000, "JPY"),
        (7.1, 777, "USD"),
        (15, 1, "USD"),
    ):
        order = bring(session, "paid")
        pay_at(session, order, NOON - timedelta(days=age), total, currency)
    bring(session, "open", number=3)
    bring(session, "pending")
    for state in ("expired", "canceled", "failed"):
        bring(session, state)
    sales = dashboard.sales(session, NOON)
    assert (sales.week, sales.week_before, sales.change) == (3, 1, 2)
    assert sales.revenue == {"USD": 120005, "JPY": 9000}
    assert (sales.open, sales.held, sales.enrolled, sales.unseated) == (2, 4, 5, 0)


def test_revenue_excludes_refunds_and_lost_disputes(session: Session) -> None:
    for state, total in (
        ("paid", 120_000), ("partly-refunded", 120_000), ("refunded", 120_000),
        ("dispute-lost", 120_000), ("disputed", 120_000),
    ):  # fmt: skip
        order = bring(session, state)
        pay_at(session, order, NOON - timedelta(days=1), total)
    assert dashboard.sales(session, NOON).revenue == {"USD": 300_000}


def test_payment_without_a_seat_is_counted_as_revenue_and_unseated(session: Session) -> None:
    order = bring(session, "unseated")
    pay_at(session, order, NOON - timedelta(hours=1), 500)
    sales = dashboard.sales(session, NOON)
    assert (sales.revenue, sales.enrolled, sales.unseated) == ({"USD": 500}, 0, 1)


def test_event_is_stuck_after_three_attempts_until_it_is_done(session: Session) -> None:
    order = bring(session)
    hear(session, order, attempts=2, error="APIError")
    assert dashboard.stuck(session) == (0, [])
    failing = hear(session, order, attempts=3, error="APIError")
    hear(session, order, attempts=9, done_at=now())
    session.add(StripeEvent(id="evt_other", kind="x", object_id="cs_other", attempts=4))
    session.flush()
    count, stuck = dashboard.stuck(session)
    assert count == 2
    assert {(one.event.id, one.order) for one in stuck} == {
        (failing, order.id),
        ("evt_other", None),
    }


def test_undelivered_mail_is_shown_by_role(session: Session) -> None:
    order = bring(session)
    session.add(
        Message(
            kind="receipt",
            recipient="b@example.com",
            address_hash="",
            order_id=order.id,
            state=MessageState.DEAD,
        )
    )
    session.add(
        Message(kind="confirm", recipient="l@example.com", address_hash="", state=MessageState.DEAD)
    )
    session.flush()

    def seen(**roles: bool) -> tuple[int, set[str]]:
        count, mails = dashboard.undelivered(session, **roles)
        return count, {mail.kind for mail in mails}

    assert seen(leads=True, orders=True) == (2, {"receipt", "confirm"})
    assert seen(leads=True, orders=False) == (1, {"confirm"})
    assert seen(leads=False, orders=True) == (1, {"receipt"})


@pytest.mark.parametrize(("leads", "orders"), [(True, True), (True, False), (False, True)])
def test_undelivered_mail_is_read_from_its_index(
    sqlite_url: str, leads: bool, orders: bool
) -> None:
    with opened(sqlite_url) as engine, Session(engine) as session:
        found = plans(session, lambda: dashboard.undelivered(session, leads=leads, orders=orders))
    assert len(found) == 2
    assert all("ix_message_dead" in plan for plan in found), found
