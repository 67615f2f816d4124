"""Every fault of Stripe at every call that a buyer causes: a calm page, and no lost seat.

One sandbox and one site on each database serve the whole module; each test buys as another
person.
"""

from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from crossroads.orders import ledger, seats
from models import Order
from tests.support.purchases import COURSE, ENROLL, JANUARY, buy, heading, hidden, words
from tests.support.sandbox_server import SandboxServer, eventually
from tests.support.stripe_trouble import Trouble, acting, looking
from tests.support.stripe_trouble import app as app
from tests.support.stripe_trouble import sandbox as sandbox
from tests.support.stripe_trouble import sites as sites
from tests.support.stripe_trouble import trouble as trouble
from tests.support.walks import walk

pytestmark = pytest.mark.usefixtures("one_day")

CREATE = ("POST", "/v1/checkout/sessions")
EXPIRE = ("POST", "/v1/checkout/sessions/*/expire")
RETRIEVE = ("GET", "/v1/checkout/sessions/*")
OURS = "Something is wrong on our side"
_numbers = count(1)


@pytest.fixture
def email(client: FlaskClient, session: Session) -> Iterator[str]:
    """The address of a new buyer; afterwards, cancel open orders and check that no seat is lost."""
    free = seats.seats_left(session, COURSE, JANUARY)
    session.rollback()
    address = f"buyer{next(_numbers)}@example.com"
    yield address
    for order in of(session, address):
        client.post(f"/orders/{order.token}", data={"action": "cancel"})
    ended = of(session, address)
    assert {state(session, order) for order in ended} <= {"canceled", "paid"}
    taken = sum(order.seats for order in ended if state(session, order) == "paid")
    assert seats.seats_left(session, COURSE, JANUARY) == free - taken


def changed(client: FlaskClient, email: str) -> tuple[dict[str, str], dict[str, str]]:
    """Return the fields of a form, and the changed fields that the same buyer sends next."""
    first = {"email": email, "request_key": hidden(client.get(ENROLL).text)["request_key"]}
    return first, {**first, "seats": "2"}


def of(session: Session, email: str) -> list[Order]:
    """Return the orders of a buyer with their current values, oldest first."""
    session.rollback()
    found = select(Order).where(Order.email == email).order_by(Order.id)
    return list(session.scalars(found.execution_options(populate_existing=True)))


def state(session: Session, order: Order) -> str:
    session.rollback()
    return ledger.balance_of(session, order).state


def made_for(sandbox: SandboxServer, order: Order) -> list[dict[str, Any]]:
    """Return the sessions of an order at Stripe, newest first."""
    every = sandbox.state()["sessions"]
    return [one for one in every if one["client_reference_id"] == order.token]


def calm(answer: TestResponse, said: str, status: int = 503) -> None:
    """Assert what every page about a fault must have, and what it says about the money."""
    assert answer.status_code == status
    assert answer.headers["Cache-Control"] == "no-store"
    read = words(answer.text)
    assert said in read
    for wrong in ("Traceback", "Error", "fail", "You're in"):
        assert wrong not in read


def pressed(client: FlaskClient, order: Order, action: str) -> TestResponse:
    return client.post(f"/orders/{order.token}", data={"action": action})


def try_again(client: FlaskClient, order: Order, action: str) -> TestResponse:
    """Press the button until it works: Stripe may still be busy with the first attempt."""
    answers = []

    def works() -> bool:
        answers.append(pressed(client, order, action))
        return answers[-1].status_code == 303

    eventually(works)
    return answers[-1]


@walk
@acting
def test_order_can_be_paid_after_a_failed_creation_of_its_checkout(
    client: FlaskClient, session: Session, sandbox: SandboxServer, email: str, trouble: Trouble
) -> None:
    with trouble.at(*CREATE):
        answer = buy(client, email=email)
    calm(answer, "Nothing was charged")
    ours = trouble.kind == "wrong"  # Stripe did answer, and the page does not deny it
    assert heading(answer.text) == (OURS if ours else "The payment page did not open")
    (order,) = of(session, email)
    assert state(session, order) == "open"
    location = try_again(client, order, "pay").location
    assert try_again(client, order, "pay").location == location
    newest, *others = made_for(sandbox, order)
    assert newest["url"] == location
    # Stripe repeats a 500 for a day, so the site uses a new key, and the first session is lost.
    assert len(others) == (trouble.kind == "500" and trouble.after)


@walk
@acting
def test_order_is_replaced_after_a_failed_expiry(
    client: FlaskClient, session: Session, sandbox: SandboxServer, email: str, trouble: Trouble
) -> None:
    first, second = changed(client, email)
    buy(client, **first)
    with trouble.at(*EXPIRE):
        answer = buy(client, **second)
    calm(answer, "so we could not replace it. Nothing was charged just now.")
    read, ours = words(answer.text), trouble.kind == "wrong"  # Stripe did answer
    assert (f"{OURS}: we could not end your earlier order" in read) == ours
    assert ("We could not end your earlier order at Stripe" in read) != ours
    assert len(of(session, email)) == 1
    replaced_in_the_end(client, session, sandbox, email, answer)


@walk
@looking
def test_order_is_replaced_after_a_failed_retrieval(
    client: FlaskClient, session: Session, sandbox: SandboxServer, email: str, trouble: Trouble
) -> None:
    """Stripe refuses to expire a session that has ended, so the site retrieves it."""
    first, second = changed(client, email)
    buy(client, **first)
    sandbox.control("expire", id=of(session, email)[0].session_id)
    with trouble.at(*RETRIEVE):
        answer = buy(client, **second)
    calm(answer, "so we could not replace it. Nothing was charged just now.")
    replaced_in_the_end(client, session, sandbox, email, answer)


@walk
@acting
def test_order_without_a_checkout_is_replaced_after_a_failed_creation(
    client: FlaskClient, session: Session, sandbox: SandboxServer, email: str, trouble: Trouble
) -> None:
    """To expire it, the site creates its session again, under the key that Stripe may know."""
    sandbox.control("fault", kind="reset", method="POST")
    first, second = changed(client, email)
    buy(client, **first)
    with trouble.at(*CREATE):
        answer = buy(client, **second)
    calm(answer, "so we could not replace it. Nothing was charged just now.")
    replaced_in_the_end(client, session, sandbox, email, answer)


def replaced_in_the_end(
    client: FlaskClient,
    session: Session,
    sandbox: SandboxServer,
    email: str,
    answer: TestResponse,
) -> None:
    """Send the kept form until it redirects to Stripe; assert one session for the new order."""
    form = {"cohort": JANUARY.code, "seats": "2", "name": "Maria", "email": email}
    assert f'value="{email}"' in answer.text
    form |= hidden(answer.text)
    answers = [answer]

    def works() -> bool:
        answers.append(client.post(ENROLL, data=form))
        return answers[-1].status_code == 303

    eventually(works)
    older, newer = of(session, email)
    assert (state(session, older), state(session, newer)) == ("canceled", "open")
    (made,) = made_for(sandbox, newer)
    assert made["url"] == answers[-1].location
    assert older.session_id in [
        one["id"] for one in made_for(sandbox, older) if one["status"] == "expired"
    ]


@walk
@acting
def test_order_can_be_canceled_after_a_failed_expiry(
    client: FlaskClient, session: Session, email: str, trouble: Trouble
) -> None:
    buy(client, email=email)
    (order,) = of(session, email)
    with trouble.at(*EXPIRE):
        answer = pressed(client, order, "cancel")
    calm(answer, "if it is not paid, it expires in 35 minutes, and no payment is taken")
    try_again(client, order, "cancel")
    assert state(session, order) == "canceled"


@walk
@looking
def test_order_page_recovers_after_a_failed_retrieval(
    client: FlaskClient, session: Session, sandbox: SandboxServer, email: str, trouble: Trouble
) -> None:
    sandbox.pay(buy(client, email=email).location)
    (order,) = of(session, email)
    with trouble.at(*RETRIEVE):
        answer = client.get(f"/orders/{order.token}")
    calm(answer, "If you have paid, do not pay again.", 200)
    assert heading(answer.text) == "We are checking your payment"
    assert heading(client.get(f"/orders/{order.token}").text) == "You're in"
    assert state(session, order) == "paid"
