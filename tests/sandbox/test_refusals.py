"""Calls that the sandbox refuses, with Stripe's errors."""

import pytest
from stripe import AuthenticationError, InvalidRequestError, StripeClient

from tests.support.sandbox_server import KEY, SandboxServer, fetch, line_item, session_params

PRICE = {"currency": "usd", "unit_amount": 1000, "product_data": {"name": "Seat"}}


@pytest.mark.parametrize(
    ("changes", "code", "param"),
    [
        ({"payment_method_types": ["card"]}, "parameter_unknown", "payment_method_types"),
        (
            {"line_items": [{**line_item(), "amount": 1}]},
            "parameter_unknown",
            "line_items[0][amount]",
        ),
        ({"mode": None}, "parameter_missing", "mode"),
        ({"success_url": None}, "parameter_missing", "success_url"),
        ({"line_items": None}, "parameter_missing", "line_items"),
        (
            {"line_items": [{"price_data": {"unit_amount": 1}, "quantity": 1}]},
            "parameter_missing",
            "line_items[0][price_data][currency]",
        ),
        (
            {"line_items": [{"price_data": {**PRICE, "product_data": {}}, "quantity": 1}]},
            "parameter_missing",
            "line_items[0][price_data][product_data]",
        ),
        ({"expires_at": "soon"}, "parameter_invalid_integer", "expires_at"),
        (
            {"line_items": [{"price_data": PRICE, "quantity": 0}]},
            "parameter_invalid_integer",
            "line_items[0][quantity]",
        ),
        (
            {"line_items": [{"price_data": {**PRICE, "unit_amount": -1}, "quantity": 1}]},
            "parameter_invalid_integer",
            "line_items[0][price_data][unit_amount]",
        ),
        ({"customer_email": ""}, "parameter_invalid_empty", "customer_email"),
        ({"customer_email": "ada"}, "email_invalid", "customer_email"),
        ({"success_url": "/orders/1"}, "url_invalid", "success_url"),
        ({"cancel_url": "javascript:alert(1)"}, "url_invalid", "cancel_url"),
        ({"client_reference_id": "x" * 201}, None, "client_reference_id"),
        ({"mode": "rent"}, None, "mode"),
        ({"metadata": {"k" * 41: "v"}}, None, "metadata"),
        ({"metadata": {"k": "v" * 501}}, None, "metadata[k]"),
        ({"metadata": {str(n): "v" for n in range(51)}}, None, "metadata"),
        ({"line_items": [{"price_data": PRICE}]}, None, "line_items[0]"),
        ({"line_items": [line_item(currency="xyz")]}, None, "line_items[0][price_data][currency]"),
        (
            {"line_items": [{"price": "price_1", "quantity": 1}]},
            "resource_missing",
            "line_items[0][price]",
        ),
        (
            {"line_items": [{"price": "price_1", "price_data": PRICE, "quantity": 1}]},
            "parameters_exclusive",
            "line_items[0][price]",
        ),
        (
            {"allow_promotion_codes": True, "discounts": [{"coupon": "c"}]},
            "parameters_exclusive",
            "allow_promotion_codes",
        ),
        ({"discounts": [{"coupon": "c"}]}, "resource_missing", "discounts[0][coupon]"),
        (
            {"discounts": [{"promotion_code": "promo_x"}]},
            "resource_missing",
            "discounts[0][promotion_code]",
        ),
        (
            {"line_items": [line_item(), line_item(currency="eur")]},
            None,
            "line_items[0][price_data][currency]",
        ),
        ({"line_items": [line_item()] * 101}, None, "line_items"),
        ({"allow_promotion_codes": "perhaps"}, None, "allow_promotion_codes"),
        ({"metadata": "flat"}, None, "metadata"),
        ({"mode": {"a": "b"}}, None, "mode"),
    ],
)  # fmt: skip
def test_invalid_parameter_is_named(
    sdk: StripeClient, changes: dict[str, object], code: str | None, param: str
) -> None:
    """Source: https://docs.stripe.com/error-codes and, where no code is named there, the
    messages in the issues of Stripe's libraries (stripe-php#1119, openapi#93)."""
    with pytest.raises(InvalidRequestError) as caught:
        sdk.v1.checkout.sessions.create(session_params(**changes))
    error = caught.value
    assert (error.http_status, error.code, error.param) == (400, code, param)
    assert error.request_id is not None and error.error is not None
    assert error.error.type == "invalid_request_error"
    assert error.error.request_log_url is not None
    assert error.request_id in error.error.request_log_url
    if code:
        assert (
            error.error.doc_url == f"https://stripe.com/docs/error-codes/{code.replace('_', '-')}"
        )
    assert sdk.v1.checkout.sessions.list().data == []


@pytest.mark.parametrize(
    "changes",
    [
        {"mode": "subscription"},
        {"ui_mode": "elements"},
        {"adaptive_pricing": {"enabled": True}},
        {"automatic_tax": {"enabled": True, "liability": {"type": "self"}}},
        {"invoice_creation": {"enabled": True, "invoice_data": {"footer": "x"}}},
        {"phone_number_collection": {"enabled": True}},
        {"shipping_address_collection": {"allowed_countries": ["US"]}},
        {"payment_intent_data": {"capture_method": "manual"}},
        {"line_items": [{**line_item(), "tax_rates": ["txr_1"]}]},
    ],
)
def test_unsupported_parameter_is_refused(sdk: StripeClient, changes: dict[str, object]) -> None:
    """The sandbox ignores no parameter that has an effect at Stripe."""
    with pytest.raises(InvalidRequestError, match="The sandbox does not implement this use of"):
        sdk.v1.checkout.sessions.create(session_params(**changes))


def test_unsupported_feature_can_be_switched_off(sdk: StripeClient) -> None:
    sdk.v1.checkout.sessions.create(
        session_params(
            automatic_tax={"enabled": False},
            invoice_creation={"enabled": False},
            tax_id_collection={"enabled": False},
            phone_number_collection={"enabled": False},
        )
    )


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ("", "You did not provide an API key."),
        ("Bearer ", "You did not provide an API key."),
        ("Digest x", "You did not provide an API key."),
        ("Bearer " + "sk_live_" + "51Hsecret", "Invalid API Key provided: sk_live_"),
        ("Bearer pk_test_public", "Invalid API Key provided: pk_test_"),
    ],
)
def test_call_without_a_valid_key_is_refused(
    sandbox: SandboxServer, header: str, words: str
) -> None:
    """Source: https://docs.stripe.com/api/authentication and .../api/errors (401)."""
    page = fetch(f"{sandbox.url}/v1/events", headers={"Authorization": header} if header else {})
    assert page.status == 401 and words in page.text
    assert page.headers["WWW-Authenticate"] == 'Bearer realm="Stripe"'
    assert page.headers["Request-Id"].startswith("req_")
    assert "51Hsecret" not in page.text


def test_live_key_is_an_authentication_error(sandbox: SandboxServer) -> None:
    with pytest.raises(AuthenticationError):
        sandbox.client("sk_live_" + "abc").v1.events.list()


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/checkout/sessions/"),
        ("GET", "/v1/nothing"),
        ("DELETE", "/v1/checkout/sessions/cs_test_1"),
        ("PUT", "/v1/refunds"),
        ("POST", "/v1/events"),
        ("GET", "/v1/"),
    ],
)
def test_unknown_path_is_named(sandbox: SandboxServer, method: str, path: str) -> None:
    """Source: Stripe's message as quoted in exercism/website#7474."""
    page = fetch(f"{sandbox.url}{path}", method=method, headers={"Authorization": f"Bearer {KEY}"})
    assert page.status == 404
    assert f"Unrecognized request URL ({method}: {path})." in page.text


def test_body_that_is_not_a_form_is_refused(sandbox: SandboxServer) -> None:
    """Source: https://docs.stripe.com/api: form-encoded request bodies, JSON-encoded answers."""
    page = fetch(
        f"{sandbox.url}/v1/checkout/sessions",
        body=b'{"mode": "payment"}',
        headers={"Authorization": f"Bearer {KEY}"},
    )
    assert page.status == 400 and "application/x-www-form-urlencoded" in page.text


def test_parameters_with_brackets_are_decoded(sandbox: SandboxServer) -> None:
    """Arrays come with indexes or with empty brackets; Basic carries the key as curl -u does."""
    form = {
        "mode": "payment",
        "success_url": "http://127.0.0.1:9/",
        "line_items[0][price_data][currency]": "EUR",
        "line_items[0][price_data][unit_amount]": "1000",
        "line_items[0][price_data][product_data][name]": "Platz für zwei",
        "line_items[0][quantity]": "2",
        "expand[]": "line_items",
    }
    basic = {"Authorization": "Basic c2tfdGVzdF9zYW5kYm94Og=="}
    page = fetch(f"{sandbox.url}/v1/checkout/sessions", form=form, headers=basic)
    assert page.status == 200
    found = sandbox.client().v1.checkout.sessions.list({"expand": ["data.line_items"]}).data[0]
    assert found.line_items is not None
    assert found.line_items.data[0].description == "Platz für zwei"
    assert (found.amount_total, found.currency) == (2000, "eur")


def test_other_api_version_is_refused(sandbox: SandboxServer) -> None:
    """Source: https://docs.stripe.com/api/versioning; the message is assumed, not observed."""
    page = fetch(
        f"{sandbox.url}/v1/events",
        headers={"Authorization": f"Bearer {KEY}", "Stripe-Version": "2020-08-27"},
    )
    assert page.status == 400 and "Invalid Stripe API version: 2020-08-27" in page.text


def test_discount_must_fit_the_price(sandbox: SandboxServer) -> None:
    """Source: https://docs.stripe.com/payments/checkout/discounts and .../no-cost-orders."""
    sdk = sandbox.client()
    twenty = sdk.v1.promotion_codes.list({"code": "TWENTY"}).data[0].id
    discounts = [{"promotion_code": twenty}]
    for items, code, param in (
        ([line_item(currency="gbp")], None, "discounts[0][promotion_code]"),
        ([line_item(amount=2_049)], "amount_too_small", None),
    ):
        with pytest.raises(InvalidRequestError) as caught:
            sdk.v1.checkout.sessions.create(session_params(line_items=items, discounts=discounts))
        assert (caught.value.code, caught.value.param) == (code, param)
    assert sdk.v1.checkout.sessions.list().data == []
