"""Disputes in the admin area: the most urgent first, described in words, with a link to Stripe."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from flask import Flask
from sqlalchemy.orm import Session

from crossroads.orders import disputes, duplicate_payments, ledger, refunds
from crossroads.orders import lifecycle as orders
from models import Order, db, writing
from models.order import OrderEventKind
from tests.support.desk_visits import desk, send
from tests.support.order_states import bring, dispute, refund
from tests.support.orders import paid
from tests.support.production import SELLING
from tests.support.purchases import links, words

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
PATH = "/admin/orders/disputes"


@pytest.fixture(autouse=True)
def noon() -> Iterator[None]:
    with time_machine.travel(NOON, tick=False):
        yield


@pytest.fixture
def app(make_app: Any, database_url: str) -> Flask:
    built: Flask = make_app(database_url=database_url)
    return built


def disputed(app: Flask, *said: dict[str, Any], **given: Any) -> Order:
    """Store a paid order and these statuses of its dispute, in this order."""
    with app.app_context(), Session(db.engine, expire_on_commit=False) as session:
        writing(session)
        order = bring(session, "paid", **given)
        for one in said:
            found = {"id": f"du_{order.id}", **one}
            disputes.record_status(session, order, dispute(order, **found), "event")
        session.commit()
        return order


def wanted(days: int, status: str = "needs_response") -> dict[str, Any]:
    return {"status": status, "due_by": NOON + timedelta(days=days)}


def test_disputes_are_listed_by_urgency_and_decided_ones_last(app: Flask) -> None:
    late, with_the_bank, soon = (
        disputed(app, wanted(9)),
        disputed(app, wanted(2), wanted(2, "under_review")),
        disputed(app, wanted(1)),
    )
    asks = disputed(app, wanted(5, "warning_needs_response"))
    over = disputed(app, wanted(-1))
    won = disputed(app, wanted(3), {"status": "won"})
    page = desk(app).get(PATH).text
    listed = links(page, "/admin/orders/")
    order = [over, soon, asks, late, with_the_bank, won]
    assert [one for one in listed if one != PATH] == [f"/admin/orders/{one.id}" for one in order]
    read = words(page)
    for said in (
        "Answer was due Nov 21, 2026, 12:00",
        "Answer by Nov 23, 2026, 12:00, tomorrow",
        "Answer by Nov 27, 2026, 12:00, in 5 days",
        "A question: no money was taken, and access goes on",
        "The bank decides",
        "The cardholder says it was not them",
        "Decided",
        "Won",
    ):
        assert said in read


def test_latest_deadline_of_a_dispute_is_shown(app: Flask) -> None:
    order = disputed(app, wanted(9), wanted(9), wanted(2))
    staff = desk(app)
    for path in (PATH, "/admin/orders", f"/admin/orders/{order.id}"):
        read = words(staff.get(path).text)
        assert "Answer by Nov 24, 2026, 12:00, in 2 days" in read
        assert "in 9 days" not in read
    with app.app_context(), Session(db.engine) as session:
        rows = [one for one in ledger.events(session, order) if one.kind == OrderEventKind.DISPUTE]
        assert len(rows) == 1


def test_empty_list_of_disputes_says_so(app: Flask) -> None:
    staff = desk(app)
    assert "No payment is disputed" in staff.get(PATH).text
    assert PATH not in staff.get("/admin/orders").text


def test_list_home_and_record_show_the_deadline(app: Flask) -> None:
    order = disputed(app, wanted(0))
    asked = disputed(app, wanted(3, "warning_needs_response"))
    staff = desk(app)
    listed = words(staff.get("/admin/orders").text)
    assert "Disputed Answer by Nov 22, 2026, 12:00, today" in listed
    assert "Paid A bank asks. Answer by Nov 25, 2026, 12:00, in 3 days" in listed
    assert "2 open disputes, by deadline" in listed
    home = staff.get("/admin/").text
    assert "1 payment is disputed" in words(home)
    assert "1 bank asks about a payment" in words(home)
    assert PATH in home
    record = words(staff.get(f"/admin/orders/{order.id}").text)
    assert "Stripe wants evidence. Answer by Nov 22, 2026, 12:00, today: answer at Stripe" in record
    question = words(staff.get(f"/admin/orders/{asked.id}").text)
    assert "Inquiry: a bank asks about this payment; no money was withdrawn" in question
    assert "or refund the buyer: then it ends" in question


def test_dispute_of_a_second_payment_is_flagged_with_its_deadline(app: Flask) -> None:
    order = disputed(app, {**wanted(2), "payment_intent": "pi_2"})
    staff = desk(app)
    home = words(staff.get("/admin/").text)
    assert "1 payment is disputed" in home
    listed = words(staff.get("/admin/orders").text)
    assert "Paid Second payment. Disputed. Answer by Nov 24, 2026, 12:00, in 2 days" in listed
    cases = staff.get(PATH).text
    assert "Answer by Nov 24, 2026, 12:00, in 2 days Of a second payment" in words(cases)
    assert "pi_2" in cases and str(order.payment_intent) not in cases
    record = words(staff.get(f"/admin/orders/{order.id}").text)
    assert "a bank withdrew $1,200 USD, which had been paid twice." in record
    assert "The first payment and the seats are not affected." in record
    assert "access is paused" not in record
    assert "Dispute of $1,200 USD, a second payment: evidence is wanted" in record


@pytest.mark.parametrize(
    ("given", "where"),
    [
        ({"stripe_api_base": "http://127.0.0.1:9"}, "http://127.0.0.1:9/stripe/#"),
        ({"stripe_secret_key": "sk_test_" + "x", "stripe_api_base": ""}, "/test/payments/"),
        (SELLING, "stripe.com/payments/"),
    ],
)
def test_link_opens_stripes_dashboard_in_the_mode_of_the_key(
    make_app: Any, given: dict[str, str], where: str
) -> None:
    app = make_app(**given)
    order = disputed(app, wanted(2))
    page = desk(app).get(PATH).text
    assert f"{where}{order.payment_intent}" in page


@pytest.mark.parametrize(("role", "status"), [("owner", 200), ("finance", 200), ("marketer", 403)])
def test_disputes_are_for_owner_and_finance(app: Flask, role: str, status: int) -> None:
    assert desk(app, role).get(PATH).status_code == status


def refunded(app: Flask, status: str, amount: int = 40_000, **given: Any) -> Order:
    """Store an order of two seats with a refund that succeeded and then got this status."""
    order = disputed(app, number=2)
    with app.app_context(), Session(db.engine) as session:
        writing(session)
        locked = ledger.lock(session, order.id)
        made = {"id": f"re_{order.id}", "amount": amount, **given}
        for one in ("succeeded", status):
            refunds.record_status(session, locked, refund(order, status=one, **made), "event")
        session.commit()
    return order


def test_failed_refund_is_shown_until_it_is_acknowledged(app: Flask) -> None:
    order = refunded(app, "failed", failure_reason="expired_or_canceled_card")
    other = refunded(app, "canceled")
    staff, path = desk(app), f"/admin/orders/{order.id}"
    home = staff.get("/admin/").text
    assert "Refunds of 2 orders failed" in words(home)
    assert f'href="{path}"' in home
    assert words(staff.get("/admin/orders").text).count("A refund failed") == 2
    record = words(staff.get(path).text)
    assert "A refund of $400 USD failed: the card has expired or was canceled" in record
    assert "refund again, or refund another way and record that here" in record
    given = {"refund": f"re_{order.id}", "status": "elsewhere"}
    answer = send(staff, f"{path}/refunds", given, page=path)
    assert answer.status_code == 303
    record = words(staff.get(path).text)
    assert "failed: the card" not in record and "Partly refunded" in record
    assert "Refund of $400 USD: returned without Stripe" in record
    given = {"refund": f"re_{other.id}", "status": "dismissed"}
    send(staff, f"/admin/orders/{other.id}/refunds", given, page=f"/admin/orders/{other.id}")
    assert "failed" not in words(staff.get("/admin/").text)
    assert "A refund failed" not in words(staff.get("/admin/orders").text)
    assert [balance_of(app, one).returned for one in (order, other)] == [40_000, 0]


@pytest.mark.parametrize("status", ["elsewhere", "dismissed"])
def test_failed_refund_of_second_payment_is_shown_until_acknowledged(
    app: Flask, status: str
) -> None:
    with app.app_context(), Session(db.engine, expire_on_commit=False) as session:
        writing(session)
        order = bring(session, "paid")
        again = paid(order, id="cs_2", recovered_from=order.session_id, payment_intent="pi_2")
        orders.fulfill(session, order.id, again, "event")
        (twice,) = ledger.balance_of(session, order).duplicates
        failed = refund(order, payment_intent="pi_2", status="failed")
        duplicate_payments.record_status(session, order, twice, [failed], "event")
        session.commit()
    staff, path = desk(app), f"/admin/orders/{order.id}"
    assert "Refunds of 1 order failed" in words(staff.get("/admin/").text)
    assert "A refund failed" in words(staff.get("/admin/orders").text)
    page = staff.get(path).text
    assert "the second payment of $1,200 USD was not refunded" in words(page)
    assert '/stripe/#pi_2"' in page
    answer = send(staff, f"{path}/refunds", {"refund": "pi_2", "status": status}, page=path)
    assert answer.status_code == 303
    record = words(staff.get(path).text)
    assert "was not refunded" not in record and "That is noted." in record
    assert "Dismiss" not in record
    assert "failed" not in words(staff.get("/admin/").text)
    assert "A refund failed" not in words(staff.get("/admin/orders").text)
    found = balance_of(app, order)
    assert (found.state, found.returned, found.seats) == ("paid", 0, 1)


def balance_of(app: Flask, order: Order) -> ledger.Balance:
    with app.app_context(), Session(db.engine) as session:
        return ledger.balance_of(session, session.get_one(Order, order.id))


def test_refund_outside_stripe_releases_seats_and_ignores_late_events(
    app: Flask,
) -> None:
    order = refunded(app, "failed", amount=240_000)
    assert balance_of(app, order).seats == 2
    staff, path = desk(app), f"/admin/orders/{order.id}"
    page = staff.get(path).text
    given = {"refund": f"re_{order.id}", "status": "elsewhere"}
    for _ in range(2):  # pressed twice
        send(staff, f"{path}/refunds", given, page="/admin/")
    assert "that refund is acknowledged already" in words(staff.get(path).text)
    assert "Refunded another way" in page
    with app.app_context(), Session(db.engine) as session:
        writing(session)
        locked = ledger.lock(session, order.id)
        late = refund(order, id=f"re_{order.id}", amount=240_000, status="pending")
        refunds.record_status(session, locked, late, "event")
        session.commit()
    found = balance_of(app, order)
    assert (found.state, found.seats, found.returned) == ("refunded", 0, 240_000)


def test_repeated_refund_cannot_also_be_marked_as_made_elsewhere(app: Flask) -> None:
    order = refunded(app, "failed", amount=240_000)
    with app.app_context(), Session(db.engine) as session:
        writing(session)
        again = refund(order, amount=240_000)
        refunds.record_status(session, ledger.lock(session, order.id), again, "event")
        session.commit()
    staff, path = desk(app), f"/admin/orders/{order.id}"
    assert "Refunded another way" not in staff.get(path).text
    given = {"refund": f"re_{order.id}", "status": "elsewhere"}
    send(staff, f"{path}/refunds", given, page=path)
    assert "Nothing was noted" in words(staff.get(path).text)
    assert balance_of(app, order).returned == 240_000


def test_failed_refund_accepts_only_the_two_outcomes(app: Flask) -> None:
    order = refunded(app, "failed")
    staff, path = desk(app), f"/admin/orders/{order.id}"
    given = {"refund": f"re_{order.id}", "status": "succeeded"}
    assert send(staff, f"{path}/refunds", given, page=path).status_code == 400
    assert send(staff, "/admin/orders/999/refunds", given, page=path).status_code == 400
    given["status"] = "dismissed"
    assert send(staff, "/admin/orders/999/refunds", given, page=path).status_code == 404
