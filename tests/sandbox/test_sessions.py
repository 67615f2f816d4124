"""Checkout Sessions, created and retrieved through the SDK."""

import time

import pytest
from stripe import InvalidRequestError, PaymentIntent, StripeClient

from tests.support.sandbox_server import SandboxServer, fetch, line_item, session_params


def api_error(sdk: StripeClient, **changes: object) -> InvalidRequestError:
    with pytest.raises(InvalidRequestError) as caught:
        sdk.v1.checkout.sessions.create(session_params(**changes))
    return caught.value


def test_new_session_is_open_and_unpaid_with_a_url(sdk: StripeClient) -> None:
    """Source: https://docs.stripe.com/api/checkout/sessions/object."""
    made = sdk.v1.checkout.sessions.create(
        session_params(
            line_items=[line_item(quantity=3), line_item(4999)],
            metadata={"order": "7"},
            customer_email="ada@example.com",
            submit_type="book",
            locale="auto",
        )
    )
    assert (made.status, made.payment_status, made.mode) == ("open", "unpaid", "payment")
    assert (made.amount_subtotal, made.amount_total) == (379_999, 379_999)
    assert (made.currency, made.client_reference_id) == ("usd", "order-token")
    assert made.metadata is not None and made.metadata["order"] == "7"
    assert made.payment_intent is None  # made at the first try since API 2022-08-01
    assert made.customer_details is not None
    assert made.customer_details.email == made.customer_email == "ada@example.com"
    assert made.expires_at == made.created + 24 * 3600
    assert fetch(made.url or "").status == 200


def test_session_is_retrieved_as_created(sdk: StripeClient) -> None:
    made = sdk.v1.checkout.sessions.create(session_params())
    assert sdk.v1.checkout.sessions.retrieve(made.id).to_dict() == made.to_dict()


def test_line_items_are_listed_and_expanded(sdk: StripeClient) -> None:
    """Source: https://docs.stripe.com/api/checkout/sessions/line_items."""
    made = sdk.v1.checkout.sessions.create(
        session_params(line_items=[line_item(100 + n, name=f"Item {n}") for n in range(12)])
    )
    listed = sdk.v1.checkout.sessions.line_items.list(made.id, {"limit": 5})
    names = [item.description for item in listed.auto_paging_iter()]
    assert names == [f"Item {n}" for n in range(12)]
    expanded = sdk.v1.checkout.sessions.retrieve(made.id, {"expand": ["line_items"]})
    assert expanded.line_items is not None
    assert len(expanded.line_items.data) == 10 and expanded.line_items.has_more
    assert expanded.line_items.data[0].price is not None
    assert expanded.line_items.data[0].price.unit_amount == 100
    last = listed.data[-1].id
    before = sdk.v1.checkout.sessions.line_items.list(made.id, {"ending_before": last, "limit": 2})
    assert [item.description for item in before.data] == ["Item 2", "Item 3"]
    assert before.has_more


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (29 * 60, "at least 30 minutes"),
        (24 * 3600 + 60, "less than 24 hours"),
        (-60, "at least 30 minutes"),
    ],
)
def test_session_lives_from_half_an_hour_to_a_day(
    sdk: StripeClient, seconds: int, words: str
) -> None:
    """Source: expires_at in https://docs.stripe.com/api/checkout/sessions/create."""
    error = api_error(sdk, expires_at=int(time.time()) + seconds)
    assert error.param == "expires_at" and words in str(error)


def test_session_expires_at_its_time(sandbox: SandboxServer) -> None:
    """Source: status and url in stripe/checkout/_session.py: the url is there while it is open."""
    sdk = sandbox.client()
    soon = int(time.time()) + 31 * 60
    made = sdk.v1.checkout.sessions.create(session_params(expires_at=soon))
    sandbox.control("advance", seconds=30 * 60)
    assert sdk.v1.checkout.sessions.retrieve(made.id).status == "open"
    sandbox.control("advance", seconds=120)
    late = sdk.v1.checkout.sessions.retrieve(made.id)
    assert (late.status, late.payment_status, late.url) == ("expired", "unpaid", None)


def test_open_session_can_be_expired_once(sdk: StripeClient) -> None:
    """Source: https://docs.stripe.com/api/checkout/sessions/expire; the message as Stripe's
    (Sylius/PayumStripePlugin#70)."""
    made = sdk.v1.checkout.sessions.create(session_params())
    ended = sdk.v1.checkout.sessions.expire(made.id)
    assert (ended.status, ended.url) == ("expired", None)
    with pytest.raises(InvalidRequestError) as caught:
        sdk.v1.checkout.sessions.expire(made.id)
    assert 'Only Checkout Sessions with a status in ["open"] can be expired.' in str(caught.value)
    assert "status of `expired`" in str(caught.value) and caught.value.http_status == 400


def test_expiry_cancels_the_payment_of_a_failed_attempt(sandbox: SandboxServer) -> None:
    sdk = sandbox.client()
    made = sdk.v1.checkout.sessions.create(session_params())
    sandbox.pay(made.url or "", "4000000000000002")
    sdk.v1.checkout.sessions.expire(made.id)
    ended = sdk.v1.checkout.sessions.retrieve(made.id, {"expand": ["payment_intent"]})
    assert isinstance(ended.payment_intent, PaymentIntent)
    assert ended.payment_intent.status == "canceled"


def test_unknown_session_is_missing(sdk: StripeClient) -> None:
    """Source: https://docs.stripe.com/error-codes#resource-missing."""
    for call in (
        lambda: sdk.v1.checkout.sessions.retrieve("cs_test_none"),
        lambda: sdk.v1.checkout.sessions.expire("cs_test_none"),
        lambda: sdk.v1.checkout.sessions.line_items.list("cs_test_none"),
    ):
        with pytest.raises(InvalidRequestError) as caught:
            call()
        assert (caught.value.http_status, caught.value.code) == (404, "resource_missing")
        assert caught.value.param == "session"


def test_sessions_are_filtered_by_status_payment_and_email(sandbox: SandboxServer) -> None:
    """Source: stripe/params/checkout/_session_list_params.py."""
    sdk = sandbox.client()
    first = sdk.v1.checkout.sessions.create(session_params(customer_email="bo@example.com"))
    second = sdk.v1.checkout.sessions.create(session_params())
    sandbox.pay(second.url or "", email="cy@example.com")
    intent = str(sdk.v1.checkout.sessions.retrieve(second.id).payment_intent)
    sessions = sdk.v1.checkout.sessions
    assert [one.id for one in sessions.list()] == [second.id, first.id]
    assert [one.id for one in sessions.list({"status": "open"})] == [first.id]
    assert [one.id for one in sessions.list({"status": "complete"})] == [second.id]
    assert [one.id for one in sessions.list({"payment_intent": intent})] == [second.id]
    for email, id in (("bo@example.com", first.id), ("cy@example.com", second.id)):  # noqa: A001
        found = sessions.list({"customer_details": {"email": email}})
        assert [one.id for one in found] == [id]


@pytest.mark.parametrize(
    ("currency", "amount"), [("jpy", 180_000), ("eur", 99_900), ("kwd", 385_010), ("krw", 1_500)]
)
def test_amounts_are_in_the_smallest_unit(sdk: StripeClient, currency: str, amount: int) -> None:
    """Source: https://docs.stripe.com/currencies."""
    items = [line_item(amount, currency, quantity=2)]
    made = sdk.v1.checkout.sessions.create(session_params(line_items=items))
    assert (made.currency, made.amount_total) == (currency, 2 * amount)


def test_amount_has_limits(sdk: StripeClient) -> None:
    """Source: https://docs.stripe.com/currencies#minimum-and-maximum-charge-amounts."""
    for currency, amount, code in (
        ("usd", 49, "amount_too_small"),
        ("jpy", 49, "amount_too_small"),
        ("czk", 1_499, "amount_too_small"),
        ("usd", 100_000_000, "amount_too_large"),
    ):
        assert api_error(sdk, line_items=[line_item(amount, currency)]).code == code
    for currency, amount in (("usd", 50), ("jpy", 50), ("usd", 99_999_999), ("usd", 0)):
        sdk.v1.checkout.sessions.create(session_params(line_items=[line_item(amount, currency)]))


def test_three_digit_amounts_end_in_zero(sdk: StripeClient) -> None:
    """Source: https://docs.stripe.com/currencies#three-decimal."""
    error = api_error(sdk, line_items=[line_item(385_015, "kwd")])
    assert error.param == "line_items[0][price_data][unit_amount]"


def test_payment_methods_can_be_excluded(sandbox: SandboxServer) -> None:
    """Source: excluded_payment_method_types in _session_create_params.py."""
    sdk = sandbox.client()
    made = sdk.v1.checkout.sessions.create(
        session_params(excluded_payment_method_types=["sepa_debit", "klarna"])
    )
    assert made.payment_method_types == ["card"]
    assert "IBAN" not in fetch(made.url or "").text
    error = api_error(sdk, excluded_payment_method_types=["card", "sepa_debit"])
    assert "No valid payment method types" in str(error)
