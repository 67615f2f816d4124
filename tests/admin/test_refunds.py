"""Refunds from the admin area and the command line, and the pages of buyer and participants."""

from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select
from sqlalchemy.orm import Session

from crossroads.fulfillment import repayments
from crossroads.orders import disputes, ledger, projections
from crossroads.payments import Gateway, Refund
from models import Enrollment, Order, db, writing
from tests.support.desk_visits import desk
from tests.support.order_states import dispute
from tests.support.participants import name as name_seat
from tests.support.purchases import bought, heading, hidden, order_page, words
from tests.support.sandbox_server import KEY, SandboxServer

PRICE = 120_000


@pytest.fixture
def app(make_app: Any, database_url: str, sandbox: SandboxServer) -> Flask:
    """The site on each database, with the sandbox as Stripe."""
    built: Flask = make_app(stripe_api_base=sandbox.url, database_url=database_url)
    return built


@pytest.fixture
def order(client: FlaskClient, session: Session, sandbox: SandboxServer) -> Order:
    """A paid order of two seats."""
    placed, url = bought(client, session, seats="2")
    sandbox.pay(url)
    assert heading(order_page(client, placed)) == "You're in"
    return fresh(session, placed)


def fresh(session: Session, order: Order) -> Order:
    session.rollback()
    return session.get_one(Order, order.id, populate_existing=True)


def made(order: Order, sandbox: SandboxServer) -> list[Refund]:
    return list(Gateway(KEY, base=sandbox.url).refunds(str(order.payment_intent)))


def refund(staff: FlaskClient, order: Order, **chosen: str) -> str:
    """Choose, open the page that names the amount, press its button; return the order's page."""
    path = f"/admin/orders/{order.id}/refund"
    named = staff.get(path, query_string=chosen)
    answer = staff.post(path, data={**hidden(named.text), **chosen})
    assert answer.status_code == 303, words(answer.text)
    return words(staff.get(answer.location).text)


def students(client: FlaskClient, session: Session, order: Order) -> list[tuple[int, str, int]]:
    """Return for each participant's page its status and text, and the status of its calendar."""
    session.rollback()
    query = select(Enrollment.token).where(Enrollment.order_id == order.id)
    found = []
    for token in session.scalars(query.order_by(Enrollment.seat)):
        page = client.get(f"/enrollments/{token}")
        calendar = client.get(f"/enrollments/{token}/calendar.ics")
        found.append((page.status_code, words(page.text), calendar.status_code))
    return found


def run(app: Flask, *arguments: str, **given: Any) -> tuple[int, str]:
    """Run a flask command and return its exit code and output."""
    runner = app.test_cli_runner()
    assert runner.invoke(args=["db", "stamp", "head"]).exit_code == 0  # commands check the revision
    result = runner.invoke(args=arguments, **given)
    return result.exit_code, result.output


def test_whole_order_is_refunded_after_showing_the_amount(
    app: Flask, client: FlaskClient, session: Session, order: Order, sandbox: SandboxServer
) -> None:
    staff = desk(app, "finance")
    page = staff.get(f"/admin/orders/{order.id}/refund?what=all").text
    assert heading(page) == "Refund $2,400?"
    assert "2 seats are released, and access to them ends" in words(page)
    assert made(order, sandbox) == []  # opening the page has no effect
    said = refund(staff, order, what="all")
    assert "Refund of $2,400 USD, 2 seats: asked for at Stripe" in said
    assert "Refund of $2,400 USD: done" in said
    assert [one.amount for one in made(order, sandbox)] == [2 * PRICE]
    assert fresh(session, order).state == "refunded"
    assert heading(order_page(client, order)) == "Your payment was refunded"
    for status, text, calendar in students(client, session, order):
        assert (status, calendar) == (200, 303)
        assert "This seat was canceled and refunded" in text
    again = staff.get(f"/admin/orders/{order.id}/refund")
    assert again.status_code == 303  # nothing is left to refund


def test_refund_of_one_seat_releases_the_last_seat(
    app: Flask, client: FlaskClient, session: Session, order: Order, sandbox: SandboxServer
) -> None:
    said = refund(desk(app), order, what="1")
    assert "Partly refunded" in said and "1 seat kept" in said
    assert [one.amount for one in made(order, sandbox)] == [PRICE]
    first, second = students(client, session, order)
    assert "Your first session" in first[1] and first[2] == 200
    assert "This seat was canceled and refunded" in second[1] and second[2] == 303
    page = order_page(client, order)
    assert heading(page) == "You're in" and "Your seat is paid for" in words(page)
    assert "Refunded $1,200" in words(page)


def test_refund_of_a_typed_amount_releases_no_seat(
    app: Flask, session: Session, order: Order, sandbox: SandboxServer
) -> None:
    staff = desk(app)
    for wrong in ("", "x", "1.234", "-1"):
        answer = staff.get(f"/admin/orders/{order.id}/refund?what=amount&amount={wrong}")
        assert "Enter an amount like 120.00" in answer.text
    much = staff.get(f"/admin/orders/{order.id}/refund?what=amount&amount=2400.01")
    assert much.status_code == 422 and "$2,400 is left to refund" in much.text
    refund(staff, order, what="amount", amount="1,000.50")
    assert [one.amount for one in made(order, sandbox)] == [100_050]
    assert (fresh(session, order).state, order.seats_kept) == ("partly-refunded", 2)


def test_amount_that_changed_meanwhile_is_shown_for_a_new_review(
    app: Flask, session: Session, order: Order, sandbox: SandboxServer
) -> None:
    staff, path = desk(app), f"/admin/orders/{order.id}/refund"
    form = hidden(staff.get(f"{path}?what=all").text)
    (charge,) = Gateway(KEY, base=sandbox.url).charges(str(order.payment_intent))
    sandbox.control("refund", id=charge.id, amount=40_000)  # in Stripe's dashboard
    with app.app_context():
        repayments.settle_payment(db.engine, Gateway(KEY, base=sandbox.url), order.id, "event")
    late = staff.post(path, data={**form, "what": "all"})
    assert late.status_code == 409
    assert heading(late.text) == "Refund $2,000?"
    assert [one.amount for one in made(order, sandbox)] == [40_000]


def test_second_click_refunds_no_second_seat(
    app: Flask, session: Session, order: Order, sandbox: SandboxServer
) -> None:
    staff, path = desk(app), f"/admin/orders/{order.id}/refund"
    form = {**hidden(staff.get(f"{path}?what=1").text), "what": "1"}
    for _ in range(2):
        answer = staff.post(path, data=form)
        assert (answer.status_code, answer.location) == (303, f"/admin/orders/{order.id}")
    assert "A refund was asked for since" in words(staff.get(answer.location).text)
    assert [one.amount for one in made(order, sandbox)] == [PRICE]
    assert fresh(session, order).seats_kept == 1


def test_refund_waits_for_stripe_and_a_refusal_is_shown(
    app: Flask, session: Session, order: Order, sandbox: SandboxServer
) -> None:
    staff = desk(app)
    sandbox.control("fault", kind="500", method="GET", path="/v1/refunds", times=9)
    said = refund(staff, order, what="all")
    assert "the worker asks again" in said and "waits for Stripe's answer" in said
    sandbox.control("clear_faults")
    (charge,) = Gateway(KEY, base=sandbox.url).charges(str(order.payment_intent))
    sandbox.control("dispute", id=charge.id)
    assert run(app, "reconcile")[0] == 0
    said = words(staff.get(f"/admin/orders/{order.id}").text)
    assert "was refused by Stripe: the payment is disputed" in said
    assert "Disputed: a bank withdrew $2,400 USD" in said
    assert "Stripe wants evidence. Answer by" in said
    assert "1 payment is disputed" in words(staff.get("/admin/").text)


def test_dispute_pauses_access_until_it_is_won(
    app: Flask, client: FlaskClient, session: Session, order: Order
) -> None:
    for status, said, calendar in (
        ("needs_response", "Your access is paused", 303),
        ("won", "Your first session", 200),
        ("lost", "This seat was canceled and refunded", 303),
    ):
        with app.app_context(), Session(db.engine) as changing:
            writing(changing)
            found = ledger.lock(changing, order.id)
            number = "du_1" if status != "lost" else "du_2"
            disputes.record_status(
                changing, found, dispute(found, id=number, status=status), "event"
            )
            changing.commit()
        for page in students(client, session, order):
            assert said in page[1] and page[2] == calendar
    assert heading(order_page(client, order)) == "Your payment was taken back"


@pytest.mark.parametrize(("role", "status"), [("owner", 200), ("finance", 200), ("marketer", 403)])
def test_refunds_are_for_owner_and_finance(
    app: Flask, order: Order, role: str, status: int
) -> None:
    staff, path = desk(app, role), f"/admin/orders/{order.id}/refund"
    assert staff.get(path).status_code == status
    assert staff.post(path, data={"what": "all", "returns": "240000"}).status_code != 303
    assert ledger_of(app, order) == []


def ledger_of(app: Flask, order: Order) -> list[projections.RefundState]:
    with app.app_context(), Session(db.engine) as session:
        return list(ledger.balance_of(session, session.get_one(Order, order.id)).refunds)


def test_command_refunds_seats_and_amounts(
    app: Flask, session: Session, order: Order, sandbox: SandboxServer
) -> None:
    number = str(order.id)

    def refund(*options: str, **given: Any) -> tuple[int, str]:
        return run(app, "orders", "refund", *options, **given)

    assert refund("999", "--yes") == (1, "Error: no order 999\n")
    assert refund(number, "--seats", "1", input="n\n")[0] == 1
    assert "not both" in refund(number, "--seats", "1", "--amount", "5")[1]
    assert "is no amount of USD" in refund(number, "--amount", "x")[1]
    assert "has 2 seats to refund" in refund(number, "--seats", "3")[1]
    assert made(order, sandbox) == []
    code, said = refund(number, "--seats", "1", input="y\n")
    assert code == 0 and "$1,200 and 1 of 2 seats" in said
    assert refund(number, "--amount", "0.50", "--yes")[0] == 0
    assert refund(number, "--yes")[0] == 0
    assert [one.amount for one in made(order, sandbox)] == [PRICE - 50, 50, PRICE]
    assert fresh(session, order).state == "refunded"
    assert "the full payment is refunded already" in refund(number, "--yes")[1]


def test_command_repeated_after_an_error_refunds_nothing_twice(
    app: Flask, session: Session, order: Order, sandbox: SandboxServer
) -> None:
    arguments = ("orders", "refund", str(order.id), "--amount", "5", "--yes")
    # The client tries three times and gets no answer, though Stripe has made the refund.
    sandbox.control("fault", kind="reset", method="POST", path="/v1/refunds", after=True, times=3)
    code, said = run(app, *arguments)
    assert code == 1 and "the refund is noted, and flask worker asks again" in said
    code, said = run(app, *arguments)
    assert code == 1 and "a refund of $5 waits for Stripe's answer: try again after it" in said
    assert run(app, "reconcile")[0] == 0
    assert [one.amount for one in made(order, sandbox)] == [500]
    assert fresh(session, order).state == "partly-refunded"


def test_chosen_seat_is_refunded_and_the_other_is_kept(
    app: Flask, session: Session, order: Order, sandbox: SandboxServer
) -> None:
    session.rollback()
    writing(session)
    locked = ledger.lock(session, order.id)
    ben = name_seat(session, locked, 2)
    session.commit()
    staff, path = desk(app), f"/admin/orders/{order.id}/refund"
    said = words(staff.get(path).text)
    assert "Seat 1: Maria, maria @example.com" in said and "Seat 2: Ben, ben @example.com" in said
    wrong = staff.get(f"{path}?what=1&seat=1&seat=2")
    assert wrong.status_code == 422 and "to refund, but" in wrong.text
    page = words(staff.get(f"{path}?what=1").text)
    assert "Seat 2: Ben" in page and "Seat 1: Maria" not in page  # the seat named last
    said = refund(staff, order, what="1", seat="1")
    assert "Refund of $1,200 USD, seat 1: asked for at Stripe" in said
    assert "Seat 2 named" in said
    client = app.test_client()
    assert "Your first session" in client.get(f"/enrollments/{ben.token}").text
    seats = words(staff.get("/admin/enrollments").text)
    assert "ben @example.com" in seats and "maria @example.com" not in seats
