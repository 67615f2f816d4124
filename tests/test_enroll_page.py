"""The order's summary: what a buyer reads before paying, and what is refused there."""

import re
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from crossroads import money, orders
from tests.purchases import (
    APRIL,
    COURSE,
    ENROLL,
    JANUARY,
    bought,
    buttons,
    buy,
    leave,
    placed,
    title,
    typed,
    words,
)
from tests.sandbox_server import SandboxServer

pytestmark = pytest.mark.usefixtures("one_day")


@pytest.fixture
def app(make_app: Any, sandbox: SandboxServer) -> Flask:
    built: Flask = make_app(stripe_api_base=sandbox.url)
    return built


def test_says_what_is_bought_when_it_runs_and_what_it_costs(client: FlaskClient) -> None:
    html = client.get(ENROLL).text
    read = words(html)
    said = [COURSE.title, COURSE.price.tax, COURSE.refund_rule, JANUARY.meets]
    said += ["January 19 to March 11, 2027", "24 places left", "Total $1,200"]
    said += ["You pay on Stripe's own page", "By paying you agree to our terms"]
    assert [one for one in said if " ".join(one.split()) not in read] == []
    assert buttons(html) == ["Pay $1,200 with Stripe"]
    assert 'href="/terms"' in html


def test_asks_for_name_and_address_and_nothing_more(client: FlaskClient) -> None:
    html = client.get(ENROLL).text
    asked = re.findall(r'<input type="(?:text|email|tel|password)"[^>]* name="(\w+)"', html)
    assert asked == ["seats", "name", "email"]
    assert 'autocomplete="name"' in html
    assert 'autocomplete="email"' in html


def test_dates_that_were_clicked_are_chosen(client: FlaskClient) -> None:
    def chosen(query: str) -> list[str]:
        return re.findall(r'value="([\w-]+)" required checked', client.get(ENROLL + query).text)

    assert chosen("") == [JANUARY.code]
    assert chosen(f"?cohort={APRIL.code}") == [APRIL.code]
    assert chosen("?cohort=no-such") == [JANUARY.code]


def test_no_visitor_gets_a_cookie_and_the_form_may_lead_to_the_pay_page(
    client: FlaskClient, sandbox: SandboxServer
) -> None:
    answer = client.get(ENROLL)
    assert "Set-Cookie" not in answer.headers
    assert answer.headers["Cache-Control"] == "no-store"
    policy = answer.headers["Content-Security-Policy"]
    assert f"form-action 'self' https://checkout.stripe.com {sandbox.url};" in policy


def test_button_says_each_total_as_the_server_would(client: FlaskClient) -> None:
    """The script shows these; it knows nothing of currencies itself."""
    html = client.get(ENROLL).text
    totals = re.findall(r'data-totals="([^"]+)"', html)[0].split("|")
    amount = int(re.findall(r'data-amount="(\d+)"', html)[0])
    assert totals == [money.display(amount * seats, "USD") for seats in range(1, 21)]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"seats": "0"}, "Enter a number of places from 1 to 20"),
        ({"seats": "21"}, "Enter a number of places from 1 to 20"),
        ({"seats": "two"}, "Enter a number of places from 1 to 20"),
        ({"seats": ""}, "Enter a number of places from 1 to 20"),
        ({"name": " "}, "Enter your name"),
        ({"email": "maria@example"}, "Enter an email address with a full domain"),
        ({"cohort": "no-such"}, "Choose dates that still have places"),
        ({"cohort": ""}, "Choose dates that still have places"),
    ],
)
def test_mistake_is_told_in_its_place_and_the_rest_is_kept(
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


def test_buyer_is_told_of_a_slip_but_never_stopped_by_it(
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


def test_nobody_is_sent_on_to_pay_an_amount_that_was_not_words(
    client: FlaskClient, session: Session
) -> None:
    """Without script the button goes on saying the price of one place."""
    answer = client.post(ENROLL, data=typed(client, seats="3"))
    assert answer.status_code == 200
    assert "3 places cost $3,600. The button you pressed said another amount" in words(answer.text)
    assert buttons(answer.text) == ["Pay $3,600 with Stripe"]
    assert placed(session) == []
    again = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', answer.text))
    sent = client.post(ENROLL, data={**typed(client, seats="3"), **again})
    assert sent.status_code == 303
    assert len(placed(session)) == 1


def test_coming_back_for_another_number_makes_another_order(
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


def test_full_dates_cannot_be_chosen_and_lead_to_the_waiting_list(
    client: FlaskClient, session: Session
) -> None:
    leave(session, JANUARY, 0)
    html = client.get(f"{ENROLL}?cohort={JANUARY.code}").text
    assert "January 2027 is full." in words(html)
    assert f'value="{JANUARY.code}"' not in html
    assert 'href="#waiting-list"' in html
    assert buttons(html) == ["Pay $1,200 with Stripe", "Join the waiting list"]


def test_course_that_is_full_offers_the_waiting_list_and_nothing_to_pay(
    client: FlaskClient, session: Session
) -> None:
    for cohort in COURSE.cohorts:
        leave(session, cohort, 0)
    html = client.get(ENROLL).text
    assert buttons(html) == ["Join the waiting list"]
    assert "Every place is taken." in words(html)


@pytest.mark.parametrize(
    ("left", "asked", "said"),
    [
        (2, "3", "Only 2 places are left on these dates, and you asked for 3."),
        (1, "3", "Only 1 place is left on these dates, and you asked for 3."),
    ],
)
def test_asking_for_more_than_is_left_says_how_many_before_paying(
    client: FlaskClient, session: Session, left: int, asked: str, said: str
) -> None:
    leave(session, JANUARY, left)
    answer = buy(client, seats=asked)
    assert answer.status_code == 409
    assert said in words(answer.text)
    assert "Nothing was charged." in words(answer.text)
    assert f'value="{asked}"' in answer.text
    assert placed(session) == []


def test_dates_that_filled_up_meanwhile_are_told(client: FlaskClient, session: Session) -> None:
    form = typed(client)
    leave(session, JANUARY, 0)
    answer = client.post(ENROLL, data=form)
    assert answer.status_code == 409
    said = words(answer.text)
    assert "The last place on these dates has just been taken. Nothing was charged." in said
    assert 'value="maria@example.com"' in answer.text
    assert placed(session) == []


def test_double_click_on_the_last_place_leads_to_it(client: FlaskClient, session: Session) -> None:
    leave(session, JANUARY, 1)
    form = typed(client)
    first, second = (client.post(ENROLL, data=form) for _ in range(2))
    assert (first.status_code, second.status_code) == (303, 303)
    assert first.location == second.location
    assert len(placed(session)) == 1


def test_one_network_is_told_what_to_do_about_its_open_orders(client: FlaskClient) -> None:
    for number in range(orders.HOLDS_A_NETWORK):
        assert buy(client, email=f"p{number}@example.com").status_code == 303
    answer = buy(client, email="one.more@example.com")
    assert answer.status_code == 429
    assert "Several orders from your network wait for payment." in words(answer.text)
    assert 'value="one.more@example.com"' in answer.text


def test_order_that_was_paid_meanwhile_is_not_bought_twice(
    client: FlaskClient, session: Session, sandbox: SandboxServer
) -> None:
    _, url = bought(client, session)
    sandbox.pay(url)
    answer = buy(client)
    assert answer.status_code == 409
    assert "is paid already, or its payment is on its way" in words(answer.text)
    assert len(placed(session)) == 1
    assert buy(client).status_code == 303  # another place is wanted after all


def test_unpaid_order_that_cannot_be_replaced_is_told(
    client: FlaskClient, session: Session, sandbox: SandboxServer
) -> None:
    bought(client, session)
    sandbox.control("fault", kind="500", times=5)
    answer = buy(client, seats="2")
    assert answer.status_code == 503
    assert "Nothing was charged just now." in words(answer.text)
    assert len(placed(session)) == 1
