"""Payments on the payment page, through the SDK: cards, bank accounts, refunds."""

import pytest
from stripe import Charge, InvalidRequestError, PaymentIntent, StripeClient

from tests.support.sandbox_objects import PAYS_LATER, made, read, types
from tests.support.sandbox_server import SandboxServer, fetch, line_item

FAILS_LATER = "AT861904300235473202"


def test_valid_card_pays_and_redirects_to_the_site(sandbox: SandboxServer) -> None:
    """Source: https://docs.stripe.com/testing and
    https://docs.stripe.com/payments/checkout/custom-success-page."""
    sdk = sandbox.client()
    session = made(
        sdk,
        customer_creation="always",
        payment_intent_data={"metadata": {"order": "7"}, "description": "Order 7"},
    )
    page = sandbox.pay(session.url or "", email="ada@example.com", name="Ada Lovelace")
    assert page.status == 303
    assert page.location == f"http://127.0.0.1:9/orders/token?s={session.id}"
    paid, intent, charge = read(sdk, session)
    assert (paid.status, paid.payment_status, paid.url) == ("complete", "paid", None)
    assert paid.customer_details is not None
    assert (paid.customer_details.email, paid.customer_details.name) == (
        "ada@example.com",
        "Ada Lovelace",
    )
    assert (intent.status, intent.amount, intent.amount_received) == ("succeeded", 125_000, 125_000)
    assert intent.metadata["order"] == "7" and intent.description == "Order 7"
    assert charge.paid and charge.captured and charge.amount_captured == 125_000
    details = charge.payment_method_details
    assert details is not None and details.card is not None
    assert (details.card.brand, details.card.last4) == ("visa", "4242")
    assert paid.customer == intent.customer == charge.customer
    receipt = fetch(charge.receipt_url or "")
    assert receipt.status == 200 and "$1,250.00" in receipt.text
    assert types(sdk) == [
        "payment_intent.created",
        "charge.succeeded",
        "payment_intent.succeeded",
        "checkout.session.completed",
    ]


def test_session_metadata_is_not_copied_to_the_payment(sandbox: SandboxServer) -> None:
    """Source: metadata in https://docs.stripe.com/metadata: it is not copied to the payment."""
    sdk = sandbox.client()
    session = made(sdk, metadata={"order": "7"})
    sandbox.pay(session.url or "")
    assert read(sdk, session)[1].metadata.to_dict() == {}


@pytest.mark.parametrize(
    ("number", "code", "reason"),
    [
        ("4000000000000002", "card_declined", "generic_decline"),
        ("4000000000009995", "card_declined", "insufficient_funds"),
        ("4000000000000069", "expired_card", "expired_card"),
        ("4000000000000127", "incorrect_cvc", "incorrect_cvc"),
        ("4111111111111111", "card_declined", "test_mode_live_card"),
    ],
)
def test_declined_card_leaves_the_session_open(
    sandbox: SandboxServer, number: str, code: str, reason: str
) -> None:
    """Source: https://docs.stripe.com/testing#declined-payments."""
    sdk = sandbox.client()
    session = made(sdk)
    page = sandbox.pay(session.url or "", number)
    assert page.status == 402 and "Nothing was paid." in page.text
    tried, intent, charge = read(sdk, session)
    assert (tried.status, tried.payment_status) == ("open", "unpaid")
    assert intent.status == "requires_payment_method"
    error = intent.last_payment_error
    assert error is not None and (error.code, error.decline_code) == (code, reason)
    assert (charge.status, charge.paid, charge.failure_code) == ("failed", False, code)
    assert types(sdk)[1:] == ["charge.failed", "payment_intent.payment_failed"]
    assert sandbox.pay(session.url or "").status == 303
    paid, again, _ = read(sdk, session)
    assert paid.payment_status == "paid" and again.id == intent.id
    assert again.last_payment_error is None


def test_card_pays_after_authentication(sandbox: SandboxServer) -> None:
    """Source: https://docs.stripe.com/testing#regulatory-cards."""
    sdk = sandbox.client()
    session = made(sdk)
    page = sandbox.pay(session.url or "", "4000002500003155")
    assert page.status == 303 and page.location == f"/pay/{session.id}/authenticate"
    asking = sdk.v1.checkout.sessions.retrieve(session.id, {"expand": ["payment_intent"]})
    assert asking.status == "open" and isinstance(asking.payment_intent, PaymentIntent)
    assert asking.payment_intent.status == "requires_action"
    assert asking.payment_intent.next_action is not None
    address = f"{sandbox.url}{page.location}"
    assert "Complete the payment" in fetch(address).text
    assert fetch(address, form={"outcome": "complete"}).location.endswith(session.id)
    assert read(sdk, session)[0].payment_status == "paid"


def test_failed_authentication_charges_nothing(sandbox: SandboxServer) -> None:
    sdk = sandbox.client()
    session = made(sdk)
    page = sandbox.pay(session.url or "", "4000002500003155")
    page = fetch(f"{sandbox.url}{page.location}", form={"outcome": "fail"})
    assert page.status == 402 and "unable to authenticate" in page.text
    assert f'action="/pay/{session.id}"' in page.text  # a retry starts at the payment page
    tried = sdk.v1.checkout.sessions.retrieve(session.id, {"expand": ["payment_intent"]})
    assert isinstance(tried.payment_intent, PaymentIntent)
    error = tried.payment_intent.last_payment_error
    assert error is not None and error.code == "payment_intent_authentication_failure"
    assert tried.status == "open" and sdk.v1.charges.list().data == []
    assert sandbox.pay(session.url or "").status == 303


@pytest.mark.parametrize(
    ("iban", "action", "paid"),
    [(PAYS_LATER, None, True), (FAILS_LATER, None, False), (PAYS_LATER, "bounce", False)],
)
def test_bank_account_pays_or_fails_later(
    sandbox: SandboxServer, iban: str, action: str | None, paid: bool
) -> None:
    """Source: https://docs.stripe.com/checkout/fulfillment (delayed payment methods)."""
    sdk = sandbox.client()
    session = made(sdk, line_items=[line_item(99_900, "eur")])
    assert sandbox.pay(session.url or "", iban=iban).status == 303
    waiting, intent, charge = read(sdk, session)
    assert (waiting.status, waiting.payment_status) == ("complete", "unpaid")
    assert (intent.status, charge.status, charge.paid) == ("processing", "pending", False)
    assert types(sdk)[-1] == "checkout.session.completed"
    if action:
        sandbox.control(action, id=intent.id)
    else:
        sandbox.control("advance", seconds=2 * 3600)
    after, intent, charge = read(sdk, session)
    assert after.payment_status == ("paid" if paid else "unpaid") and after.status == "complete"
    assert intent.status == ("succeeded" if paid else "requires_payment_method")
    assert charge.status == ("succeeded" if paid else "failed")
    outcome = "succeeded" if paid else "failed"
    assert types(sdk)[-1] == f"checkout.session.async_payment_{outcome}"


def test_free_order_needs_no_card(sandbox: SandboxServer) -> None:
    """Source: https://docs.stripe.com/payments/checkout/no-cost-orders."""
    sdk = sandbox.client()
    session = made(sdk, line_items=[line_item(0)])
    page = fetch(session.url or "", form={"email": "ada@example.com"})
    assert page.status == 303
    done = sdk.v1.checkout.sessions.retrieve(session.id)
    assert (done.status, done.payment_status) == ("complete", "no_payment_required")
    assert done.payment_intent is None and done.amount_total == 0
    assert types(sdk) == ["checkout.session.completed"]


def test_refunds_cannot_exceed_the_charge(sandbox: SandboxServer) -> None:
    """Source: https://docs.stripe.com/refunds and https://docs.stripe.com/error-codes."""
    sdk = sandbox.client()
    session = made(sdk)
    sandbox.pay(session.url or "")
    _, intent, charge = read(sdk, session)
    part = sdk.v1.refunds.create(
        {"payment_intent": intent.id, "amount": 25_000, "reason": "requested_by_customer"}
    )
    assert (part.status, part.amount, part.charge) == ("succeeded", 25_000, charge.id)
    charge = sdk.v1.charges.retrieve(charge.id)
    assert (charge.amount_refunded, charge.refunded) == (25_000, False)
    with pytest.raises(InvalidRequestError) as caught:
        sdk.v1.refunds.create({"charge": charge.id, "amount": 100_001})
    assert caught.value.param == "amount"
    assert "greater than unrefunded amount on charge ($1,000.00)" in str(caught.value)
    rest = sdk.v1.refunds.create({"charge": charge.id, "expand": ["charge"]})
    assert isinstance(rest.charge, Charge) and rest.charge.refunded and rest.amount == 100_000
    with pytest.raises(InvalidRequestError) as caught:
        sdk.v1.refunds.create({"payment_intent": intent.id})
    assert caught.value.code == "charge_already_refunded"
    listed = sdk.v1.refunds.list({"payment_intent": intent.id})
    assert [one.id for one in listed] == [rest.id, part.id]
    assert types(sdk)[-4:] == ["refund.created", "charge.refunded"] * 2
    event = sdk.v1.events.list({"type": "charge.refunded"}).data[0]
    assert event.to_dict()["data"]["previous_attributes"] == {
        "amount_refunded": 25_000,
        "refunded": False,
    }


@pytest.mark.parametrize(
    ("params", "code", "param"),
    [
        ({}, "parameter_missing", "payment_intent"),
        ({"charge": "ch_none"}, "resource_missing", "charge"),
        ({"payment_intent": "pi_none"}, "resource_missing", "payment_intent"),
        ({"charge": "ch_1", "payment_intent": "pi_1"}, "parameters_exclusive", "charge"),
        ({"charge": "ch_none", "amount": 0}, "parameter_invalid_integer", "amount"),
    ],
)
def test_invalid_refund_is_refused(
    sdk: StripeClient, params: dict[str, object], code: str, param: str
) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        sdk.v1.refunds.create(params)  # type: ignore[arg-type] # bad on purpose
    assert (caught.value.code, caught.value.param) == (code, param)


def test_unpaid_payment_cannot_be_refunded(sandbox: SandboxServer) -> None:
    sdk = sandbox.client()
    session = made(sdk)
    sandbox.pay(session.url or "", "4000000000000002")
    _, intent, charge = read(sdk, session)
    for params in ({"payment_intent": intent.id}, {"charge": charge.id}):
        with pytest.raises(InvalidRequestError):
            sdk.v1.refunds.create(params)  # type: ignore[arg-type] # the one or the other


def test_refund_to_a_bank_takes_time_and_may_fail(sandbox: SandboxServer) -> None:
    """Source: https://docs.stripe.com/refunds#failed-refunds."""
    sdk = sandbox.client()
    session = made(sdk)
    sandbox.pay(session.url or "", iban=PAYS_LATER)
    _, intent, charge = read(sdk, session)
    sandbox.control("settle", id=intent.id)
    first = sdk.v1.refunds.create({"charge": charge.id, "amount": 1_000})
    assert (first.status, first.pending_reason) == ("pending", "processing")
    sandbox.control("advance", seconds=60)
    assert sdk.v1.refunds.retrieve(first.id).status == "succeeded"
    second = sdk.v1.refunds.create({"charge": charge.id, "amount": 2_000})
    sandbox.control("fail_refund", id=second.id)
    failed = sdk.v1.refunds.retrieve(second.id)
    assert failed.status == "failed" and failed.failure_reason == "unknown"
    assert sdk.v1.charges.retrieve(charge.id).amount_refunded == 1_000
    assert types(sdk)[-2:] == ["refund.updated", "refund.failed"]


def test_refund_from_the_dashboard_is_like_one_from_the_api(sandbox: SandboxServer) -> None:
    sdk = sandbox.client()
    session = made(sdk)
    sandbox.pay(session.url or "")
    _, _, charge = read(sdk, session)
    sandbox.control("refund", id=charge.id, amount=500)
    refund = sdk.v1.refunds.list({"charge": charge.id}).data[0]
    assert (refund.amount, refund.status) == (500, "succeeded")
    event = sdk.v1.events.list({"type": "refund.created"}).data[0]
    assert event.request is not None and event.request.id is None  # not caused by a call to the API
