"""Buying over HTTP as a browser does it, with the sandbox as Stripe."""

import re
from html import unescape
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import func, select
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from crossroads import current
from crossroads.content import load
from crossroads.orders import seats
from crossroads.payments import Gateway
from crossroads.worker.event_consumer import EventConsumer
from models import Enrollment, Hold, Message, Order, db
from tests.support.paths import ROOT
from tests.support.sandbox_server import KEY, SandboxServer
from tests.support.signups import shown

COURSE = load(ROOT / "site" / "content").courses[0]
COHORT = COURSE.cohorts[0]
ENROLL = f"/courses/{COURSE.slug}/enroll"
GOOD = {"cohort": COHORT.code, "seats": "2", "name": "Ada Lovelace", "email": "ada@example.com"}


@pytest.fixture
def app(make_app: Any, sandbox: SandboxServer) -> Flask:
    built: Flask = make_app(
        stripe_secret_key=KEY, stripe_webhook_secret="whsec_x", stripe_api_base=sandbox.url
    )
    return built


def key(client: FlaskClient) -> str:
    found = re.search(r'name="request_key"[^>]*value="([^"]+)"', client.get(ENROLL).text)
    assert found
    return unescape(found[1])


def buy(client: FlaskClient, **given: str) -> TestResponse:
    return client.post(ENROLL, data={**GOOD, "request_key": key(client), **given})


def order_page(session: Session) -> str:
    session.rollback()
    return f"/orders/{session.scalars(select(Order).order_by(Order.id.desc())).first().token}"  # type: ignore[union-attr]


def left(session: Session) -> int:
    session.rollback()
    return seats.seats_left(session, COURSE, COHORT)


def count(session: Session, model: type[Any]) -> int:
    session.rollback()
    return session.scalar(select(func.count()).select_from(model)) or 0


def test_summary_shows_course_dates_and_the_amount_on_the_button(client: FlaskClient) -> None:
    answer = client.get(f"{ENROLL}?cohort={COURSE.cohorts[1].code}")
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    assert "Set-Cookie" not in answer.headers
    words = shown(answer.text)
    assert COURSE.title in words
    assert f"Pay {COURSE.price.display} with Stripe" in words
    checked = re.findall(r"<input[^>]+checked[^>]*>", answer.text)
    assert len(checked) == 1
    assert COURSE.cohorts[1].code in checked[0]


def test_valid_form_holds_the_seats_and_redirects_to_stripe(
    client: FlaskClient, session: Session, sandbox: SandboxServer
) -> None:
    before = left(session)
    answer = buy(client)
    assert answer.status_code == 303
    assert answer.location.startswith(sandbox.url)
    assert left(session) == before - 2
    order = session.scalars(select(Order)).one()
    assert order.session_id
    made = sandbox.state()["sessions"][0]
    assert made["id"] == order.session_id


def test_content_policy_allows_the_redirect_to_the_payment_page(
    client: FlaskClient, sandbox: SandboxServer
) -> None:
    for page in (client.get(ENROLL), client.post(ENROLL, data={})):
        policy = page.headers["Content-Security-Policy"]
        assert f"form-action 'self' https://checkout.stripe.com {sandbox.url};" in policy


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"email": "ada@example"}, "Enter an email address with a full domain"),
        ({"name": ""}, "Enter your name"),
        ({"seats": "0"}, "Enter a number of seats from 1 to 20"),
        ({"seats": "21"}, "Enter a number of seats from 1 to 20"),
        ({"seats": "two"}, "Enter a number of seats from 1 to 20"),
        ({"cohort": "1999"}, "Choose dates with free seats"),
    ],
)
def test_mistake_is_shown_and_the_typed_values_are_kept(
    client: FlaskClient, session: Session, given: dict[str, str], sentence: str
) -> None:
    answer = buy(client, **given)
    assert answer.status_code == 422
    assert sentence in shown(answer.text)
    for name, value in {**GOOD, **given}.items():
        if name in ("email", "name", "seats") and value:
            assert f'value="{value}"' in answer.text
    assert count(session, Order) == 0


def test_changed_number_of_seats_shows_the_new_total_first(
    client: FlaskClient, session: Session
) -> None:
    answer = buy(client, seats="3", amount=str(COURSE.price.amount))
    assert answer.status_code == 200
    assert "Pay $3,600 with Stripe" in shown(answer.text)
    assert count(session, Order) == 0
    assert buy(client, seats="3", amount=str(3 * COURSE.price.amount)).status_code == 303


def test_double_click_makes_one_order(
    client: FlaskClient, session: Session, sandbox: SandboxServer
) -> None:
    form = {**GOOD, "request_key": key(client)}
    first, second = (client.post(ENROLL, data=form) for _ in range(2))
    assert first.location == second.location
    assert count(session, Order) == 1
    assert len(sandbox.state()["sessions"]) == 1


def test_changed_form_replaces_the_older_order(
    client: FlaskClient, session: Session, sandbox: SandboxServer
) -> None:
    before = left(session)
    form = {"request_key": key(client)}
    buy(client, **form)
    assert buy(client, **form, seats="1").status_code == 303
    assert left(session) == before - 1
    assert count(session, Hold) == 1
    states = sorted(one["status"] for one in sandbox.state()["sessions"])
    assert states == ["expired", "open"]


def test_changed_form_after_payment_makes_no_second_order(
    client: FlaskClient, session: Session, sandbox: SandboxServer
) -> None:
    form = {"request_key": key(client)}
    sandbox.pay(buy(client, **form).location)
    again = buy(client, **form, seats="1")
    assert again.status_code == 409
    assert count(session, Order) == 1
    assert count(session, Enrollment) == 2


def test_order_page_enrolls_a_paid_order_without_a_webhook(
    client: FlaskClient, session: Session, sandbox: SandboxServer
) -> None:
    paid = sandbox.pay(buy(client).location)
    assert paid.location == f"http://localhost{order_page(session)}"
    for _ in range(3):
        page = client.get(order_page(session))
        assert page.status_code == 200
    words = shown(page.text)
    assert "You're in" in words or "You’re in" in words
    assert "$2,400" in words
    assert page.headers["Referrer-Policy"] == "no-referrer"
    assert count(session, Enrollment) == 2
    assert set(session.scalars(select(Message.kind))) == {"receipt", "enrolled"}
    assert count(session, Message) == 2


def test_student_page_opens_only_with_its_own_token(
    client: FlaskClient, session: Session, sandbox: SandboxServer
) -> None:
    sandbox.pay(buy(client).location)
    client.get(order_page(session))
    session.rollback()
    seat = session.scalars(select(Enrollment).where(Enrollment.seat == 1)).one()
    order = session.scalars(select(Order)).one()
    page = client.get(f"/enrollments/{seat.token}")
    assert page.status_code == 200
    assert page.headers["Cache-Control"] == "no-store"
    assert COURSE.title in shown(page.text)
    calendar = client.get(f"/enrollments/{seat.token}/calendar.ics")
    assert calendar.data.startswith(b"BEGIN:VCALENDAR")
    for stranger in (order.session_id, order.token, str(order.id), "x"):
        answer = client.get(f"/enrollments/{stranger}", follow_redirects=True)
        assert answer.status_code == 404
    for stranger in (order.session_id, seat.token, str(order.id)):
        assert client.get(f"/orders/{stranger}", follow_redirects=True).status_code == 404


def test_order_can_be_paid_after_a_declined_card(
    client: FlaskClient, session: Session, sandbox: SandboxServer
) -> None:
    url = buy(client).location
    sandbox.pay(url, "4000000000000002")
    words = shown(client.get(order_page(session)).text)
    assert "fail" not in words.lower()
    sandbox.pay(url)
    client.get(order_page(session))
    assert count(session, Enrollment) == 2


def test_pending_payment_holds_the_seats_without_enrolling(
    client: FlaskClient, session: Session, sandbox: SandboxServer
) -> None:
    sandbox.pay(buy(client).location, iban="AT321904300235473204")
    page = client.get(order_page(session))
    assert page.status_code == 200
    assert "fail" not in shown(page.text).lower()
    assert count(session, Enrollment) == 0
    assert count(session, Hold) == 1


def test_canceled_order_releases_its_seats_and_says_nothing_was_paid(
    client: FlaskClient, session: Session
) -> None:
    before = left(session)
    buy(client)
    answer = client.post(order_page(session), data={"action": "cancel"})
    assert answer.status_code == 303
    words = shown(client.get(order_page(session)).text)
    assert "No payment was taken" in words
    assert left(session) == before


def test_expired_order_does_not_say_you_are_in(
    client: FlaskClient, session: Session, sandbox: SandboxServer
) -> None:
    buy(client)
    sandbox.control("advance", seconds=3600)
    words = shown(client.get(order_page(session)).text)
    assert "You're in" not in words
    assert "You’re in" not in words
    assert count(session, Hold) == 0


def test_cohort_without_enough_seats_is_reported_before_payment(
    client: FlaskClient, session: Session, app: Flask
) -> None:
    form = {**GOOD, "request_key": key(client)}
    with app.app_context():
        from models import writing

        writing(db.session)
        course = current.content().courses[0]
        seats.reserve(db.session, course, course.cohorts[0], COHORT.seats - 1)
        db.session.commit()
    answer = client.post(ENROLL, data=form)
    assert answer.status_code == 409
    assert "1 seat" in shown(answer.text)
    assert count(session, Order) == 0


def test_form_from_another_site_is_refused(client: FlaskClient, session: Session) -> None:
    headers = {"Sec-Fetch-Site": "cross-site"}
    assert client.post(ENROLL, data=GOOD, headers=headers).status_code == 403
    assert count(session, Order) == 0


def test_return_urls_for_stripe_ignore_the_host_header(
    client: FlaskClient, sandbox: SandboxServer
) -> None:
    headers = {"Host": "evil.example", "X-Forwarded-Host": "evil.example"}
    form = {**GOOD, "request_key": key(client)}
    assert client.post(ENROLL, data=form, headers=headers).status_code == 303
    (made,) = sandbox.state()["sessions"]
    for address in (made["success_url"], made["cancel_url"]):
        assert address.startswith("http://localhost/orders/")


def test_worker_enrolls_from_the_webhook_when_the_buyer_does_not_return(
    client: FlaskClient, session: Session, sandbox: SandboxServer, app: Flask
) -> None:
    sandbox.pay(buy(client).location)
    with app.app_context():
        engine = db.engine
    gateway = Gateway(KEY, base=sandbox.url, background=True)
    EventConsumer(engine, gateway, "http://localhost").work()
    assert count(session, Enrollment) == 0  # no webhook event was received
    from crossroads.fulfillment import webhook_events
    from crossroads.payments import Event
    from models import now, writing

    order = session.scalars(select(Order)).one()
    session.rollback()
    with Session(engine) as own:
        writing(own)
        known = Event(
            id="evt_1",
            kind="checkout.session.completed",
            object_id=str(order.session_id),
            live=False,
            created_at=now(),
        )
        webhook_events.receive(own, [known])
        own.commit()
    EventConsumer(engine, gateway, "http://localhost").work()
    assert count(session, Enrollment) == 2
