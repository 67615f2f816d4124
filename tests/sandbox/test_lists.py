"""Lists, cursors and expansion, through the SDK."""

import json
from typing import Any

import pytest
from stripe import Charge, InvalidRequestError, PaymentIntent, StripeClient

from tests.support.sandbox_server import KEY, SandboxServer, fetch, session_params


def made(sdk: StripeClient, count: int) -> list[str]:
    """Create sessions; return their ids, newest first."""
    ids = [sdk.v1.checkout.sessions.create(session_params()).id for _ in range(count)]
    return ids[::-1]


def test_lists_come_newest_first_and_ten_at_a_time(sdk: StripeClient) -> None:
    """Source: https://docs.stripe.com/api/pagination."""
    ids = made(sdk, 12)
    page = sdk.v1.checkout.sessions.list()
    assert [one.id for one in page.data] == ids[:10]
    assert page.has_more and page.url == "/v1/checkout/sessions"
    rest = sdk.v1.checkout.sessions.list({"starting_after": ids[9]})
    assert [one.id for one in rest.data] == ids[10:] and not rest.has_more


def test_cursors_work_in_both_directions(sdk: StripeClient) -> None:
    ids = made(sdk, 5)
    sessions = sdk.v1.checkout.sessions
    page = sessions.list({"ending_before": ids[3], "limit": 2})
    assert [one.id for one in page.data] == ids[1:3] and page.has_more
    page = sessions.list({"ending_before": ids[1], "limit": 2})
    assert [one.id for one in page.data] == ids[:1] and not page.has_more
    assert [one.id for one in sessions.list({"limit": 2}).auto_paging_iter()] == ids


def test_new_objects_do_not_shift_the_pages(sdk: StripeClient) -> None:
    ids = made(sdk, 4)
    seen = []
    for one in sdk.v1.checkout.sessions.list({"limit": 2}).auto_paging_iter():
        seen.append(one.id)
        sdk.v1.checkout.sessions.create(session_params())
    assert seen == ids


def test_lists_are_filtered_by_time(sandbox: SandboxServer) -> None:
    """Source: created in the list parameters; gt, gte, lt, lte or one moment."""
    sdk = sandbox.client()
    first = sdk.v1.checkout.sessions.create(session_params())
    sandbox.control("advance", seconds=100)
    second = sdk.v1.checkout.sessions.create(session_params())
    cases: list[tuple[Any, list[str]]] = [
        ({"gte": second.created}, [second.id]),
        ({"gt": first.created, "lte": second.created}, [second.id]),
        ({"lt": second.created}, [first.id]),
        ({"gt": second.created}, []),
    ]
    for limits, expected in cases:
        assert [one.id for one in sdk.v1.checkout.sessions.list({"created": limits})] == expected
    exact = sdk.v1.checkout.sessions.list({"created": first.created})
    assert [one.id for one in exact] == [first.id]


@pytest.mark.parametrize(
    ("params", "param", "code"),
    [
        ({"limit": 0}, "limit", "parameter_invalid_integer"),
        ({"limit": 101}, "limit", "parameter_invalid_integer"),
        ({"starting_after": "cs_test_none"}, "starting_after", "resource_missing"),
        ({"starting_after": "a", "ending_before": "b"}, None, None),
        ({"customer": "cus_none"}, "customer", "resource_missing"),
        ({"payment_intent": "pi_none"}, "payment_intent", "resource_missing"),
        ({"status": "gone"}, "status", None),
        ({"colour": "red"}, "colour", "parameter_unknown"),
    ],
)
def test_bad_list_parameters_are_named(
    sdk: StripeClient, params: dict[str, object], param: str | None, code: str | None
) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        sdk.v1.checkout.sessions.list(params)  # type: ignore[arg-type] # bad on purpose
    assert (caught.value.param, caught.value.code) == (param, code)


def test_expansion_works_through_levels_and_lists(sandbox: SandboxServer) -> None:
    """Source: https://docs.stripe.com/api/expanding_objects."""
    sdk = sandbox.client()
    session = sdk.v1.checkout.sessions.create(session_params())
    sandbox.pay(session.url or "")
    path = "data.payment_intent.latest_charge.payment_intent"
    found = sdk.v1.checkout.sessions.list({"expand": [path]}).data[0]
    assert isinstance(found.payment_intent, PaymentIntent)
    charge = found.payment_intent.latest_charge
    assert isinstance(charge, Charge) and isinstance(charge.payment_intent, PaymentIntent)
    assert charge.payment_intent.latest_charge == charge.id


def test_expanded_field_without_a_value_is_none(sdk: StripeClient) -> None:
    made = sdk.v1.checkout.sessions.create(
        session_params(expand=["payment_intent.latest_charge", "line_items"])
    )
    assert made.payment_intent is None and made.line_items is not None


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("amount_total", r"This property cannot be expanded \(amount_total\)\."),
        ("nothing.at.all", r"cannot be expanded \(nothing\.at\.all\)"),
        ("a.b.c.d.e", "cannot expand more than 4 levels"),
        ("customer", "The sandbox does not implement this use of"),
    ],
)
def test_path_that_cannot_be_expanded_is_named(sdk: StripeClient, path: str, words: str) -> None:
    made = sdk.v1.checkout.sessions.create(session_params())
    with pytest.raises(InvalidRequestError, match=words):
        sdk.v1.checkout.sessions.retrieve(made.id, {"expand": [path]})


def test_lists_expand_paths_that_begin_with_data(sdk: StripeClient) -> None:
    sdk.v1.checkout.sessions.create(session_params())
    with pytest.raises(InvalidRequestError, match=r"expanding 'data\.payment_intent' instead"):
        sdk.v1.checkout.sessions.list({"expand": ["payment_intent"]})


@pytest.mark.parametrize("path", ["refunds", "charges", "disputes", "checkout/sessions"])
def test_list_of_a_payment_that_does_not_exist_is_refused(
    sandbox: SandboxServer, path: str
) -> None:
    """Source: https://docs.stripe.com/api/refunds/list, https://docs.stripe.com/api/errors."""
    page = fetch(
        f"{sandbox.url}/v1/{path}?payment_intent=pi_none",
        headers={"Authorization": f"Bearer {KEY}"},
    )
    error = json.loads(page.text)["error"]
    assert error.pop("request_log_url").startswith(sandbox.url)
    assert (page.status, error) == (
        400,
        {
            "code": "resource_missing",
            "doc_url": "https://stripe.com/docs/error-codes/resource-missing",
            "message": "No such payment_intent: 'pi_none'",
            "param": "payment_intent",
            "type": "invalid_request_error",
        },
    )


def test_list_of_refunds_of_a_charge_that_does_not_exist_is_refused(sdk: StripeClient) -> None:
    """Source: https://docs.stripe.com/api/refunds/list, under Returns."""
    with pytest.raises(InvalidRequestError, match="No such charge: 'ch_none'") as caught:
        sdk.v1.refunds.list({"charge": "ch_none"})
    assert (caught.value.code, caught.value.param) == ("resource_missing", "charge")


def test_list_of_a_payment_without_refunds_is_empty(sandbox: SandboxServer) -> None:
    sdk = sandbox.client()
    sandbox.pay(sdk.v1.checkout.sessions.create(session_params()).url or "")
    payment = sdk.v1.payment_intents.list().data[0].id
    assert sdk.v1.refunds.list({"payment_intent": payment}).data == []
    assert sdk.v1.disputes.list({"payment_intent": payment}).data == []
