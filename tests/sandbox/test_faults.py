"""Injected faults: each reaches the SDK as the error it simulates, before or after the work."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from stripe import APIConnectionError, APIError, RateLimitError, RequestsClient, StripeClient

from tests.support.sandbox_server import (
    KEY,
    SandboxServer,
    eventually,
    fetch,
    session_params,
    start,
)

TIMED_OUT = r"timeout|timed out"


def create(sdk: StripeClient, key: str = "order-1") -> Any:
    return sdk.v1.checkout.sessions.create(session_params(), {"idempotency_key": key})


def hasty(sandbox: SandboxServer) -> StripeClient:
    """Return a client that waits a fifth of a second for an answer."""
    client = RequestsClient(timeout=(5, 0.2))
    return sandbox.client(http_client=client, max_network_retries=0)


def patient(sandbox: SandboxServer) -> StripeClient:
    """Return a client that waits for an answer until the sandbox sends one."""
    client = RequestsClient(timeout=(5, 60))
    return sandbox.client(http_client=client, max_network_retries=0)


def count(sandbox: SandboxServer) -> int:
    return len(sandbox.state()["sessions"])


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("timeout", APIConnectionError),
        ("reset", APIConnectionError),
        ("truncated", APIConnectionError),
        ("html", APIError),
        ("garbage", UnicodeDecodeError),
    ],
)
def test_broken_answer_raises_the_error_of_the_sdk(
    sandbox: SandboxServer, kind: str, error: type[Exception], after: bool
) -> None:
    """Source: stripe/_http_client.py and stripe/_api_requestor.py; a body that is not UTF-8 is
    no StripeError there. The same key then makes one session in either case."""
    sandbox.control("fault", kind=kind, after=after, seconds=0)
    with pytest.raises(error):
        create(sandbox.client())
    assert count(sandbox) == after
    create(sandbox.client())
    assert count(sandbox) == 1


def test_late_response_is_a_timeout_for_an_impatient_client(sandbox: SandboxServer) -> None:
    sandbox.control("fault", kind="timeout", seconds=600, after=True)
    with pytest.raises(APIConnectionError, match=TIMED_OUT):
        create(hasty(sandbox))
    assert count(sandbox) == 1


def test_trickling_answer_arrives_byte_by_byte_and_completely(sandbox: SandboxServer) -> None:
    made = create(sandbox.client())
    sandbox.control("fault", kind="trickle", seconds=600, after=True)
    connection = HTTPConnection("127.0.0.1", sandbox.port, timeout=30)
    key = {"Authorization": f"Bearer {KEY}"}
    connection.request("GET", f"/v1/checkout/sessions/{made.id}", headers=key)
    answer = connection.getresponse()
    text = answer.read1(10_000)
    assert len(text) == 1, "a read ends although most of the answer is still to come"
    sandbox.control("release")
    assert json.loads(text + answer.read())["id"] == made.id
    connection.close()


@pytest.mark.parametrize("kind", ["timeout", "slow"])
def test_release_ends_the_wait_of_calls_in_progress_only(sandbox: SandboxServer, kind: str) -> None:
    sandbox.control("fault", kind=kind, seconds=600, method="POST", times=2)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(create, patient(sandbox))
        eventually(lambda: sandbox.state()["faults"][0]["times"] == 1)
        assert not waiting.done()
        sandbox.control("release")
        assert (waiting.exception() is None) == (kind == "slow")
    with pytest.raises(APIConnectionError, match=TIMED_OUT):
        create(hasty(sandbox), key="order-2")


@pytest.mark.parametrize("kind", ["timeout", "trickle", "slow"])
def test_fault_that_lasts_ends_with_the_sandbox(tmp_path: Path, kind: str) -> None:
    before = set(threading.enumerate())
    sandbox = start(tmp_path)
    sandbox.control("fault", kind=kind, seconds=600)
    with pytest.raises(APIConnectionError):
        create(hasty(sandbox))
    sandbox.stop()
    eventually(lambda: set(threading.enumerate()) <= before)


def test_object_of_another_type_raises_no_error(sandbox: SandboxServer) -> None:
    sandbox.control("fault", kind="wrong", after=True)
    assert create(sandbox.client()).object == "customer"
    assert create(sandbox.client()).object == "checkout.session" and count(sandbox) == 1


def test_rate_limited_call_does_no_work(sandbox: SandboxServer) -> None:
    """Source: https://docs.stripe.com/rate-limits; the SDK does not retry them."""
    sandbox.control("fault", kind="429")
    with pytest.raises(RateLimitError) as caught:
        create(sandbox.client(max_network_retries=3))
    assert caught.value.http_status == 429 and count(sandbox) == 0
    assert "Retry-After" not in (caught.value.headers or {})
    sandbox.control("fault", kind="429", seconds=7)
    with pytest.raises(RateLimitError) as caught:
        create(sandbox.client())
    assert (caught.value.headers or {})["Retry-After"] == "7"


def test_sdk_retries_temporary_errors(sandbox: SandboxServer) -> None:
    sandbox.control("fault", kind="500")
    sandbox.control("fault", kind="reset", after=True)
    create(sandbox.client(max_network_retries=2))
    assert count(sandbox) == 1
    notes = [call["note"] for call in sandbox.state()["calls"]]
    assert notes == ["replayed", "reset after the work", "500 before the work"]


def test_fault_applies_to_its_method_and_path(sandbox: SandboxServer) -> None:
    sdk = sandbox.client()
    made = create(sdk)
    sandbox.control("fault", kind="500", method="GET", path="/v1/checkout/sessions/cs_*", times=2)
    sdk.v1.checkout.sessions.list()
    sdk.v1.checkout.sessions.create(session_params())
    for _ in range(2):
        with pytest.raises(APIError):
            sdk.v1.checkout.sessions.retrieve(made.id)
    assert sdk.v1.checkout.sessions.retrieve(made.id).id == made.id


def test_faults_can_be_removed(sandbox: SandboxServer) -> None:
    sandbox.control("fault", kind="500", times=100)
    assert sandbox.control("clear_faults")["faults"] == []
    create(sandbox.client())


def test_hanging_calls_do_not_block_others(sandbox: SandboxServer) -> None:
    sandbox.control("fault", kind="timeout", seconds=600, times=4, method="POST")
    with ThreadPoolExecutor(4) as pool:
        waiting = [pool.submit(create, patient(sandbox)) for _ in range(4)]
        eventually(lambda: not sandbox.state()["faults"])
        assert create(sandbox.client()).status == "open"
        assert not any(one.done() for one in waiting)
        sandbox.control("release")
        assert {type(one.exception()) for one in waiting} == {APIConnectionError}


@pytest.mark.parametrize(
    ("action", "values", "status"),
    [
        ("fault", {"kind": "meteor"}, 400),
        ("fault", {}, 400),
        ("expire", {"id": "cs_test_none"}, 404),
        ("settle", {"id": "pi_none"}, 404),
        ("resend", {"number": 99}, 404),
        ("conjure", {}, 404),
        ("deliver_to", {"endpoints": ["nowhere"]}, 400),
    ],
)
def test_control_names_invalid_actions(
    sandbox: SandboxServer, action: str, values: dict[str, Any], status: int
) -> None:
    form = {name: str(value) for name, value in values.items() if name != "endpoints"}
    if "endpoints" in values:
        form["endpoints[0]"] = values["endpoints"][0]
    page = fetch(f"{sandbox.url}/stripe/api/{action}", form=form)
    assert page.status == status and '"message"' in page.text
    assert fetch(f"{sandbox.url}/stripe/{action}", form=form).status == status


def test_control_refuses_requests_of_other_sites(sandbox: SandboxServer) -> None:
    foreign = {"Sec-Fetch-Site": "cross-site"}
    page = fetch(f"{sandbox.url}/stripe/reset", form={}, headers=foreign)
    assert page.status == 403


def test_reset_deletes_all_but_the_webhook_endpoints(sandbox: SandboxServer) -> None:
    sdk = sandbox.client()
    create(sdk)
    sandbox.control("deliver_to", endpoints=["http://127.0.0.1:9/hook"])
    sandbox.control("pause")
    sandbox.control("advance", seconds=60)
    state = sandbox.control("reset")
    assert state["sessions"] == [] and state["calls"] == []
    assert (state["paused"], state["clock"]) == (False, 0)
    assert state["endpoints"] == ["http://127.0.0.1:9/hook"]
    create(sdk)
    assert count(sandbox) == 1


def test_control_page_shows_what_happened(sandbox: SandboxServer) -> None:
    sdk = sandbox.client()
    session = create(sdk)
    sandbox.pay(session.url)
    open_one = sdk.v1.checkout.sessions.create(session_params())
    text = fetch(f"{sandbox.url}/stripe/").text
    for words in ("$1,250.00, complete, paid", session.id, "Refund", "POST /v1/checkout/sessions"):
        assert words in text
    page = fetch(f"{sandbox.url}/stripe/expire", form={"id": open_one.id})
    assert page.status == 303 and page.location == "/stripe/"
    assert sdk.v1.checkout.sessions.retrieve(open_one.id).status == "expired"
    refused = fetch(f"{sandbox.url}/stripe/expire", form={"id": open_one.id})
    assert refused.status == 400 and "can be expired" in refused.text


def test_error_links_to_the_call_in_the_log(sandbox: SandboxServer) -> None:
    answer = fetch(f"{sandbox.url}/v1/events/evt_none", headers={"Authorization": f"Bearer {KEY}"})
    id = answer.headers["Request-Id"]  # noqa: A001
    assert f"{sandbox.url}/stripe/#{id}" in answer.text
    assert f'id="{id}"' in fetch(f"{sandbox.url}/stripe/").text
