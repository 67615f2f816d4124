"""Orders and seats in the admin area: lists, records and notices."""

import html
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest
from flask import Flask
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from models import Enrollment, Message, Order, OrderEvent, StripeEvent, db, now
from models.message import MessageState
from tests.support.desk_visits import desk
from tests.support.order_states import NARROW, STATES, add_orders, bring
from tests.support.orders import COURSE
from tests.support.production import SELLING

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
ROW = re.compile(r'<tr>\s*<td class="address">(.*?)</td>', re.S)
PATHS = ("/admin/orders", "/admin/orders/1", "/admin/enrollments")


@pytest.fixture
def session(app: Flask) -> Iterator[Session]:
    with app.app_context(), Session(db.engine, expire_on_commit=False) as session:
        yield session


def emails(page: str) -> list[str]:
    return [html.unescape(found.replace("<wbr>", "")) for found in ROW.findall(page)]


def link(page: str, words: str) -> str:
    found = re.search(rf'href="([^"]*)"[^>]*>(?:<span class="vh">[^<]*</span>)?{words}', page)
    assert found, words
    return html.unescape(found[1])


def text(page: str) -> str:
    """Return the text of the page's main part, without its markup."""
    main = page.partition("<main")[2].partition("</main>")[0]
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", main)).split())


def test_empty_lists_say_so_and_offer_no_filter_and_no_export(app: Flask) -> None:
    client = desk(app)
    orders, seats = client.get("/admin/orders").text, client.get("/admin/enrollments").text
    assert "Nobody has ordered yet" in orders
    assert "Nobody is enrolled yet" in seats
    for page in (orders, seats):
        assert "Export" not in page
        assert 'name="q"' not in page


def test_filter_without_matches_says_that_nothing_matches(app: Flask) -> None:
    add_orders(app, "paid")
    client = desk(app)
    assert "No order matches" in client.get("/admin/orders?q=nobody").text
    assert "No seat matches" in client.get("/admin/enrollments?q=nobody").text


def test_each_order_state_has_its_word_and_its_style(app: Flask) -> None:
    add_orders(app, *STATES)
    page = desk(app).get("/admin/orders").text
    for state in STATES:
        word = "Paid, no seat" if state == "unseated" else state.replace("-", " ").capitalize()
        assert f'<span class="status is-{state}">{word}</span>' in page
    assert f"Export {len(STATES)} orders" in page


def test_amount_is_the_paid_amount_or_else_the_price(app: Flask) -> None:
    add_orders(app, "paid", total=100_050)
    add_orders(app, "open", number=2)
    page = desk(app).get("/admin/orders").text
    assert "$1,000.50 USD" in page
    assert f"{COURSE.price.amount * 2 // 100:,} USD" in page


def test_filters_are_shown_as_chips_in_words(app: Flask) -> None:
    add_orders(app, "unseated", "paid", email="maria@example.com")
    page = desk(app).get(f"/admin/orders?q=maria&state=unseated&course={quote(NARROW)}").text
    assert "State: <b>Paid, no seat</b>" in page
    assert f"Course or dates: <b>{html.escape(COURSE.title)}, " in page
    assert emails(page) == ["maria@example.com"]
    assert emails(desk(app).get(link(page, "State")).text) == ["maria@example.com"] * 2


def test_older_and_newer_links_page_through_all_orders(app: Flask) -> None:
    add_orders(app, *["open"] * 60)
    client = desk(app)
    first = client.get("/admin/orders").text
    second = client.get(link(first, "Older")).text
    assert len({*emails(first), *emails(second)}) == 60
    assert "51 to 60 of <b>60 orders</b>" in second
    assert emails(client.get(link(second, "Newer")).text) == emails(first)


def test_record_lists_events_with_time_and_cause(app: Flask, session: Session) -> None:
    order = bring(session, "paid", email="maria@example.com", name="Maria Silva", number=2)
    session.execute(update(OrderEvent).values(created_at=NOON + timedelta(minutes=2)))
    session.execute(update(OrderEvent).where(OrderEvent.kind == "placed").values(created_at=NOON))
    receipt, welcome = session.scalars(select(Message).order_by(Message.id))
    receipt.state, receipt.sent_at, receipt.attempts = (
        MessageState.SENT,
        NOON + timedelta(minutes=3),
        1,
    )
    welcome.error, welcome.attempts = "451 try later", 2
    session.add(
        StripeEvent(
            id="evt_paid",
            kind="checkout.session.completed",
            object_id=str(order.session_id),
            received_at=NOON + timedelta(minutes=1),
            done_at=NOON + timedelta(minutes=2),
        )
    )
    session.commit()
    page = desk(app).get(f"/admin/orders/{order.id}").text
    said = text(page)
    steps = [
        "Placed, and its seats held Nov 22, 2026, 12:00 , by buyer",
        "Stripe event checkout.session.completed Nov 22, 2026, 12:01 , evt_paid, processed",
        "Paid, 2 seats enrolled Nov 22, 2026, 12:02 , by sweep",
        "Mail sent: Receipt Nov 22, 2026, 12:03",
    ]
    places = [said.index(step) for step in steps]
    assert places == sorted(places)
    for words in (
        "Maria Silva maria @example.com",
        order.item,
        "2 seats at $1,200 USD: $2,400 USD",
        str(order.session_id),
        str(order.payment_intent),
        "451 try later",
        "No name yet",
        "All times are in UTC",
    ):
        assert words in said, words
    assert 'class="notice' not in page


def test_open_order_shows_its_hold_and_no_payment(app: Flask) -> None:
    (number,) = add_orders(app, "open", number=3)
    said = text(desk(app).get(f"/admin/orders/{number}").text)
    assert "Seats held 3, while the order is open" in said
    assert "Payment None yet" in said
    assert "No emails were queued for this order" in said


@pytest.mark.parametrize(
    ("settings", "address"),
    [
        ({"stripe_secret_key": "sk_test_1"}, "https://dashboard.stripe.com/test/payments/{}"),
        (SELLING, "https://dashboard.stripe.com/payments/{}"),
        ({"sandbox_port": 8123}, "http://127.0.0.1:8123/stripe/#{}"),
    ],
)
def test_payment_links_to_its_page_at_stripe(
    make_app: Any, settings: dict[str, Any], address: str
) -> None:
    app = make_app(**settings)
    (number,) = add_orders(app, "paid")
    page = desk(app).get(f"/admin/orders/{number}").text
    with app.app_context():
        intent = db.session.get_one(Order, number).payment_intent
    assert f'href="{address.format(intent)}"' in page


def test_event_that_fails_is_shown_with_its_error(app: Flask, session: Session) -> None:
    order = bring(session)
    session.add(
        StripeEvent(
            id="evt_1",
            kind="checkout.session.completed",
            object_id=str(order.session_id),
            attempts=4,
            error="RateLimitError",
        )
    )
    session.commit()
    client = desk(app)
    record = text(client.get(f"/admin/orders/{order.id}").text)
    assert "not processed yet: checkout.session.completed RateLimitError. 4 tries so far" in record
    home = client.get("/admin/").text
    assert "1 Stripe event keeps failing" in text(home)
    assert f'<a href="/admin/orders/{order.id}">Order {order.id}</a>' in home


@pytest.mark.parametrize(("waited", "said"), [(2, False), (90, True)])
def test_event_is_reported_as_late_only_after_a_while(
    app: Flask, session: Session, waited: int, said: bool
) -> None:
    order = bring(session)
    came = now() - timedelta(seconds=waited)
    session.add(
        StripeEvent(
            id="evt_1",
            kind="refund.created",
            object_id=str(order.session_id),
            received_at=came,
            due_at=came,
        )
    )
    session.commit()
    record = text(desk(app).get(f"/admin/orders/{order.id}").text)
    assert ("not processed yet: refund.created" in record) is said


def test_payment_without_a_seat_is_shown_at_home_and_on_the_record(app: Flask) -> None:
    (number,) = add_orders(app, "unseated")
    client = desk(app)
    home = client.get("/admin/").text
    assert "1 order is paid without a seat" in home
    listed = client.get(link(home, "See the order")).text
    assert f"/admin/orders/{number}" in listed
    assert "Paid, and no seat was left" in client.get(f"/admin/orders/{number}").text


def test_home_counts_orders_only_for_owner_and_finance(app: Flask) -> None:
    add_orders(app, "paid", "paid", total=120_000)
    add_orders(app, "open", number=2)
    for role in ("owner", "finance"):
        said = text(desk(app, role).get("/admin/").text)
        assert "Paid orders 2 last 7 days, 2 more than the week before" in said
        assert "Revenue $2,400 last 7 days, in USD" in said
        assert "Open orders 1 holding 2 seats" in said
        assert "Enrolled 2 seats sold" in said
    said = text(desk(app, "marketer").get("/admin/").text)
    assert "Revenue" not in said and "orders" not in said


def test_undelivered_receipt_is_shown_only_to_roles_that_see_orders(app: Flask) -> None:
    (number,) = add_orders(app, "paid", email="maria@example.com")
    with app.app_context():
        db.session.execute(
            update(Message).where(Message.kind == "receipt").values(state="dead", error="550 no")
        )
        db.session.commit()
    page = desk(app, "finance").get("/admin/").text
    assert "1 email was not delivered" in page
    assert f'href="/admin/orders/{number}"' in page
    other = desk(app, "marketer").get("/admin/").text
    assert "maria" not in other
    assert "Emails not delivered 0 none given up" in text(other)


def test_seats_are_listed_with_their_participants(app: Flask) -> None:
    (number,) = add_orders(app, "paid", email="maria@example.com", name="Maria Silva", number=2)
    page = desk(app).get(f"/admin/enrollments?course={quote(NARROW)}").text
    said = text(page)
    assert "maria @example.com Maria Silva" in said
    assert "No name yet, bought by maria @example.com" in said
    assert page.count(f'href="/admin/orders/{number}"') == 2
    assert "Export 2 seats" in page
    seats = COURSE.cohorts[0].seats
    assert f"{seats - 2} of {seats} seats left" in said


def test_desk_shows_no_token_of_a_buyers_pages(app: Flask, session: Session) -> None:
    order = bring(session, "paid", number=2)
    # Stripe's ids do not contain the order's token; those of the test factory do.
    order.session_id, order.payment_intent = "cs_test_1", "pi_1"
    session.execute(update(OrderEvent).values(stripe_id=None))
    session.commit()
    tokens = [order.token, *session.scalars(select(Enrollment.token))]
    client = desk(app)
    for path in ("/admin/orders", f"/admin/orders/{order.id}", "/admin/enrollments"):
        page = client.get(path).text
        assert not any(token in page for token in tokens), path


@pytest.mark.parametrize(("role", "status"), [("owner", 200), ("finance", 200), ("marketer", 403)])
def test_orders_and_seats_are_for_owner_and_finance(app: Flask, role: str, status: int) -> None:
    add_orders(app, "paid")
    client = desk(app, role)
    for path in PATHS:
        assert client.get(path).status_code == status, path
    home = client.get("/admin/").text
    for room in ("/admin/orders", "/admin/enrollments"):
        assert (f'<a href="{room}">' in home) is (status == 200)


def test_menu_marks_one_section_as_current(app: Flask) -> None:
    client = desk(app)
    for path in ("/admin/", "/admin/leads", "/admin/orders", "/admin/enrollments"):
        page = client.get(path).text
        assert re.findall(r'href="([^"]+)" aria-current="page"', page) == [path]


def test_typed_text_is_never_shown_as_markup(app: Flask) -> None:
    evil = '"><script>alert(1)</script>'
    (number,) = add_orders(app, "paid", name=evil)
    client = desk(app)
    for path in (*PATHS, f"/admin/orders?q={quote(evil)}", f"/admin/enrollments?q={quote(evil)}"):
        assert "<script>alert" not in client.get(path).text, path
    assert "&lt;script&gt;alert(1)" in client.get(f"/admin/orders/{number}").text


@pytest.mark.parametrize("path", ["/admin/orders", "/admin/enrollments"])
def test_hostile_query_string_still_gets_a_page(app: Flask, path: str) -> None:
    add_orders(app, "paid")
    client = desk(app)
    for query in (
        "q=%00%ff",
        "q=" + "x" * 5000,
        "q=99999999999999999999",
        "state=%3Cscript%3E&course=%00/..//",
        "sort=nonsense&after=99999999999999999999&before=-1",
        "course=" + quote(f"{NARROW}/more"),
    ):
        answer = client.get(f"{path}?{query}")
        assert answer.status_code == 200, query
        assert "<script>" not in answer.text


def test_missing_order_is_not_found(app: Flask) -> None:
    client = desk(app)
    for number in ("0", "7", "2147483648", "9" * 40):
        assert client.get(f"/admin/orders/{number}").status_code == 404


def test_order_of_a_deleted_course_is_still_shown(app: Flask) -> None:
    (number,) = add_orders(app, "paid")
    with app.app_context():
        db.session.execute(update(Order).values(course="gone", cohort="long-ago"))
        db.session.execute(update(Enrollment).values(course="gone", cohort="long-ago"))
        db.session.commit()
    client = desk(app)
    assert client.get(f"/admin/orders/{number}").status_code == 200
    for path in ("/admin/orders", "/admin/enrollments"):
        assert "gone/long-ago" in client.get(path).text
        assert len(emails(client.get(f"{path}?course=gone/long-ago").text)) == 1


def test_order_pages_work_on_both_databases(make_app: Any, database_url: str) -> None:
    app = make_app(database_url=database_url)
    add_orders(app, *STATES, name="Maria", number=2)
    client = desk(app)
    query = f"q=MARIA&course={quote(NARROW)}&sort=oldest&after=1"
    for path in (
        "/admin/",
        *PATHS,
        f"/admin/orders?{query}&state=paid",
        *(f"{path}?{query}" for path in ("/admin/orders", "/admin/enrollments")),
    ):
        assert client.get(path).status_code == 200, path
