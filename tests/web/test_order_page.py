"""The order page: what a buyer reads in every state of an order."""

import re
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from crossroads.orders import ledger, refunds, seats
from crossroads.orders import lifecycle as orders
from models import now, writing
from tests.support.order_states import refund
from tests.support.orders import take_seats
from tests.support.purchases import (
    COURSE,
    ENROLL,
    JANUARY,
    bought,
    buttons,
    buy,
    heading,
    order_page,
    placed,
    refresh,
    words,
)
from tests.support.sandbox_server import SandboxServer

pytestmark = pytest.mark.usefixtures("one_day")


@pytest.fixture
def app(make_app: Any, sandbox: SandboxServer) -> Flask:
    built: Flask = make_app(stripe_api_base=sandbox.url)
    return built


def test_open_order_has_buttons_to_pay_and_cancel_and_shows_its_time(
    client: FlaskClient, session: Session
) -> None:
    order, url = bought(client, session, seats="2")
    html = order_page(client, order)
    assert heading(html) == "Not paid yet"
    read = words(html)
    assert "No payment was taken. We hold your 2 seats for you for another 35 minutes." in read
    assert buttons(html) == ["Pay $2,400 with Stripe", "Change this order", "Cancel this order"]
    assert client.post(f"/orders/{order.token}", data={"action": "pay"}).location == url


def test_remaining_minutes_are_correct(client: FlaskClient, session: Session) -> None:
    order, _ = bought(client, session)
    with time_machine.travel(order.session_until - timedelta(seconds=61), tick=True):
        assert "for another 2 minutes" in words(order_page(client, order))
    with time_machine.travel(order.session_until - timedelta(seconds=59), tick=True):
        assert "for another 1 minute." in words(order_page(client, order))


def test_open_order_page_refreshes_until_stopped(client: FlaskClient, session: Session) -> None:
    order, _ = bought(client, session)
    html = order_page(client, order)
    assert refresh(html) == f"30;url=/orders/{order.token}"
    assert "This page refreshes every 30 seconds." in words(html)
    still = client.get(f"/orders/{order.token}?still").text
    assert refresh(still) is None
    assert f'<a href="/orders/{order.token}">Look again</a>' in still


def test_paid_order_shows_the_payment_and_the_next_steps(
    client: FlaskClient, session: Session, sandbox: SandboxServer
) -> None:
    order, url = bought(client, session, seats="2", name="Zoë <b>")
    sandbox.pay(url)
    html = order_page(client, order)
    read = words(html)
    assert heading(html) == "You're in"
    assert "Your 2 seats are paid for." in read
    for fact in ("Paid $2,400", "2 seats, $1,200 each", f"Order number {order.id}"):
        assert fact in read
    steps = [words(one) for one in re.findall(r"<li><b>.*?</li>", html, re.S)]
    assert len(steps) == 3
    assert steps[0].startswith("November 22, 2026")
    assert "maria@example.com" in steps[0]
    assert steps[1].startswith("Before January 19, 2027")
    assert "January 19, 2027 The first session: 6:00 pm to 7:30 pm, New York time." in steps[2]
    seat = orders.enrollments(session, order)[0]
    for link in (f"/enrollments/{seat.token}", f"/enrollments/{seat.token}/calendar.ics"):
        assert f'href="{link}"' in html
        assert client.get(link).status_code == 200
    assert "<b>" not in re.findall(r"Name</dt><dd[^>]*>(.*?)</dd>", html)[0]
    assert refresh(html) is None
    assert buttons(html) == ["Change seat 1", "Send the invitation"]


def test_page_of_a_paid_order_does_not_call_stripe(
    client: FlaskClient, session: Session, sandbox: SandboxServer
) -> None:
    order, url = bought(client, session)
    sandbox.pay(url)
    order_page(client, order)
    sandbox.control("fault", kind="500", times=50)
    assert heading(order_page(client, order)) == "You're in"


def test_pending_payment_needs_no_action_by_the_buyer(
    client: FlaskClient, session: Session, sandbox: SandboxServer
) -> None:
    order, url = bought(client, session)
    sandbox.pay(url, iban="AT321904300235473204")
    html = order_page(client, order)
    assert heading(html) == "Your payment is on its way"
    assert "You don't need to do anything." in words(html)
    assert buttons(html) == []
    assert refresh(html) == f"120;url=/orders/{order.token}"
    assert "every 2 minutes" in words(html)
    assert orders.enrollments(session, order) == []


def test_payment_is_shown_as_failed_only_after_stripe_reports_it(
    client: FlaskClient, session: Session, sandbox: SandboxServer
) -> None:
    order, url = bought(client, session)
    sandbox.pay(url, iban="AT861904300235473202")
    assert "did not" not in words(order_page(client, order))
    (intent,) = sandbox.state()["payment_intents"]
    sandbox.control("bounce", id=intent["id"])
    html = order_page(client, order)
    assert heading(html) == "Payment failed"
    assert "You are not enrolled" in words(html)
    assert f'href="{ENROLL}?cohort={JANUARY.code}"' in html
    assert refresh(html) is None


def test_order_stays_open_after_a_declined_card(
    client: FlaskClient, session: Session, sandbox: SandboxServer
) -> None:
    order, url = bought(client, session)
    sandbox.pay(url, "4000000000000002")
    assert heading(order_page(client, order)) == "Not paid yet"


def test_canceled_order_says_that_no_payment_was_taken(
    client: FlaskClient, session: Session
) -> None:
    order, _ = bought(client, session)
    answer = client.post(f"/orders/{order.token}", data={"action": "cancel"})
    assert (answer.status_code, answer.location) == (303, f"/orders/{order.token}")
    html = order_page(client, order)
    assert heading(html) == "No payment was taken"
    assert "your seat was released" in words(html)
    assert refresh(html) is None
    assert seats.seats_left(session, COURSE, JANUARY) == JANUARY.seats


def test_expired_order_is_shown_as_expired(
    client: FlaskClient, session: Session, sandbox: SandboxServer
) -> None:
    order, _ = bought(client, session)
    sandbox.control("expire", id=order.session_id)
    html = order_page(client, order)
    assert heading(html) == "This order has expired"
    assert "No payment was taken" in words(html)
    assert "You're in" not in words(html)


@pytest.mark.parametrize("action", ["pay", "cancel"])
def test_buttons_of_a_paid_order_do_nothing(
    client: FlaskClient, session: Session, sandbox: SandboxServer, action: str
) -> None:
    order, url = bought(client, session)
    sandbox.pay(url)
    order_page(client, order)
    answer = client.post(f"/orders/{order.token}", data={"action": action})
    assert (answer.status_code, answer.location) == (303, f"/orders/{order.token}")
    assert heading(order_page(client, order)) == "You're in"


def test_paid_order_without_a_seat_shows_the_refund(
    client: FlaskClient, session: Session, sandbox: SandboxServer
) -> None:
    order, url = bought(client, session)
    sandbox.pay(url)
    take_seats(session, order)  # before the site knows about the payment
    session.commit()
    html = order_page(client, order)
    assert heading(html) == "Paid, but no seat was left"
    assert "Your payment of $1,200 arrived after the order had expired" in words(html)
    assert "We are refunding the whole amount" in words(html)
    assert "/enrollments/" not in html


def test_failed_refund_is_not_shown_as_refunded(
    client: FlaskClient, session: Session, sandbox: SandboxServer
) -> None:
    order, url = bought(client, session)
    sandbox.pay(url)
    take_seats(session, order)
    session.commit()
    order_page(client, order)
    writing(session)
    found = ledger.lock(session, order.id)
    (asked,) = ledger.balance_of(session, found).refunds
    for status in ("succeeded", "failed"):
        made = refund(found, reference=asked.reference, id="re_1", status=status)
        refunds.record_status(session, found, made, "event")
    session.commit()
    read = words(order_page(client, order))
    assert "did not go through" in read
    assert "Write to us how you would like to receive it." in read
    assert "are refunding" not in read and "have refunded" not in read


def test_same_address_does_not_show_the_order_of_another(
    client: FlaskClient, session: Session, sandbox: SandboxServer
) -> None:
    theirs, url = bought(client, session)
    sandbox.pay(url)
    order_page(client, theirs)
    secrets = [theirs.token, orders.enrollments(session, theirs)[0].token, f">{theirs.id}<"]
    stranger, url = bought(client, session, name="Mallory")
    sandbox.pay(url)
    answer = client.get(f"/orders/{stranger.token}")
    assert heading(answer.text) == "You're in"
    assert "Set-Cookie" not in answer.headers
    assert [secret for secret in secrets if secret in answer.text] == []


def test_wrong_token_does_not_open_an_order(client: FlaskClient, session: Session) -> None:
    order, _ = bought(client, session)
    for guess in (str(order.id), order.session_id, order.token[:-1], "x" * 32):
        answer = client.get(f"/orders/{guess}", follow_redirects=True)
        assert answer.status_code == 404
        assert "maria" not in answer.text.lower()


def test_order_of_a_removed_cohort_can_still_be_paid(
    make_app: Any, site_root: Any, sandbox: SandboxServer, session: Session
) -> None:
    app = make_app(root=site_root, stripe_api_base=sandbox.url)
    client = app.test_client()
    order, url = bought(client, session)
    file = site_root / "site/content/courses/ai-pm-bootcamp.yaml"
    file.write_text(file.read_text().replace(JANUARY.code, "another-code"))
    assert heading(order_page(client, order)) == "Not paid yet"
    sandbox.pay(url)
    html = order_page(client, order)
    assert heading(html) == "You're in"
    assert "January 2027" in words(html)
    seat = orders.enrollments(session, order)[0]
    assert client.get(f"/enrollments/{seat.token}").status_code == 200


def break_(sandbox: SandboxServer) -> None:
    sandbox.control("fault", kind="html", times=50)


def test_order_is_kept_when_the_payment_page_does_not_open(
    client: FlaskClient, session: Session, sandbox: SandboxServer
) -> None:
    sandbox.control("fault", kind="html", times=50)
    answer = buy(client)
    assert answer.status_code == 503
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert heading(answer.text) == "The payment page did not open"
    assert "Nothing was charged" in words(answer.text)
    assert buttons(answer.text) == ["Try again"]
    assert refresh(answer.text) is None
    (order,) = placed(session)
    sandbox.control("clear_faults")
    sent = client.post(f"/orders/{order.token}", data={"action": "pay"})
    assert sent.status_code == 303
    assert sent.location.startswith(sandbox.url)


def test_page_without_an_answer_from_stripe_does_not_guess_the_state(
    client: FlaskClient, session: Session, sandbox: SandboxServer
) -> None:
    order, url = bought(client, session)
    sandbox.pay(url)
    sandbox.control("fault", kind="html", times=50)
    html = order_page(client, order)
    read = words(html)
    assert heading(html) == "We are checking your payment"
    assert "If you have paid, do not pay again." in read
    assert "Not paid yet" not in read
    assert buttons(html) == []
    assert refresh(html) == f"10;url=/orders/{order.token}"
    sandbox.control("clear_faults")
    assert heading(order_page(client, order)) == "You're in"


def test_failed_cancellation_says_when_the_order_expires(
    client: FlaskClient, session: Session, sandbox: SandboxServer
) -> None:
    order, _ = bought(client, session)
    sandbox.control("fault", kind="html", times=50)
    answer = client.post(f"/orders/{order.token}", data={"action": "cancel"})
    assert answer.status_code == 503
    assert heading(answer.text) == "Not canceled yet"
    assert "it expires in 35 minutes, and no payment is taken" in words(answer.text)
    assert buttons(answer.text) == ["Try to cancel again"]


def test_order_without_a_checkout_expires_after_its_time(
    client: FlaskClient, session: Session, sandbox: SandboxServer
) -> None:
    sandbox.control("fault", kind="html", times=50)
    buy(client)
    (order,) = placed(session)
    with time_machine.travel(now() + timedelta(minutes=40), tick=True):
        html = order_page(client, order)
    assert heading(html) == "This order has expired"
    assert buttons(html) == []
