"""Webhooks: their content, their retries, and the actions of the control page.

Source: https://docs.stripe.com/webhooks.
"""

import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from stripe import SignatureVerificationError, StripeClient, Webhook
from stripe.checkout import Session

from tests.support.sandbox_server import (
    SECRET,
    Endpoint,
    SandboxServer,
    eventually,
    session_params,
    start,
)

PAID = [
    "charge.succeeded",
    "checkout.session.completed",
    "payment_intent.created",
    "payment_intent.succeeded",
]


def expired(sandbox: SandboxServer) -> Session:
    """Create one event; return its session."""
    sessions = sandbox.client().v1.checkout.sessions
    return sessions.expire(sessions.create(session_params()).id)


def deliveries(sandbox: SandboxServer) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = sandbox.state()["deliveries"]
    return found


def settled(sandbox: SandboxServer) -> bool:
    return not any(one["state"] in ("pending", "sending") for one in deliveries(sandbox))


def test_payment_is_sent_with_a_signature_that_the_sdk_accepts(
    delivering: SandboxServer, endpoint: Endpoint
) -> None:
    sdk = delivering.client()
    session = sdk.v1.checkout.sessions.create(session_params())
    delivering.pay(session.url or "")
    got = endpoint.wait_for("checkout.session.completed")
    event = Webhook.construct_event(got.body, got.signature, SECRET)
    assert event.data.object["id"] == session.id
    assert event.data.object["payment_status"] == "paid"
    eventually(lambda: len(endpoint.received) == 4)
    assert sorted(endpoint.types()) == PAID
    assert event.to_dict() == sdk.v1.events.retrieve(event.id).to_dict() | {"pending_webhooks": 1}
    assert got.headers["Content-Type"] == "application/json; charset=utf-8"
    assert got.headers["User-Agent"].startswith("Stripe/1.0")


def test_signature_is_valid_for_its_body_and_secret_only(
    delivering: SandboxServer, endpoint: Endpoint
) -> None:
    expired(delivering)
    got = endpoint.wait_for("checkout.session.expired")
    for body, secret in ((got.body + b" ", SECRET), (got.body, "whsec_other")):
        with pytest.raises(SignatureVerificationError):
            Webhook.construct_event(body, got.signature, secret)
    assert got.signature.startswith(f"t={int(time.time()) // 1000}")
    assert ",v0=" in got.signature  # the unused scheme v0 of test mode, which must not count


def test_both_secrets_sign_while_one_is_rolled(tmp_path: Path, endpoint: Endpoint) -> None:
    """Source: https://docs.stripe.com/webhooks#roll-endpoint-secrets."""
    sandbox = start(tmp_path, endpoint.url, "whsec_old,whsec_new")
    try:
        expired(sandbox)
        got = endpoint.wait_for("checkout.session.expired")
        assert got.signature.count(",v1=") == 2
        for secret in ("whsec_old", "whsec_new"):
            assert Webhook.construct_event(got.body, got.signature, secret).id == got.id
        sandbox.control("deliver_to", secrets=["whsec_new"])
        expired(sandbox)
        got = endpoint.wait_for("checkout.session.expired", times=2)
        assert got.signature.count(",v1=") == 1
    finally:
        sandbox.stop()


def test_event_names_the_call_that_caused_it(delivering: SandboxServer, endpoint: Endpoint) -> None:
    """Source: request in https://docs.stripe.com/api/events/object."""
    sessions = delivering.client().v1.checkout.sessions
    made = sessions.create(session_params())
    sessions.expire(made.id, {}, {"idempotency_key": "expire-7"})
    event = json.loads(endpoint.wait_for("checkout.session.expired").body)
    assert event["request"]["idempotency_key"] == "expire-7"
    assert event["request"]["id"].startswith("req_")


@pytest.mark.parametrize("status", [500, 400, 302, 404])
def test_answer_other_than_2xx_is_retried(
    delivering: SandboxServer, endpoint: Endpoint, status: int
) -> None:
    """A redirect is a failure and is not followed."""
    endpoint.replies = [status, 204]
    expired(delivering)
    eventually(lambda: deliveries(delivering)[0]["state"] == "delivered")
    assert deliveries(delivering)[0]["tries"] == 2
    first, second = endpoint.received
    assert first.body == second.body


def test_retries_end_and_the_event_shows_it(delivering: SandboxServer, endpoint: Endpoint) -> None:
    """Source: delivery_success in https://docs.stripe.com/api/events/list."""
    endpoint.replies = [500] * 10
    expired(delivering)
    eventually(lambda: deliveries(delivering)[0]["state"] == "failed")
    assert len(endpoint.received) == deliveries(delivering)[0]["tries"] == 4
    sdk = delivering.client()
    failed = sdk.v1.events.list({"delivery_success": False}).data
    assert [event.type for event in failed] == ["checkout.session.expired"]
    endpoint.replies = []
    delivering.control("resend", number=deliveries(delivering)[0]["number"])
    eventually(lambda: deliveries(delivering)[0]["state"] == "delivered")
    assert sdk.v1.events.list({"delivery_success": False}).data == []
    assert sdk.v1.events.list({"delivery_success": True}).data[0].pending_webhooks == 0


def test_delivery_without_a_listener_is_retried(tmp_path: Path) -> None:
    sandbox = start(tmp_path, "http://127.0.0.1:9/webhooks/stripe", retry_delays=(60.0,))
    endpoint = Endpoint().start()
    try:
        expired(sandbox)
        eventually(lambda: deliveries(sandbox)[0]["tries"] == 1)
        assert "ConnectionRefusedError" in deliveries(sandbox)[0]["answer"]
        sandbox.control("deliver_to", endpoints=[endpoint.url])
        assert sandbox.client().v1.events.list().data[0].pending_webhooks == 1
    finally:
        sandbox.stop()
        endpoint.stop()


def test_slow_endpoint_delays_no_other_event(delivering: SandboxServer, endpoint: Endpoint) -> None:
    endpoint.answering.clear()
    for _ in range(4):
        expired(delivering)
    eventually(lambda: len(endpoint.received) == 4)
    assert {one["state"] for one in deliveries(delivering)} == {"sending"}
    endpoint.answering.set()
    eventually(lambda: settled(delivering))
    assert len(endpoint.received) == 4


def test_events_are_listed_by_type_and_time(sandbox: SandboxServer) -> None:
    """Source: stripe/params/_event_list_params.py."""
    sdk = sandbox.client()
    expired(sandbox)
    session = sdk.v1.checkout.sessions.create(session_params())
    sandbox.control("advance", seconds=100)
    sandbox.pay(session.url or "")
    begun = sdk.v1.checkout.sessions.create(session_params()).created - 50

    def types(sdk: StripeClient, **params: Any) -> list[str]:
        return sorted(event.type for event in sdk.v1.events.list(params))  # type: ignore[arg-type]

    assert types(sdk, type="checkout.session.expired") == ["checkout.session.expired"]
    assert len(types(sdk, type="checkout.session.*")) == 2
    assert types(sdk, types=PAID[:2]) == PAID[:2]
    assert types(sdk, created={"gte": begun}) == PAID
    assert types(sdk, type="charge.dispute.created") == []


def test_paused_deliveries_wait_and_can_be_dropped(
    delivering: SandboxServer, endpoint: Endpoint
) -> None:
    delivering.control("pause")
    expired(delivering)
    time.sleep(0.3)
    assert endpoint.received == []
    delivering.control("lose", number="waiting")
    expired(delivering)
    delivering.control("resume")
    endpoint.wait_for("checkout.session.expired")
    eventually(lambda: settled(delivering))
    assert [one["state"] for one in deliveries(delivering)] == ["delivered", "lost"]
    assert len(endpoint.received) == 1
    delivering.control("resend", number=deliveries(delivering)[1]["number"])
    endpoint.wait_for("checkout.session.expired", times=2)


def test_deliveries_can_come_twice_late_and_in_any_order(
    delivering: SandboxServer, endpoint: Endpoint
) -> None:
    delivering.control("pause")
    about = [expired(delivering).id for _ in range(3)]
    numbers = [one["number"] for one in deliveries(delivering)][::-1]
    delivering.control("duplicate", number=numbers[0])
    delivering.control("delay", number=numbers[1], seconds=3600)
    order = [numbers[2], numbers[0]]
    delivering.control("reorder", numbers=order, apart=400)
    eventually(lambda: len(endpoint.received) == 3)
    ids = [json.loads(one.body)["data"]["object"]["id"] for one in endpoint.received]
    assert Counter(ids) == {about[0]: 2, about[2]: 1}
    assert ids.index(about[2]) < len(ids) - 1 - ids[::-1].index(about[0])
    delivering.control("advance", seconds=3700)
    eventually(lambda: len(endpoint.received) == 4)


def test_deliveries_can_be_sent_in_reverse_order(
    delivering: SandboxServer, endpoint: Endpoint
) -> None:
    delivering.control("pause")
    about = [expired(delivering).id for _ in range(3)]
    delivering.control("reorder")
    eventually(lambda: len(endpoint.received) == 3)
    ids = [json.loads(one.body)["data"]["object"]["id"] for one in endpoint.received]
    assert ids == about[::-1]


def test_expiry_is_sent_without_an_api_call(delivering: SandboxServer, endpoint: Endpoint) -> None:
    sdk = delivering.client()
    soon = int(time.time()) + 31 * 60
    session = sdk.v1.checkout.sessions.create(session_params(expires_at=soon))
    left = soon - delivering.state()["now"]
    delivering.control("advance", seconds=left - 1)  # the rest of the time passes by itself
    event = json.loads(endpoint.wait_for("checkout.session.expired").body)
    assert event["data"]["object"]["id"] == session.id
    assert event["request"] == {"id": None, "idempotency_key": None}


def test_endpoint_gets_the_events_that_are_enabled(
    delivering: SandboxServer, endpoint: Endpoint
) -> None:
    """Source: enabled_events and status in https://docs.stripe.com/api/webhook_endpoints/object."""
    delivering.control("deliver_to", enabled_events=["checkout.session.completed"])
    expired(delivering)
    delivering.pay(delivering.client().v1.checkout.sessions.create(session_params()).url or "")
    endpoint.wait_for("checkout.session.completed")
    assert [one["type"] for one in deliveries(delivering)] == ["checkout.session.completed"]
    delivering.control("deliver_to", enabled_events=["*"], enabled=False)
    expired(delivering)
    assert len(deliveries(delivering)) == 1


def test_endpoint_may_have_another_api_version(
    delivering: SandboxServer, endpoint: Endpoint
) -> None:
    """Source: https://docs.stripe.com/webhooks/versioning."""
    delivering.control("deliver_to", api_version="2024-06-20")
    expired(delivering)
    got = endpoint.wait_for("checkout.session.expired")
    event = Webhook.construct_event(got.body, got.signature, SECRET)
    assert event.api_version == "2024-06-20"
    assert delivering.client().v1.events.retrieve(event.id).api_version != "2024-06-20"
