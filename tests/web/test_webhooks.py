"""The webhook: verify, store and answer; and what it must not do."""

from pathlib import Path
from typing import Any

import pytest
import stripe
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from crossroads.payments import TOLERANCE, Gateway
from crossroads.worker.event_consumer import EventConsumer
from models import Enrollment, StripeEvent, db
from tests.support.mail_server import MailServer
from tests.support.ports import free_port
from tests.support.production import SELLING
from tests.support.purchases import bought
from tests.support.queue import let_time_pass
from tests.support.sandbox_server import KEY, SandboxServer
from tests.support.webhooks import COMPLETED, SECRET, event, send
from tests.support.workers import BASE_URL, make_worker


@pytest.fixture
def app(make_app: Any) -> Flask:
    built: Flask = make_app(
        stripe_secret_key="sk_test_x", stripe_webhook_secret=f"{SECRET},whsec_2"
    )
    return built


def noted(session: Session) -> list[tuple[str, str, str]]:
    session.rollback()
    return [(one.id, one.kind, one.object_id) for one in session.scalars(select(StripeEvent))]


@pytest.mark.parametrize("path", ["/webhooks/stripe", "/webhooks/stripe/"])
def test_event_is_stored_as_a_job(client: FlaskClient, session: Session, path: str) -> None:
    assert send(client, event(), path=path) == 200
    assert noted(session) == [("evt_1", COMPLETED, "cs_test_1")]
    assert session.scalars(select(StripeEvent.done_at)).one() is None


def test_repeated_event_is_one_job(client: FlaskClient, session: Session) -> None:
    assert [send(client, event()) for _ in range(3)] == [200] * 3
    assert len(noted(session)) == 1


def test_both_secrets_are_accepted(client: FlaskClient) -> None:
    assert send(client, event(number=1), SECRET) == 200
    assert send(client, event(number=2), "whsec_2") == 200
    assert send(client, event(number=3), "whsec_old") == 400


@pytest.mark.parametrize(
    "other",
    [
        {"kind": "invoice.paid"},
        {"kind": "customer.created"},
        {"livemode": True},
    ],
)
def test_event_of_another_type_or_mode_is_answered_and_not_stored(
    client: FlaskClient, session: Session, other: dict[str, Any]
) -> None:
    assert send(client, event(**other)) == 200
    assert noted(session) == []


BALANCE = {"object": "balance", "available": [], "livemode": False, "pending": []}


@pytest.mark.parametrize(
    "given",
    [
        {"data": {"object": BALANCE}},
        {"data": {"object": [1, {"id": "x"}]}},
        {"data": {"object": None}},
        {"data": {}},
        {"data": None},
        {"api_version": None},
        {"object": "v2.core.event", "created": "2026-12-01T10:00:00.000Z", "data": None},
        {"data": {"object": {"id": 7}}},
    ],
)
def test_event_of_another_type_is_answered_with_any_content(
    client: FlaskClient, session: Session, given: dict[str, Any]
) -> None:
    """A thin event has no object: https://docs.stripe.com/event-destinations#thin-events."""
    assert send(client, event("balance.available", **given)) == 200
    assert noted(session) == []


@pytest.mark.parametrize("id_", ["cs_\0", "cs_\ud800", "cs_" + "x" * 5000, "", "cs 1"])
def test_id_that_cannot_be_stored_is_answered_and_not_stored(
    make_app: Any, engine: Engine, id_: str
) -> None:
    """After a 400 Stripe would send it again, to no effect."""
    url = engine.url.render_as_string(hide_password=False)
    client = make_app(database_url=url, stripe_webhook_secret=SECRET).test_client()
    assert send(client, event(data={"object": {"id": id_}})) == 200
    assert send(client, event(id=id_)) == 200
    with Session(engine) as session:
        assert noted(session) == []


@pytest.mark.parametrize("signature", [None, "", "t=1,v1=00", "t=x", "v1=\u00fc", "t=1,v0=00"])
def test_bad_signature_is_refused(
    client: FlaskClient, session: Session, signature: str | None
) -> None:
    headers = {} if signature is None else {"Stripe-Signature": signature}
    answer = client.post("/webhooks/stripe", data=event(), headers=headers)
    assert answer.status_code == 400
    assert noted(session) == []


def test_signature_is_valid_for_five_minutes(client: FlaskClient, session: Session) -> None:
    """Source: https://docs.stripe.com/webhooks#replay-attacks."""
    for age, status in ((TOLERANCE + 5, 400), (TOLERANCE - 30, 200)):
        assert send(client, event(), age=age) == status
    assert len(noted(session)) == 1


@pytest.mark.parametrize("version", ["2011-01-01", "2026-10-28.endive", "2040-01-01.zinnia", None])
def test_event_of_any_api_version_is_stored(
    client: FlaskClient, session: Session, version: str | None
) -> None:
    assert send(client, event(api_version=version)) == 200
    assert len(noted(session)) == 1


def test_test_event_has_no_effect_on_a_live_site(make_app: Any) -> None:
    app = make_app(**{**SELLING, "stripe_webhook_secret": SECRET})
    with app.app_context(), Session(db.engine) as session:
        assert send(app.test_client(), event(livemode=False)) == 200
        assert noted(session) == []
        assert send(app.test_client(), event(livemode=True)) == 200
        assert len(noted(session)) == 1


def test_mail_failure_does_not_affect_the_webhook(
    make_app: Any, sandbox: SandboxServer, server: MailServer, instance: Path
) -> None:
    """Otherwise Stripe would retry for three days, although the buyer already has the seat."""
    app = make_app(stripe_api_base=sandbox.url, stripe_secret_key=KEY, stripe_webhook_secret=SECRET)
    client = app.test_client()
    with app.app_context():
        engine = db.engine
    nowhere = f"smtp://127.0.0.1:{free_port()}"
    with Session(engine) as session:
        order, url = bought(client, session)
        sandbox.pay(url)
        paid = event(data={"object": {"id": order.session_id, "object": "checkout.session"}})
        assert send(client, paid) == 200
        EventConsumer(engine, Gateway(KEY, base=sandbox.url), BASE_URL).work()
        assert [one.email for one in session.scalars(select(Enrollment))] == [order.email]
        assert session.scalars(select(StripeEvent.done_at)).one() is not None
        session.rollback()
        assert make_worker(engine, nowhere, instance=instance).deliver_due().postponed == 2
        assert send(client, paid) == 200
        let_time_pass(engine)
    assert make_worker(engine, server.url, instance=instance).deliver_due().sent == 2
    assert {mail.recipient for mail in server.mails} == {order.email}


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"null", b'{"object":"event"}'])
def test_signed_but_invalid_event_is_refused(client: FlaskClient, body: bytes) -> None:
    assert send(client, body) == 400


def test_webhook_needs_no_cookie_and_accepts_any_origin(client: FlaskClient) -> None:
    body = event()
    signature = stripe.WebhookSignature.generate_signature_header(body.decode(), SECRET)
    headers = {
        "Stripe-Signature": signature,
        "Origin": "https://evil.example",
        "Sec-Fetch-Site": "cross-site",
    }
    answer = client.post("/webhooks/stripe", data=body, headers=headers)
    assert answer.status_code == 200
    assert "Set-Cookie" not in answer.headers


def test_event_larger_than_a_form_is_accepted(client: FlaskClient, session: Session) -> None:
    assert send(client, event(request={"id": "x" * 200_000})) == 200
    assert len(noted(session)) == 1


def test_hundred_events_from_one_address_are_all_accepted(
    client: FlaskClient, session: Session
) -> None:
    assert {send(client, event(number=number)) for number in range(100)} == {200}
    assert len(noted(session)) == 100
