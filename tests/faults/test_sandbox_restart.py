"""A stopped or killed sandbox continues from its stored state."""

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from stripe import APIConnectionError, StripeClient
from stripe.checkout import Session

from tests.support.sandbox_server import Endpoint, SandboxServer, eventually, session_params, start


class RestartableSandbox:
    """A sandbox process that can be restarted in the same folder and on the same port."""

    def __init__(self, folder: Path, endpoint: Endpoint) -> None:
        self._folder, self._endpoint, self._port = folder, endpoint, 0
        self.server = self.start()

    def start(self) -> SandboxServer:
        self.server = start(self._folder, self._endpoint.url, port=self._port, process=True)
        self._port = self.server.port
        return self.server


@pytest.fixture
def sandbox(tmp_path: Path, endpoint: Endpoint) -> Iterator[RestartableSandbox]:
    sandbox = RestartableSandbox(tmp_path, endpoint)
    yield sandbox
    sandbox.server.stop()


def create(sdk: StripeClient, key: str) -> Session:
    return sdk.v1.checkout.sessions.create(session_params(), {"idempotency_key": key})


def test_state_is_the_same_after_a_restart(sandbox: RestartableSandbox, endpoint: Endpoint) -> None:
    server, sdk = sandbox.server, sandbox.server.client()
    session = create(sdk, "order-1")
    server.control("advance", seconds=600)
    server.control("pause")
    server.control("fault", kind="500", path="/v1/events*")
    server.pay(session.url or "")
    before = server.state()
    server.stop()
    assert server.process is not None and server.process.returncode == 0
    server = sandbox.start()
    after = server.state()
    for name in ("sessions", "payment_intents", "charges", "events", "deliveries", "faults"):
        assert after[name] == before[name], name
    assert after["now"] >= before["now"] and after["paused"] and endpoint.received == []
    again = create(sdk, "order-1")
    assert again.id == session.id and again.status == "open"  # the stored answer
    server.control("resume")
    endpoint.wait_for("checkout.session.completed")


def test_interrupted_webhook_delivery_is_repeated(
    sandbox: RestartableSandbox, endpoint: Endpoint
) -> None:
    """Source: https://docs.stripe.com/webhooks: at least once."""
    endpoint.answering.clear()
    sessions = sandbox.server.client().v1.checkout.sessions
    sessions.expire(sessions.create(session_params()).id)
    eventually(lambda: endpoint.received)
    sandbox.server.kill()
    endpoint.answering.set()
    server = sandbox.start()
    eventually(lambda: server.state()["deliveries"][0]["state"] == "delivered")
    assert len(endpoint.received) == 2
    assert endpoint.received[0].body == endpoint.received[1].body


def test_killed_request_is_stored_with_its_answer_or_not_at_all(
    sandbox: RestartableSandbox,
) -> None:
    sdk = sandbox.server.client()
    made: dict[str, str] = {}

    def order(number: int) -> None:
        key = f"order-{number}"
        try:
            made[key] = create(sdk, key).id
        except APIConnectionError:
            made[key] = ""

    with ThreadPoolExecutor(4) as pool:
        work = [pool.submit(order, number) for number in range(60)]
        eventually(lambda: len(made) >= 10)
        sandbox.server.kill()
        for one in work:
            one.result()
    assert "" in made.values(), "the kill came too late to show anything"
    server = sandbox.start()
    for key, id in made.items():  # noqa: A001
        again = create(sdk, key).id
        assert again == id or not id
    assert len(server.state()["sessions"]) == len(made)


def test_jobs_due_during_the_downtime_run_at_the_start(
    sandbox: RestartableSandbox, endpoint: Endpoint
) -> None:
    server, sdk = sandbox.server, sandbox.server.client()
    later = create(sdk, "order-1")
    server.pay(later.url or "", iban="AT321904300235473204")
    soon = int(time.time()) + 31 * 60
    expiring = sdk.v1.checkout.sessions.create(session_params(expires_at=soon))
    left = soon - server.state()["now"]
    server.control("advance", seconds=left - 2)
    server.kill()
    time.sleep(2.5)
    server = sandbox.start()
    event = json.loads(endpoint.wait_for("checkout.session.expired").body)
    assert event["data"]["object"]["id"] == expiring.id
    server.control("settle", id=sdk.v1.checkout.sessions.retrieve(later.id).payment_intent)
    endpoint.wait_for("checkout.session.async_payment_succeeded")
