"""Idempotency keys: the work of a call is done once for each key.

Source: https://docs.stripe.com/api/idempotent_requests.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any

import pytest
from stripe import APIError, IdempotencyError, InvalidRequestError, StripeClient
from stripe.checkout import Session

from tests.support.sandbox_server import SandboxServer, eventually, line_item, session_params


def create(sdk: StripeClient, key: str, **changes: Any) -> Session:
    return sdk.v1.checkout.sessions.create(session_params(**changes), {"idempotency_key": key})


def headers(obj: Any) -> Any:
    return obj.last_response.headers


def test_same_key_returns_the_first_answer(sdk: StripeClient) -> None:
    first = create(sdk, "order-1")
    sdk.v1.checkout.sessions.expire(first.id)
    again = create(sdk, "order-1")
    assert again.to_dict() == first.to_dict()  # the saved response, not the current state
    assert "Idempotent-Replayed" not in headers(first)
    assert headers(again)["Idempotent-Replayed"] == "true"
    assert headers(again)["Original-Request"] == headers(first)["Request-Id"]
    assert headers(again)["Request-Id"] != headers(first)["Request-Id"]
    assert headers(first)["Idempotency-Key"] == "order-1"
    assert len(sdk.v1.checkout.sessions.list().data) == 1


def test_same_key_with_other_parameters_is_refused(sdk: StripeClient) -> None:
    made = create(sdk, "order-1")
    calls: list[Callable[[], Session]] = [
        lambda: create(sdk, "order-1", line_items=[line_item(99_900)]),
        lambda: sdk.v1.checkout.sessions.expire(made.id, {}, {"idempotency_key": "order-1"}),
    ]
    for call in calls:
        with pytest.raises(IdempotencyError) as caught:
            call()
        assert caught.value.http_status == 400
        assert "Try using a key other than 'order-1'" in str(caught.value)
    assert len(sdk.v1.checkout.sessions.list().data) == 1


def test_other_account_may_use_the_same_key(sandbox: SandboxServer) -> None:
    ours, theirs = create(sandbox.client(), "k"), create(sandbox.client("sk_test_other"), "k")
    assert ours.id != theirs.id


def test_key_expires_after_a_day(sandbox: SandboxServer) -> None:
    first = create(sandbox.client(), "order-1")
    sandbox.control("advance", seconds=24 * 3600 - 60)
    assert create(sandbox.client(), "order-1").id == first.id
    sandbox.control("advance", seconds=120)
    assert create(sandbox.client(), "order-1").id != first.id


def test_key_that_is_too_long_is_refused(sdk: StripeClient) -> None:
    create(sdk, "k" * 255)
    with pytest.raises(InvalidRequestError, match="up to 255 characters"):
        create(sdk, "k" * 256)


def test_invalid_parameters_do_not_use_the_key(sdk: StripeClient) -> None:
    """No answer is saved when validation fails: no work had begun."""
    with pytest.raises(InvalidRequestError):
        create(sdk, "order-1", line_items=[line_item(1)])
    assert create(sdk, "order-1").status == "open"


def test_error_about_an_objects_state_is_saved(sandbox: SandboxServer) -> None:
    sdk = sandbox.client()
    made = create(sdk, "order-1")
    sdk.v1.checkout.sessions.expire(made.id)
    requests = []
    for _ in range(2):
        with pytest.raises(InvalidRequestError, match="can be expired") as caught:
            sdk.v1.checkout.sessions.expire(made.id, {}, {"idempotency_key": "expire-1"})
        assert caught.value.headers is not None
        requests.append(caught.value.headers["Original-Request"])
    assert requests[0] == requests[1]


def test_server_error_after_the_work_is_saved(sandbox: SandboxServer) -> None:
    """Retries with the same key return the saved response, including 500 errors."""
    sandbox.control("fault", kind="500", after=True)
    sdk = sandbox.client()
    for replayed in (None, "true"):
        with pytest.raises(APIError) as caught:
            create(sdk, "order-1")
        assert caught.value.http_status == 500 and caught.value.headers is not None
        assert caught.value.headers.get("Idempotent-Replayed") == replayed
    assert len(sdk.v1.checkout.sessions.list().data) == 1  # without an answer


def test_server_error_before_the_work_does_not_use_the_key(sandbox: SandboxServer) -> None:
    sandbox.control("fault", kind="500")
    with pytest.raises(APIError):
        create(sandbox.client(), "order-1")
    assert create(sandbox.client(), "order-1").status == "open"


def test_key_in_use_is_a_conflict(sandbox: SandboxServer) -> None:
    """Source: https://docs.stripe.com/error-codes#idempotency-key-in-use; status 409."""
    sandbox.control("fault", kind="slow", seconds=30, times=2)
    with ThreadPoolExecutor(2) as pool:
        calls = [
            pool.submit(create, sandbox.client(max_network_retries=0), "order-1") for _ in range(2)
        ]
        refused = next(as_completed(calls))
        sandbox.control("release")
        assert sorted(one.exception() is None for one in calls) == [False, True]
    error = refused.exception()
    assert isinstance(error, APIError) and error.http_status == 409 and error.error is not None
    assert error.error.code == "idempotency_key_in_use"
    assert error.error.type == "idempotency_error"
    assert headers(create(sandbox.client(), "order-1"))["Idempotent-Replayed"] == "true"


def test_sdk_retries_a_conflict_until_the_first_answer_is_there(sandbox: SandboxServer) -> None:
    """Source: _should_retry in stripe/_http_client.py."""
    sandbox.control("fault", kind="slow", seconds=30)
    patient = sandbox.client(max_network_retries=9)
    with ThreadPoolExecutor(4) as pool:
        made = [pool.submit(create, patient, "order-1") for _ in range(4)]
        eventually(lambda: [call["status"] for call in sandbox.state()["calls"]].count(409) >= 3)
        sandbox.control("release")
        assert len({one.result().id for one in made}) == 1
    assert len(patient.v1.checkout.sessions.list().data) == 1
