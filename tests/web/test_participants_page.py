"""The participants section of the order page."""

import re
from typing import Any

import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from crossroads.orders import disputes, ledger
from crossroads.orders import lifecycle as orders
from models import Enrollment, Order, db, writing
from tests.support.order_states import dispute
from tests.support.orders import paid, with_checkout
from tests.support.purchases import JANUARY, buttons, order_page, title, words

pytestmark = pytest.mark.usefixtures("one_day")

BEN = {"name": "Ben", "email": "ben@example.com"}
ZOE = {"name": "Zoë", "email": "zoe@example.com"}


@pytest.fixture
def app(make_app: Any, database_url: str) -> Flask:
    built: Flask = make_app(database_url=database_url)
    return built


@pytest.fixture
def order(session: Session) -> Order:
    """A paid order of three seats."""
    writing(session)
    order = with_checkout(session, cohort=JANUARY, number=3)
    orders.fulfill(session, order.id, paid(order), "test")
    session.commit()
    return order


def typed(number: int, person: dict[str, str], turn: int = 0) -> dict[str, str]:
    return {f"seat{number}-{name}": value for name, value in (person | {"turn": f"{turn}"}).items()}


def send(client: FlaskClient, order: Order, *forms: dict[str, str]) -> TestResponse:
    data = {name: value for form in forms for name, value in form.items()}
    answer = client.post(f"/orders/{order.token}/participants", data=data)
    assert answer.headers["Cache-Control"] == "no-store" or answer.status_code == 303
    return answer


def seats(session: Session, order: Order) -> list[Enrollment]:
    session.rollback()
    return list(orders.enrollments(session, order))


def test_unnamed_seats_are_shown_with_the_form_to_name_them(
    client: FlaskClient, order: Order
) -> None:
    html = order_page(client, order)
    said = words(html)
    assert "2 seats have no participant yet. Each participant gets an email" in said
    assert "Seat 1, Maria maria@example.com You, the buyer." in said
    assert buttons(html) == ["Change seat 1", "Send the invitations"]
    assert 'href="#participants"' in html


def test_named_participant_is_stored_and_shown(
    client: FlaskClient, session: Session, order: Order
) -> None:
    answer = send(client, order, typed(2, BEN), typed(3, {"name": "", "email": ""}))
    assert (answer.status_code, answer.location) == (
        303, f"/orders/{order.token}?done=named#participants"
    )  # fmt: skip
    html = client.get(answer.location).text
    assert "Each new participant gets an email with the link to their page." in words(html)
    assert "Seat 2, Ben ben@example.com The invitation is on its way." in words(html)
    assert "1 seat has no participant yet." in words(html)
    _, ben, nobody = seats(session, order)
    assert (ben.name, ben.email, nobody.email) == ("Ben", "ben@example.com", None)
    page = client.get(f"/enrollments/{ben.token}").text
    assert "Your seat, Ben, 2 of 3" in words(page)
    for private in ("Maria", "maria@example.com", "$3,600", order.token):
        assert private not in page


@pytest.mark.parametrize(
    ("second", "third", "said"),
    [
        ({"name": "Ben", "email": "ben@example"}, ZOE, "a full domain, like name@example.com"),
        ({"name": "", "email": "ben@example.com"}, ZOE, "Enter the name of the participant"),
        ({"name": "Ben", "email": ""}, ZOE, "Enter an email address, like name@example.com"),
        (ZOE, ZOE, "This person has seat 2 already: enter another person for each seat"),
        (BEN, {"name": "M", "email": "maria@example.com"}, "This person has seat 1 already"),
    ],
)
def test_mistake_is_shown_and_the_typed_values_are_kept(
    client: FlaskClient,
    session: Session,
    order: Order,
    second: dict[str, str],
    third: dict[str, str],
    said: str,
) -> None:
    answer = send(client, order, typed(2, second), typed(3, third))
    assert answer.status_code == 422
    assert title(answer.text).startswith("Error: ")
    assert said in words(answer.text)
    for number, person in ((2, second), (3, third)):
        for value in filter(None, person.values()):
            assert re.search(rf'name="seat{number}-\w+"[^>]* value="{value}"', answer.text)
    assert [one.email for one in seats(session, order)] == ["maria@example.com", None, None]


def test_empty_form_is_refused(client: FlaskClient, order: Order) -> None:
    answer = send(client, order, typed(2, {"name": "", "email": ""}))
    assert answer.status_code == 422
    assert "Enter a name and an email address for at least one seat" in words(answer.text)


def test_second_window_shows_the_earlier_change_and_its_own_values(
    client: FlaskClient, session: Session, order: Order
) -> None:
    send(client, order, typed(2, BEN))
    late = send(client, order, typed(2, ZOE), typed(3, {"name": "Eve", "email": "eve@example.com"}))
    assert late.status_code == 409
    said = words(late.text)
    assert "Seat 2: This seat was given to ben@example.com in another window." in said
    assert "What you typed was not used: Zoë, zoe@example.com" in said
    assert 'value="eve@example.com"' in late.text
    assert [one.email for one in seats(session, order)] == ["maria@example.com", BEN["email"], None]


def test_page_of_a_replaced_participant_says_so(
    client: FlaskClient, session: Session, order: Order
) -> None:
    send(client, order, typed(2, BEN))
    ben = seats(session, order)[1]
    html = order_page(client, order)
    assert "Change the participant of seat 2" in words(html)
    assert send(client, order, typed(2, ZOE, turn=1)).status_code == 303
    page = client.get(f"/enrollments/{ben.token}")
    assert "This seat now belongs to another participant" in words(page.text)
    assert "First session" not in page.text and "January 19" not in page.text
    calendar = client.get(f"/enrollments/{ben.token}/calendar.ics")
    assert (calendar.status_code, calendar.location) == (303, f"/enrollments/{ben.token}")
    assert calendar.headers["Cache-Control"] == "no-store"
    zoe = seats(session, order)[1]
    assert client.get(f"/enrollments/{zoe.token}/calendar.ics").status_code == 200


def test_receipt_is_shown_only_to_the_buyer(
    client: FlaskClient, session: Session, order: Order
) -> None:
    first = seats(session, order)[0]
    assert "Receipt" in words(client.get(f"/enrollments/{first.token}").text)
    assert send(client, order, typed(1, BEN)).status_code == 303
    ben = seats(session, order)[0]
    page = words(client.get(f"/enrollments/{ben.token}").text)
    assert "Receipt" not in page and "maria@example.com" not in page
    html = order_page(client, order)
    assert "/enrollments/" not in html  # the buyer has no own page now


def test_repeated_invitation_is_refused_while_the_first_is_queued(
    client: FlaskClient, session: Session, order: Order
) -> None:
    path = f"/orders/{order.token}/participants/2/invitation"
    send(client, order, typed(2, BEN))
    answer = client.post(path, data={"turn": "1"})
    assert answer.status_code == 409
    assert "The invitation is on its way: please wait five minutes" in words(answer.text)
    assert client.post(path, data={"turn": "x"}).status_code == 409
    assert client.post(path.replace("/2/", "/7/"), data={"turn": "1"}).status_code == 409
    assert client.post(path.replace(order.token, "no-order")).status_code == 404
    assert client.get(path).status_code == 405  # GET sends no mail


def test_participants_cannot_be_replaced_after_the_start(
    client: FlaskClient, session: Session, order: Order
) -> None:
    send(client, order, typed(2, BEN))
    with time_machine.travel("2027-01-19T12:00:00+00:00", tick=True):
        html = order_page(client, order)
        assert buttons(html) == [
            "Correct the name of seat 1", "Correct the name of seat 2", "Send the invitation"
        ]  # fmt: skip
        assert "participant of a seat can no longer be changed here" in words(html)
        refused = send(client, order, typed(2, ZOE, turn=1))
        assert refused.status_code == 409
        assert "What you typed was not used: Zoë, zoe@example.com" in words(refused.text)
        assert f"write to us and mention order {order.id}" in words(refused.text)
    with time_machine.travel("2027-03-12T12:00:00+00:00", tick=True):
        html = order_page(client, order)
        assert buttons(html) == []
        assert "This course is over" in words(html)


def test_name_can_be_corrected_after_the_start(
    client: FlaskClient, session: Session, order: Order
) -> None:
    send(client, order, typed(2, {"name": "Bne", "email": "ben@example.com"}))
    token = seats(session, order)[1].token
    with time_machine.travel("2027-01-19T12:00:00+00:00", tick=True):
        html = order_page(client, order)
        assert 'name="seat2-name"' in html and 'value="Bne"' in html
        empty = send(client, order, typed(2, {**BEN, "name": ""}, turn=1))
        assert empty.status_code == 422
        assert "Enter the name of the participant" in words(empty.text)
        assert "<details open><summary>Correct the name" in empty.text
        assert send(client, order, typed(2, {**BEN, "name": "<b>Ben"}, turn=1)).status_code == 303
        assert "Seat 2, <b>Ben ben@example.com" in words(order_page(client, order))
    ben = seats(session, order)[1]
    assert (ben.name, ben.email, ben.token) == ("<b>Ben", "ben@example.com", token)


def test_dispute_locks_the_seats_and_pauses_access(
    app: Flask, client: FlaskClient, session: Session, order: Order
) -> None:
    send(client, order, typed(2, BEN))
    with app.app_context(), Session(db.engine) as changing:
        writing(changing)
        found = ledger.lock(changing, order.id)
        disputes.record_status(changing, found, dispute(found, status="needs_response"), "event")
        changing.commit()
    html = order_page(client, order)
    assert buttons(html) == []
    assert "While the bank reviews the payment, the seats cannot change." in words(html)
    refused = send(client, order, typed(3, ZOE))
    assert refused.status_code == 409
    ben = seats(session, order)[1]
    page = client.get(f"/enrollments/{ben.token}").text
    assert "Your access is paused" in words(page) and "January 19" not in page
    assert client.get(f"/enrollments/{ben.token}/calendar.ics").status_code == 303


def test_order_of_one_seat_has_no_participants_section(
    client: FlaskClient, session: Session
) -> None:
    writing(session)
    order = with_checkout(session, cohort=JANUARY)
    orders.fulfill(session, order.id, paid(order), "test")
    session.commit()
    assert "Who takes part" not in order_page(client, order)
