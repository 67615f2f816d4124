"""The enroll page: what a buyer reads before payment, and what is refused."""

import re
from html import unescape
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from crossroads import money
from crossroads.orders import seats
from models import db
from tests.support.purchases import (
    APRIL,
    COURSE,
    ENROLL,
    JANUARY,
    bought,
    buttons,
    buy,
    heading,
    hidden,
    leave,
    placed,
    title,
    typed,
    words,
)
from tests.support.sandbox_server import SandboxServer

pytestmark = pytest.mark.usefixtures("one_day")


@pytest.fixture
def app(make_app: Any, sandbox: SandboxServer) -> Flask:
    built: Flask = make_app(stripe_api_base=sandbox.url)
    return built


def test_page_shows_course_dates_and_price(client: FlaskClient) -> None:
    html = client.get(ENROLL).text
    read = words(html)
    said = [COURSE.title, COURSE.price.tax, COURSE.refund_rule, JANUARY.meets]
    said += ["January 19 to March 11, 2027", "24 seats left", "Total $1,200"]
    said += ["You pay on Stripe's own page", "By paying you agree to our terms"]
    assert [one for one in said if " ".join(one.split()) not in read] == []
    assert buttons(html) == ["Pay $1,200 with Stripe"]
    assert 'href="/terms"' in html


def test_form_asks_only_for_seats_name_and_address(client: FlaskClient) -> None:
    html = client.get(ENROLL).text
    asked = re.findall(r'<input type="(?:text|email|tel|password)"[^>]* name="(\w+)"', html)
    assert asked == ["seats", "name", "email"]
    assert 'autocomplete="name"' in html
    assert 'autocomplete="email"' in html


def test_cohort_in_the_link_is_selected(client: FlaskClient) -> None:
    def chosen(query: str) -> list[str]:
        return re.findall(r'value="([\w-]+)" required checked', client.get(ENROLL + query).text)

    assert chosen("") == [JANUARY.code]
    assert chosen(f"?cohort={APRIL.code}") == [APRIL.code]
    assert chosen("?cohort=no-such") == [JANUARY.code]


def test_page_sets_no_cookie_and_its_policy_allows_the_payment_page(
    client: FlaskClient, sandbox: SandboxServer
) -> None:
    answer = client.get(ENROLL)
    assert "Set-Cookie" not in answer.headers
    assert answer.headers["Cache-Control"] == "no-store"
    policy = answer.headers["Content-Security-Policy"]
    assert f"form-action 'self' https://checkout.stripe.com {sandbox.url};" in policy


def test_totals_for_the_button_are_formatted_by_the_server(client: FlaskClient) -> None:
    """The script shows these totals, because it does not know currencies."""
    html = client.get(ENROLL).text
    totals = re.findall(r'data-totals="([^"]+)"', html)[0].split("|")
    amount = int(re.findall(r'data-amount="(\d+)"', html)[0])
    assert totals == [money.display(amount * seats, "USD") for seats in range(1, 21)]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"seats": "0"}, "Enter a number of seats from 1 to 20"),
        ({"seats": "21"}, "Enter a number of seats from 1 to 20"),
        ({"seats": "two"}, "Enter a number of seats from 1 to 20"),
        ({"seats": ""}, "Enter a number of seats from 1 to 20"),
        ({"name": " "}, "Enter your name"),
        ({"email": "maria@example"}, "Enter an email address with a full domain"),
        ({"cohort": "no-such"}, "Choose dates with free seats"),
        ({"cohort": ""}, "Choose dates with free seats"),
    ],
)
def test_mistake_is_shown_at_its_field_and_the_rest_is_kept(
    client: FlaskClient, session: Session, wrong: dict[str, str], message: str
) -> None:
    answer = client.post(ENROLL, data=typed(client, **{"name": "Zoë & Co", **wrong}))
    assert answer.status_code == 422
    assert answer.headers["Cache-Control"] == "no-store"
    assert title(answer.text).startswith("Error: ")
    (name,) = wrong
    assert message in words(answer.text)
    place = answer.text.index(f'id="enroll-{name}-error"')
    assert f'aria-describedby="enroll-{name}-error"' in answer.text
    assert message in answer.text[place : place + 600]
    if name not in ("name", "cohort"):
        assert 'value="Zoë &amp; Co"' in answer.text
        assert f'name="{name}"' in answer.text
        assert not wrong[name] or f'value="{wrong[name]}"' in answer.text
    assert placed(session) == []


def test_probable_typo_in_an_address_does_not_stop_an_order(
    client: FlaskClient, session: Session
) -> None:
    answer = buy(client, email="maria@gamil.com", name="")
    assert answer.status_code == 422
    assert "Did you mean maria@gmail.com" in words(answer.text)
    for mailbox in ("maria@gamil.com", "maria@mailinator.com"):
        assert buy(client, email=mailbox).status_code == 303
    assert [order.email for order in placed(session)] == ["maria@gamil.com", "maria@mailinator.com"]


def test_several_mistakes_are_listed_with_links_to_their_fields(client: FlaskClient) -> None:
    html = client.post(ENROLL, data=typed(client, seats="99", name="", email="")).text
    assert "Correct these 3 things" in words(html)
    for name in ("seats", "name", "email"):
        assert f'<a href="#enroll-{name}">' in html
        assert f'id="enroll-{name}"' in html


def test_amount_that_was_not_on_the_button_is_not_ordered(
    client: FlaskClient, session: Session
) -> None:
    """Without JavaScript the button still shows the price of one seat."""
    answer = client.post(ENROLL, data=typed(client, seats="3"))
    assert answer.status_code == 200
    assert "3 seats cost $3,600. The button you pressed said another amount" in words(answer.text)
    assert buttons(answer.text) == ["Pay $3,600 with Stripe"]
    assert placed(session) == []
    again = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', answer.text))
    sent = client.post(ENROLL, data={**typed(client, seats="3"), **again})
    assert sent.status_code == 303
    assert len(placed(session)) == 1


def test_changed_number_of_seats_makes_another_order(
    client: FlaskClient, session: Session, sandbox: SandboxServer
) -> None:
    form = typed(client)
    first = client.post(ENROLL, data=form)
    assert client.post(ENROLL, data=form).location == first.location
    assert len(placed(session)) == 1
    amount = str(2 * COURSE.price.amount)
    second = client.post(ENROLL, data={**form, "seats": "2", "amount": amount})
    assert second.status_code == 303
    assert second.location != first.location
    made = [one["amount_total"] for one in sandbox.state()["sessions"]]
    assert sorted(made) == [COURSE.price.amount, 2 * COURSE.price.amount]


def test_full_cohort_cannot_be_chosen_and_has_a_waiting_list(
    client: FlaskClient, session: Session
) -> None:
    leave(session, JANUARY, 0)
    html = client.get(f"{ENROLL}?cohort={JANUARY.code}").text
    assert "January 2027 is full." in words(html)
    assert f'value="{JANUARY.code}"' not in html
    assert 'href="#waiting-list"' in html
    assert buttons(html) == ["Pay $1,200 with Stripe", "Join the waiting list"]


def test_full_course_has_a_waiting_list_and_no_payment_button(
    client: FlaskClient, session: Session
) -> None:
    for cohort in COURSE.cohorts:
        leave(session, cohort, 0)
    html = client.get(ENROLL).text
    assert buttons(html) == ["Join the waiting list"]
    assert "Every seat is taken." in words(html)


@pytest.mark.parametrize(
    ("left", "asked", "said"),
    [
        (2, "3", "Only 2 seats are left on these dates, and you asked for 3."),
        (1, "3", "Only 1 seat is left on these dates, and you asked for 3."),
    ],
)
def test_order_for_too_many_seats_names_the_seats_left(
    client: FlaskClient, session: Session, left: int, asked: str, said: str
) -> None:
    leave(session, JANUARY, left)
    answer = buy(client, seats=asked)
    assert answer.status_code == 409
    assert said in words(answer.text)
    assert "Nothing was charged." in words(answer.text)
    assert f'value="{asked}"' in answer.text
    assert placed(session) == []


def test_cohort_that_filled_up_meanwhile_is_reported(client: FlaskClient, session: Session) -> None:
    form = typed(client)
    leave(session, JANUARY, 0)
    answer = client.post(ENROLL, data=form)
    assert answer.status_code == 409
    said = words(answer.text)
    assert "The last seat on these dates has just been taken. Nothing was charged." in said
    assert 'value="maria@example.com"' in answer.text
    assert placed(session) == []


def test_second_click_on_the_last_seat_makes_no_second_order(
    client: FlaskClient, session: Session
) -> None:
    leave(session, JANUARY, 1)
    form = typed(client)
    first, second = (client.post(ENROLL, data=form) for _ in range(2))
    assert (first.status_code, second.status_code) == (303, 303)
    assert first.location == second.location
    assert len(placed(session)) == 1


def test_unpaid_orders_of_one_visitor_hold_a_limited_number_of_seats(
    client: FlaskClient, session: Session
) -> None:
    for number, email in ((10, "maria@example.com"), (5, "another@example.com")):
        assert buy(client, seats=str(number), email=email).status_code == 303
    for email in ("maria@example.com", "third@example.com"):
        answer = buy(client, email=email)
        assert answer.status_code == 429
        assert title(answer.text).startswith("Error: ")
        read = words(answer.text)
        assert "Too many seats wait for payment already. Nothing was charged for this" in read
        assert "Unpaid orders can hold 10 seats for one email address" in read
        assert "and 15 for one network" in read  # both limits are named, whichever applies
        assert f'value="{email}"' in answer.text
    assert seats.seats_left(session, COURSE, JANUARY) == JANUARY.seats - 15


def test_twelve_buyers_on_one_network_all_get_a_seat(client: FlaskClient) -> None:
    for number in range(12):
        assert buy(client, email=f"p{number}@firm.example").status_code == 303


def test_order_above_the_limit_of_held_seats_names_the_limit(
    client: FlaskClient, session: Session
) -> None:
    answer = buy(client, seats="12")
    assert answer.status_code == 429
    read = words(answer.text)
    assert "You can order at most 10 seats at a time, and you asked for 12." in read
    assert "Ask for 10 or fewer" in read
    assert 'value="12"' in answer.text
    assert placed(session) == []


def test_limits_of_held_seats_come_from_the_settings(make_app: Any, sandbox: SandboxServer) -> None:
    given = {"held_seats_per_address": 12, "held_seats_per_network": 13}
    client = make_app(stripe_api_base=sandbox.url, **given).test_client()
    assert buy(client, seats="12").status_code == 303
    assert buy(client, seats="2", email="other@example.com").status_code == 429
    assert buy(client, email="other@example.com").status_code == 303


def test_same_address_does_not_end_or_reveal_the_order_of_another(
    client: FlaskClient, session: Session, sandbox: SandboxServer
) -> None:
    theirs, url = bought(client, session)
    stranger = buy(client, name="Mallory", seats="2")
    assert stranger.status_code == 303
    assert client.get(f"/orders/{theirs.token}").status_code == 200
    assert {one["status"] for one in sandbox.state()["sessions"]} == {"open"}
    sandbox.pay(url)
    assert heading(client.get(f"/orders/{theirs.token}").text) == "You're in"
    assert buy(client, name="Mallory").status_code == 303  # does not reveal that the order was paid


def test_form_opened_from_the_order_page_replaces_that_order(
    client: FlaskClient, session: Session, sandbox: SandboxServer
) -> None:
    first, _ = bought(client, session, seats="10", name="Zoë & Co")
    page = client.get(f"/orders/{first.token}").text
    fields = {name: unescape(value) for name, value in hidden(page).items()}
    shown = client.post(ENROLL, data={**fields, "action": "change"})
    assert (shown.status_code, shown.headers["Cache-Control"]) == (200, "no-store")
    assert len(placed(session)) == 1
    for value in ('value="Zoë &amp; Co"', 'value="maria@example.com"', 'value="10"'):
        assert value in shown.text
    fields = {**fields, **hidden(shown.text), "seats": "9", "amount": ""}
    assert client.post(ENROLL, data=fields).status_code == 303
    older, newer = placed(session)
    assert (older.state, newer.state, newer.seats) == ("canceled", "open", 9)
    assert sorted(one["status"] for one in sandbox.state()["sessions"]) == ["expired", "open"]


def test_order_stays_open_if_its_replacement_is_refused(
    client: FlaskClient, session: Session
) -> None:
    form = typed(client)
    client.post(ENROLL, data=form)
    leave(session, JANUARY, 3)
    for number, status in (("5", 409), ("11", 409)):
        answer = client.post(ENROLL, data={**form, "seats": number, "amount": ""})
        assert answer.status_code == status
    assert [one.state for one in placed(session)] == ["open"]
    answer = client.post(ENROLL, data={**form, "seats": "4", "amount": ""})
    assert answer.status_code == 303  # the replaced order's seat counts as free
    assert [one.state for one in placed(session)] == ["canceled", "open"]


def test_reverted_change_makes_another_order(client: FlaskClient, session: Session) -> None:
    form = typed(client)
    for number in ("1", "2", "1", "1"):
        answer = client.post(ENROLL, data={**form, "seats": number, "amount": ""})
        assert answer.status_code == 303
    made = placed(session)
    assert [(one.seats, one.state) for one in made] == [
        (1, "canceled"), (2, "canceled"), (1, "open"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("limit", "changed"),
    [("order_limit", "email"), ("order_address_limit", "network")],
)
def test_orders_are_rate_limited_and_the_form_is_kept(
    make_app: Any, session: Session, sandbox: SandboxServer, limit: str, changed: str
) -> None:
    given = {limit: "3/hour", "trusted_proxies": 1}
    client = make_app(stripe_api_base=sandbox.url, **given).test_client()

    def order(number: int, **form: str) -> Any:
        ip = f"192.0.2.{number}" if changed == "network" else "192.0.2.1"
        email = f"p{number}@example.com" if changed == "email" else "maria@example.com"
        filled = {**typed(client), "email": email, "amount": "", **form}
        return client.post(ENROLL, data=filled, headers={"X-Forwarded-For": ip})

    for number in (1, 2, 3):
        twice = hidden(client.get(ENROLL).text)
        assert order(number, **twice).status_code == 303
        assert order(number, **twice).status_code == 303  # a double click counts once
    refused = order(4)
    assert refused.status_code == 429
    assert 3500 < int(refused.headers["Retry-After"]) <= 3600
    assert "Send it again" in refused.text or "send it again" in refused.text
    assert 'name="seats" value="1"' in refused.text
    calls = len(sandbox.state()["sessions"])
    assert (len(placed(session)), calls) == (3, 3)


def test_order_paid_meanwhile_is_not_replaced_at_once(
    client: FlaskClient, session: Session, sandbox: SandboxServer
) -> None:
    form = hidden(client.get(ENROLL).text)
    _, url = bought(client, session, request_key=form["request_key"])
    sandbox.pay(url)
    answer = buy(client, seats="2", request_key=form["request_key"])
    assert answer.status_code == 409
    assert "is paid already, or its payment is on its way" in words(answer.text)
    assert len(placed(session)) == 1
    assert buy(client, seats="2", request_key=form["request_key"]).status_code == 303  # second try


def test_order_is_not_replaced_when_stripe_fails(
    client: FlaskClient, session: Session, sandbox: SandboxServer
) -> None:
    form = hidden(client.get(ENROLL).text)
    bought(client, session, request_key=form["request_key"])
    sandbox.control("fault", kind="500", times=5)
    answer = buy(client, seats="2", request_key=form["request_key"])
    assert answer.status_code == 503
    assert "Nothing was charged just now." in words(answer.text)
    assert len(placed(session)) == 1


def test_test_mode_is_shown_on_every_page_before_a_payment(
    make_app: Any, sandbox: SandboxServer
) -> None:
    for on, times in (("1", 1), ("0", 0)):
        app = make_app(stripe_api_base=sandbox.url, stripe_test=on)
        client = app.test_client()
        buy(client, email=f"buyer{on}@example.com")
        with app.app_context(), Session(db.engine) as session:
            order = placed(session)[-1]
        for path in (f"/courses/{COURSE.slug}", ENROLL, f"/orders/{order.token}"):
            assert client.get(path).text.count("This site is in test mode.") == times, path
