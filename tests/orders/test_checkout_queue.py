"""The checkout queue: when too many buyers wait for Stripe, the worker opens their checkouts."""

import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import Engine, select, update
from sqlalchemy.orm import Session
from structlog.testing import capture_logs

from crossroads.fulfillment.reconciliation import Sweep
from crossroads.ops.server import WAITING_THREADS
from crossroads.orders import ledger
from crossroads.orders.checkout import queue
from crossroads.payments import Gateway, connection
from crossroads.web.order_page import LATE_SECONDS
from crossroads.worker.checkout_opener import CheckoutOpener
from crossroads.worker.loop import WAIT
from models import CheckoutRequest, Hold, Order, now, writing
from tests.support.orders import place
from tests.support.purchases import (
    ENROLL,
    bought,
    buttons,
    buy,
    course_file,
    heading,
    placed,
    refresh,
    typed,
    words,
)
from tests.support.sandbox_server import KEY, SandboxServer, eventually

pytestmark = pytest.mark.usefixtures("one_day")

CREATE = "/v1/checkout/sessions"
BASE = "http://localhost"
LOOKS = 12


@pytest.fixture
def app(make_app: Any, sandbox: SandboxServer, engine: Engine) -> Flask:
    """The site on each database."""
    url = engine.url.render_as_string(hide_password=False)
    given = {"stripe_api_base": sandbox.url, "database_url": url}
    built: Flask = make_app(**given, order_look_limit=f"{LOOKS}/minute")
    return built


@pytest.fixture
def opener(sandbox: SandboxServer, engine: Engine) -> CheckoutOpener:
    return CheckoutOpener(engine, Gateway(KEY, base=sandbox.url, background=True), BASE)


@contextmanager
def crowd(app: Flask, sandbox: SandboxServer) -> Iterator[None]:
    """Keep as many buyers waiting for Stripe as the site allows, until the end of the block."""
    sandbox.control("fault", kind="slow", seconds=60, times=WAITING_THREADS, path=CREATE)
    with ThreadPoolExecutor(WAITING_THREADS) as pool:
        coming = [
            pool.submit(buy, app.test_client(), email=f"first{number}@example.com")
            for number in range(WAITING_THREADS)
        ]
        eventually(lambda: not sandbox.state()["faults"])
        yield
        assert not any(one.done() for one in coming)
        sandbox.control("release")
        assert [one.result().status_code for one in coming] == [303] * WAITING_THREADS


def queued(app: Flask, sandbox: SandboxServer, session: Session) -> tuple[Order, str]:
    """Return an order that waits in the queue, and the path of its waiting page."""
    with crowd(app, sandbox):
        answer = buy(app.test_client())  # answered while the others still wait
    assert answer.status_code == 303
    order = next(one for one in placed(session) if one.email == "maria@example.com")
    assert re.fullmatch(rf"/orders/{order.token}\?pay=\d+", answer.location)
    return order, answer.location


def pass_the_pause(session: Session) -> None:
    """Make every queued order due, as after the pause that follows a failed attempt."""
    session.execute(update(CheckoutRequest).values(due_at=now() - timedelta(seconds=1)))
    session.commit()


def made_for(sandbox: SandboxServer, order: Order) -> list[dict[str, Any]]:
    every = sandbox.state()["sessions"]
    return [one for one in every if one["client_reference_id"] == order.token]


def test_queued_buyer_waits_on_a_page_that_opens_the_payment_page(
    app: Flask,
    client: FlaskClient,
    session: Session,
    sandbox: SandboxServer,
    opener: CheckoutOpener,
) -> None:
    order, address = queued(app, sandbox, session)
    page = client.get(address)
    assert (page.status_code, page.headers["Cache-Control"]) == (200, "no-store")
    assert page.headers["Referrer-Policy"] == "no-referrer"
    assert "Set-Cookie" not in page.headers
    assert heading(page.text) == "Opening the payment page"
    assert refresh(page.text) == f"2;url={address}"
    read = words(page.text)
    assert "Nothing was charged." in read
    assert "We hold your seat for you for another 35 minutes" in read
    assert "reach" not in read and "answer" not in read.replace("A real person will reply", "")
    assert made_for(sandbox, order) == []  # reading the page does not call Stripe
    opener.work()
    (made,) = made_for(sandbox, order)
    onward = client.get(address)
    assert (onward.status_code, onward.location) == (303, made["url"])
    assert onward.headers["Referrer-Policy"] == "no-referrer"
    assert onward.headers["Cache-Control"] == "no-store"
    sandbox.pay(made["url"])
    assert heading(client.get(f"/orders/{order.token}").text) == "You're in"
    assert client.get(address).status_code == 200  # it no longer redirects to the payment page


def test_order_page_redirects_only_with_a_recent_pay_time(
    client: FlaskClient, session: Session
) -> None:
    order, url = bought(client, session)
    at = int(time.time())
    assert client.get(f"/orders/{order.token}?pay={at}").location == url
    for given in ("", "?pay", "?pay=x", "?pay=-1", f"?pay={at - 121}", f"?pay={at + 60}", "?pay=²",
                  "?pay=" + "9" * 5000):  # fmt: skip
        page = client.get(f"/orders/{order.token}{given}")
        assert (page.status_code, heading(page.text)) == (200, "Not paid yet")
        assert refresh(page.text) == f"30;url=/orders/{order.token}"


def test_waiting_page_offers_a_button_after_a_long_wait(
    app: Flask, client: FlaskClient, session: Session, sandbox: SandboxServer
) -> None:
    """No worker runs."""
    order, _ = queued(app, sandbox, session)
    html = client.get(f"/orders/{order.token}?pay={int(time.time()) - 16}").text
    assert "takes longer than usual" in words(html)
    assert "15 seconds" not in words(html)
    assert buttons(html) == ["Try to open it now"]
    answer = client.post(f"/orders/{order.token}", data={"action": "pay"})
    assert answer.location == made_for(sandbox, order)[0]["url"]
    session.rollback()
    assert session.get(CheckoutRequest, order.id) is None


def test_page_reports_failure_after_the_last_attempt_of_the_worker(
    app: Flask,
    client: FlaskClient,
    session: Session,
    sandbox: SandboxServer,
    opener: CheckoutOpener,
) -> None:
    order, address = queued(app, sandbox, session)
    sandbox.control("fault", kind="html", times=50, path=CREATE)
    for _ in queue.PAUSES:
        opener.work()
        assert heading(client.get(address).text) == "Opening the payment page"
        pass_the_pause(session)
    opener.work()
    page = client.get(address)
    assert page.status_code == 503
    assert heading(page.text) == "The payment page did not open"
    assert "Nothing was charged" in words(page.text)
    assert refresh(page.text) is None
    sandbox.control("clear_faults")
    answer = client.post(f"/orders/{order.token}", data={"action": "pay"})
    assert answer.location == made_for(sandbox, order)[0]["url"]


def test_canceled_order_in_the_queue_gets_no_checkout(
    app: Flask,
    client: FlaskClient,
    session: Session,
    sandbox: SandboxServer,
    engine: Engine,
    opener: CheckoutOpener,
) -> None:
    order, address = queued(app, sandbox, session)
    client.post(f"/orders/{order.token}", data={"action": "cancel"})
    with Session(engine) as own:
        writing(own)
        queue.add(own, order.id)  # as a late request would do
        own.commit()
    before = len(sandbox.state()["sessions"])
    opener.work()
    assert len(sandbox.state()["sessions"]) == before
    assert heading(client.get(address).text) == "No payment was taken"
    session.rollback()
    assert list(session.scalars(select(CheckoutRequest))) == []


def test_concurrent_openers_make_one_checkout_per_order(
    sandbox: SandboxServer, engine: Engine
) -> None:
    with Session(engine) as session:
        writing(session)
        for number in range(10):
            order = place(session, email=f"p{number}@example.com")
            for _ in range(2):
                queue.add(session, order.id)
        session.commit()

    def serve(_number: int) -> None:
        CheckoutOpener(engine, Gateway(KEY, base=sandbox.url, background=True), BASE).work()

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(serve, range(6)))
    made = {one["id"] for one in sandbox.state()["sessions"]}
    with Session(engine) as session:
        stored = {order.session_id for order in session.scalars(select(Order))}
        assert stored == made
        assert len(made) == 10
        assert list(session.scalars(select(CheckoutRequest))) == []


def test_lease_of_a_queued_order_ends_after_twelve_seconds(engine: Engine) -> None:
    with Session(engine) as session:
        writing(session)
        queue.add(session, place(session).id)
        session.commit()
        at = now()
        assert queue.claim(session, at) is not None
        assert queue.claim(session, at + timedelta(seconds=11)) is None
        assert queue.claim(session, at + timedelta(seconds=12)) is not None
    assert timedelta(seconds=queue.ATTEMPT) < queue.LEASE


def test_order_queued_again_is_due_at_once_with_all_its_attempts(engine: Engine) -> None:
    with Session(engine) as session:
        writing(session)
        order = place(session)
        for given_up in (False, True):
            queue.add(session, order.id)
            job = queue.claim(session, now())
            assert job is not None and (job.attempts, job.trouble) == (1, "")
            if given_up:
                queue.give_up(session, job, "away")
            else:
                queue.postpone(session, job)
            assert queue.claim(session, now()) is None
            assert not queue.any_due(session, now())


def test_hanging_call_is_given_up_and_the_next_one_opens_the_page(
    monkeypatch: pytest.MonkeyPatch,
    app: Flask,
    client: FlaskClient,
    session: Session,
    sandbox: SandboxServer,
    opener: CheckoutOpener,
) -> None:
    """The attempt, the pause and the next attempt fit into the 15 seconds promised by the page."""
    assert queue.ATTEMPT + queue.PAUSES[0] + 2 * WAIT + 3 < LATE_SECONDS
    order, address = queued(app, sandbox, session)
    sandbox.control("fault", kind="timeout", seconds=600, times=1, path=CREATE)
    with monkeypatch.context() as patch:
        patch.setattr(queue, "ATTEMPT", 0.5)
        patch.setattr(connection, "LEAST", 0.1)
        opener.work()  # ends although Stripe does not answer
    assert made_for(sandbox, order) == []
    session.rollback()
    job = session.get_one(CheckoutRequest, order.id)
    assert job.attempts == 1
    assert job.due_at - now() <= timedelta(seconds=queue.PAUSES[0])
    pass_the_pause(session)
    opener.work()
    assert client.get(address).status_code == 303


@pytest.mark.parametrize("why", ["refused", "ours: key", "ours: answer"])
def test_queued_buyer_sees_the_same_error_as_without_a_queue(
    app: Flask,
    client: FlaskClient,
    session: Session,
    sandbox: SandboxServer,
    engine: Engine,
    opener: CheckoutOpener,
    why: str,
) -> None:
    order, address = queued(app, sandbox, session)
    if why == "refused":
        session.execute(update(Order).values(unit_amount=10))
        session.commit()
    elif why == "ours: key":
        opener = CheckoutOpener(engine, Gateway("rk_wrong", base=sandbox.url), BASE)
    else:
        sandbox.control("fault", kind="wrong", path=CREATE, times=1)
    with capture_logs() as logs:
        opener.work()
    assert [one["log_level"] for one in logs] == ["error"]
    page = client.get(address)
    told = {"refused": "This order cannot be paid"}.get(why, "Something is wrong on our side")
    assert (page.status_code, heading(page.text)) == (503, told)
    assert "Stripe did not open" not in words(page.text)
    opener.work()
    session.rollback()
    assert session.get_one(CheckoutRequest, order.id).attempts == 1  # no further attempt is made
    client.post(f"/orders/{order.token}", data={"action": "cancel"})


def test_order_stays_open_when_a_crowd_prevents_its_replacement(
    app: Flask, client: FlaskClient, session: Session, sandbox: SandboxServer
) -> None:
    form = typed(client)
    client.post(ENROLL, data=form)
    with crowd(app, sandbox):
        answer = client.post(ENROLL, data={**form, "seats": "2", "amount": ""})
    assert answer.status_code == 503
    read = words(answer.text)
    assert "Many buyers are waiting for Stripe" in read and "in a few seconds" in read
    assert "could not end" not in read
    assert answer.text.count("maria@example.com") == 1
    (mine,) = [one for one in placed(session) if one.email == "maria@example.com"]
    assert mine.state == "open"
    client.post(ENROLL, data={**form, "seats": "2", "amount": ""})
    mine, other = [one for one in placed(session) if one.email == "maria@example.com"]
    assert (mine.state, other.state, other.seats) == ("canceled", "open", 2)


def test_order_below_the_minimum_charge_can_be_started_again(
    make_app: Any, site_root: Path, sandbox: SandboxServer, engine: Engine, session: Session
) -> None:
    course_file(site_root, "", amount=10)
    url = engine.url.render_as_string(hide_password=False)
    app = make_app(root=site_root, stripe_api_base=sandbox.url, database_url=url)
    client = app.test_client()
    answer = buy(client, amount="10")
    assert heading(answer.text) == "This order cannot be paid"
    fields = dict(re.findall(r'name="(\w+)" value="([^"]*)"', answer.text))
    form = client.post(ENROLL, data=fields).text
    again = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', form))
    client.post(ENROLL, data={**fields, **again, "action": "", "amount": ""})
    first, second = placed(session)
    assert (first.state, second.state) == ("canceled", "open")
    assert client.post(f"/orders/{second.token}", data={"action": "cancel"}).status_code == 303
    assert placed(session)[-1].state == "canceled"


@pytest.mark.parametrize("minutes", [2, 4])
def test_clock_that_is_minutes_slow_does_not_prevent_a_sale(
    client: FlaskClient, session: Session, sandbox: SandboxServer, minutes: int
) -> None:
    sandbox.control("advance", seconds=60 * minutes)
    order, url = bought(client, session)
    assert url.startswith(sandbox.url)
    (made,) = sandbox.state()["sessions"]
    assert made["expires_at"] <= order.session_until.timestamp()


def test_order_refused_by_stripe_can_be_started_again(
    client: FlaskClient, session: Session, sandbox: SandboxServer
) -> None:
    """The clock of the site is ten minutes slow, or the order waited that long."""
    sandbox.control("advance", seconds=600)
    answer = buy(client)
    assert answer.status_code == 503
    assert heading(answer.text) == "This order cannot be paid"
    read = words(answer.text)
    assert "Nothing was charged: Stripe did not accept this order." in read
    assert "reach" not in read
    assert buttons(answer.text) == ["Start a new order"]
    fields = dict(re.findall(r'name="(\w+)" value="([^"]*)"', answer.text))
    form = client.post(ENROLL, data=fields).text
    assert "maria@example.com" in form
    again = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', form))
    client.post(ENROLL, data={**fields, **again, "action": "", "amount": ""})
    older, newer = placed(session)
    assert (older.state, newer.state) == ("canceled", "open")


def test_order_refused_by_stripe_releases_its_seats(
    client: FlaskClient, session: Session, sandbox: SandboxServer, engine: Engine
) -> None:
    sandbox.control("advance", seconds=600)
    buy(client)
    session.execute(update(Order).values(created_at=now() - timedelta(minutes=3)))
    session.commit()
    sweep = Sweep(engine, Gateway(KEY, base=sandbox.url, background=True), BASE, "a test")
    assert [drift.after for drift in sweep.run()] == ["expired"]
    assert sweep.left == []
    assert session.get(Hold, placed(session)[0].id) is None


def test_repeated_form_is_rate_limited_while_stripe_fails(
    client: FlaskClient, session: Session, sandbox: SandboxServer
) -> None:
    sandbox.control("fault", kind="html", times=1000, path=CREATE)
    form = typed(client)
    statuses = [client.post(ENROLL, data=form).status_code for _ in range(LOOKS + 3)]
    assert statuses == [503] * (LOOKS + 1) + [429] * 2
    (fault,) = sandbox.state()["faults"]
    assert 1000 - fault["times"] == LOOKS + 1
    assert len(placed(session)) == 1


def test_page_of_an_open_order_limits_its_calls_to_stripe(
    client: FlaskClient, session: Session, sandbox: SandboxServer
) -> None:
    order, url = bought(client, session)
    sandbox.control(
        "fault", kind="slow", seconds=0, times=1000, method="GET", path="/v1/checkout/sessions/*"
    )
    pages = [client.get(f"/orders/{order.token}") for _ in range(20)]
    (fault,) = sandbox.state()["faults"]
    assert 1000 - fault["times"] == LOOKS
    assert {page.status_code for page in pages} == {200}
    assert heading(pages[LOOKS - 1].text) == "Not paid yet"
    # It may be paid by now, so the page must not say that it is unpaid.
    assert heading(pages[LOOKS].text) == "We are checking your payment"
    assert "Stripe has not told us yet whether you have paid." in words(pages[LOOKS].text)
    assert client.post(f"/orders/{order.token}", data={"action": "pay"}).location == url
    with Session(session.get_bind()) as own:
        assert ledger.balance_of(own, own.get_one(Order, order.id)).state == "open"


def test_buttons_of_an_order_are_rate_limited(client: FlaskClient, session: Session) -> None:
    order, _ = bought(client, session)
    answers = [
        client.post(f"/orders/{order.token}", data={"action": "pay"}) for _ in range(LOOKS + 2)
    ]
    assert [one.status_code for one in answers] == [303] * LOOKS + [429] * 2
    assert 0 < int(answers[-1].headers["Retry-After"]) <= 60
    assert 'value="pay"' in answers[-1].text
    other, _ = bought(client, session, email="other@example.com")
    assert client.post(f"/orders/{other.token}", data={"action": "pay"}).status_code == 303
