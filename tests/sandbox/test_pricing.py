"""Promotion codes, tax, tax ids, invoices and recovered sessions, by page and SDK."""

import re
from typing import Any

import pytest
from stripe import StripeClient
from stripe.checkout import Session

from tests.support.sandbox_objects import PAYS_LATER, types, words
from tests.support.sandbox_server import Page, SandboxServer, fetch, line_item, session_params

TAXED: Any = {"automatic_tax": {"enabled": True}}


def made(
    sdk: StripeClient, amount: int = 125_000, currency: str = "usd", **more: object
) -> Session:
    more.setdefault("line_items", [line_item(amount, currency)])
    return sdk.v1.checkout.sessions.create(session_params(**more))


def redeem(session: Session, code: str) -> Page:
    return fetch(f"{session.url}/code", form={"promotion_code": code})


def amounts(session: Session) -> tuple[int | None, int, int, int | None]:
    """Return subtotal, discount, tax and total."""
    details = session.total_details
    assert details is not None
    return (
        session.amount_subtotal, details.amount_discount, details.amount_tax, session.amount_total
    )  # fmt: skip


@pytest.mark.parametrize(
    ("code", "currency", "amount", "off", "shown"),
    [
        ("TENOFF", "usd", 125_055, 12_506, "−$125.06"),
        ("tenoff", "jpy", 9_999, 1_000, "−¥1,000"),
        ("TENOFF", "kwd", 12_350, 1_240, "−KWD 1.240"),
        ("TWENTY", "eur", 99_900, 2_000, "−€20.00"),
        ("TWENTY", "kwd", 12_340, 6_000, "−KWD 6.000"),
    ],
)
def test_code_reduces_the_price(
    sandbox: SandboxServer, code: str, currency: str, amount: int, off: int, shown: str
) -> None:
    """Source: https://docs.stripe.com/payments/checkout/discounts."""
    sdk = sandbox.client()
    session = made(sdk, amount, currency, allow_promotion_codes=True)
    assert redeem(session, code).status == 303
    assert f"Discount {shown}" in words(fetch(session.url or "").text)
    assert sandbox.pay(session.url or "").status == 303
    paid = sdk.v1.checkout.sessions.retrieve(session.id, {"expand": ["payment_intent"]})
    assert amounts(paid) == (amount, off, 0, amount - off)
    assert paid.to_dict()["payment_intent"]["amount_received"] == amount - off
    (used,) = paid.discounts or []
    found = sdk.v1.promotion_codes.retrieve(str(used.promotion_code))
    assert (found.code, found.times_redeemed) == (code.upper(), 1)


def test_amount_off_is_spread_over_the_lines_to_the_last_cent(sandbox: SandboxServer) -> None:
    sdk = sandbox.client()
    items = [line_item(333, quantity=1), line_item(333), line_item(3_334)]
    session = made(sdk, line_items=items, allow_promotion_codes=True)
    redeem(session, "TWENTY")
    lines = sdk.v1.checkout.sessions.line_items.list(session.id).data
    assert sum(line.amount_discount for line in lines) == 2_000
    assert all(line.amount_total == line.amount_subtotal - line.amount_discount for line in lines)


def test_code_for_100_percent_makes_the_order_free(sandbox: SandboxServer) -> None:
    """Source: https://docs.stripe.com/payments/checkout/no-cost-orders."""
    sdk = sandbox.client()
    session = made(sdk, allow_promotion_codes=True, **TAXED)
    assert sandbox.pay(session.url or "", "4000000000000002").status == 402  # before the code
    redeem(session, "FREE")
    page = fetch(session.url or "").text
    assert "Complete the order" in page and "Card number" not in page
    assert fetch(session.url or "", form={"email": "ada@example.com"}).status == 303
    done = sdk.v1.checkout.sessions.retrieve(session.id)
    assert (done.status, done.payment_status) == ("complete", "no_payment_required")
    assert done.payment_intent is None and amounts(done) == (125_000, 125_000, 0, 0)


@pytest.mark.parametrize(
    ("code", "currency", "amount", "message"),
    [
        ("NOSUCH", "usd", 5_000, "This code is not valid"),
        ("", "usd", 5_000, "This code is not valid"),
        ("TWENTY", "gbp", 5_000, "This code is not valid for a price in GBP"),
        ("TWENTY", "usd", 2_049, "This code leaves less than $0.50 to pay"),
    ],
)
def test_code_that_cannot_be_used_changes_nothing(
    sandbox: SandboxServer, code: str, currency: str, amount: int, message: str
) -> None:
    sdk = sandbox.client()
    session = made(sdk, amount, currency, allow_promotion_codes=True)
    page = redeem(session, code)
    assert page.status == 422 and re.search(
        rf'id="promotion_code-error">{re.escape(message)}', page.text
    )
    assert amounts(sdk.v1.checkout.sessions.retrieve(session.id)) == (amount, 0, 0, amount)


def test_codes_are_refused_unless_the_session_allows_them(sandbox: SandboxServer) -> None:
    sdk = sandbox.client()
    session = made(sdk)
    assert "Promotion code" not in fetch(session.url or "").text
    redeem(session, "FREE")
    assert amounts(sdk.v1.checkout.sessions.retrieve(session.id))[1] == 0


def test_code_from_the_control_page_can_be_applied_at_creation(sandbox: SandboxServer) -> None:
    sdk = sandbox.client()
    sandbox.control("code", code="half", percent=50)
    (code,) = sdk.v1.promotion_codes.list({"code": "HALF"}).data
    session = made(sdk, discounts=[{"promotion_code": code.id}])
    assert amounts(session) == (125_000, 62_500, 0, 62_500)


@pytest.mark.parametrize(
    ("currency", "amount", "behavior", "expected"),
    [
        ("usd", 125_000, "unspecified", (125_000, 0, 12_500, 137_500)),
        ("usd", 110_000, "inclusive", (110_000, 0, 10_000, 110_000)),
        ("eur", 110_000, "unspecified", (110_000, 0, 10_000, 110_000)),
        ("eur", 100_005, "exclusive", (100_005, 0, 10_001, 110_006)),
        ("jpy", 9_999, "exclusive", (9_999, 0, 1_000, 10_999)),
        ("kwd", 12_350, "exclusive", (12_350, 0, 1_240, 13_590)),
    ],
)
def test_tax_is_added_when_the_buyer_is_known(
    sandbox: SandboxServer,
    currency: str,
    amount: int,
    behavior: str,
    expected: tuple[int, int, int, int],
) -> None:
    """Source: https://docs.stripe.com/tax/checkout and tax_behavior in
    https://docs.stripe.com/api/prices/object."""
    sdk, item = sandbox.client(), line_item(amount, currency)
    item["price_data"]["tax_behavior"] = behavior
    session = made(sdk, line_items=[item], **TAXED)
    assert session.automatic_tax.status == "requires_location_inputs"
    assert amounts(session) == (amount, 0, 0, amount)
    page = words(fetch(session.url or "").text)
    assert ("Tax, included" in page) == (expected[3] == amount)
    sandbox.pay(session.url or "")
    paid = sdk.v1.checkout.sessions.retrieve(session.id, {"expand": ["payment_intent"]})
    assert paid.automatic_tax.status == "complete" and amounts(paid) == expected
    assert paid.to_dict()["payment_intent"]["amount_received"] == expected[3]


def test_tax_is_on_the_discounted_price(sandbox: SandboxServer) -> None:
    sdk = sandbox.client()
    session = made(sdk, allow_promotion_codes=True, **TAXED)
    redeem(session, "TENOFF")
    assert "Pay $1,237.50" in words(fetch(session.url or "").text)
    sandbox.pay(session.url or "")
    paid = sdk.v1.checkout.sessions.retrieve(session.id)
    assert amounts(paid) == (125_000, 12_500, 11_250, 123_750)


@pytest.mark.parametrize(
    ("typed", "kind", "value"),
    [
        ("DE 123 456 789", "eu_vat", "DE123456789"),
        ("12-3456789", "us_ein", "12-3456789"),
        ("gb123456789", "gb_vat", "GB123456789"),
    ],
)
def test_tax_id_is_stored(sandbox: SandboxServer, typed: str, kind: str, value: str) -> None:
    """Source: https://docs.stripe.com/tax/checkout/tax-ids."""
    sdk = sandbox.client()
    session = made(sdk, tax_id_collection={"enabled": True})
    page = sandbox.pay(session.url or "", tax_id="hello")
    assert page.status == 422 and "Enter a tax ID" in page.text
    sandbox.pay(session.url or "", tax_id=typed)
    details = sdk.v1.checkout.sessions.retrieve(session.id).customer_details
    assert details is not None and details.tax_ids is not None
    assert [(one.type, one.value) for one in details.tax_ids] == [(kind, value)]


def test_tax_id_may_be_required(sandbox: SandboxServer) -> None:
    session = made(
        sandbox.client(), tax_id_collection={"enabled": True, "required": "if_supported"}
    )
    assert sandbox.pay(session.url or "").status == 422


@pytest.mark.parametrize("later", [False, True])
def test_invoice_is_created_once_the_session_is_paid(sandbox: SandboxServer, later: bool) -> None:
    """Source: https://docs.stripe.com/payments/checkout/receipts#paid-invoices."""
    sdk = sandbox.client()
    session = made(sdk, invoice_creation={"enabled": True}, **TAXED)
    if later:
        sandbox.pay(session.url or "", iban=PAYS_LATER)
        waiting = sdk.v1.checkout.sessions.retrieve(session.id)
        assert waiting.invoice is None
        sandbox.control("settle", id=str(waiting.payment_intent))
    else:
        sandbox.pay(session.url or "")
    paid = sdk.v1.checkout.sessions.retrieve(session.id)
    assert str(paid.customer).startswith("cus_")  # an invoice needs a customer
    invoice = sdk.v1.invoices.retrieve(str(paid.invoice))
    assert (invoice.status, invoice.total, invoice.amount_paid) == ("paid", 137_500, 137_500)
    page = words(fetch(invoice.hosted_invoice_url or "").text)
    assert f"Invoice {invoice.number} $1,375.00" in page and "Tax $125.00" in page
    assert types(sdk).count("invoice.paid") == 1


def test_expired_session_can_be_recovered_as_a_copy(sandbox: SandboxServer) -> None:
    """Source: https://docs.stripe.com/payments/checkout/abandoned-carts."""
    sdk = sandbox.client()
    recovery = {"recovery": {"enabled": True, "allow_promotion_codes": True}}
    session = made(sdk, after_expiration=recovery)
    assert session.to_dict()["after_expiration"]["recovery"]["url"] is None
    ended = sdk.v1.checkout.sessions.expire(session.id).to_dict()["after_expiration"]["recovery"]
    assert "Start again with the same order" in fetch(session.url or "").text
    page = fetch(ended["url"])
    assert page.status == 303
    copy = sdk.v1.checkout.sessions.list({"status": "open"}).data[0]
    assert page.location == copy.url and copy.recovered_from == session.id
    assert (copy.amount_total, copy.allow_promotion_codes) == (125_000, True)
    assert copy.client_reference_id == session.client_reference_id
    sandbox.pay(copy.url or "")
    assert sdk.v1.checkout.sessions.retrieve(copy.id).payment_status == "paid"
    assert sdk.v1.checkout.sessions.retrieve(session.id).status == "expired"
    sandbox.control("advance", seconds=30 * 24 * 3600 + 60)
    assert fetch(ended["url"]).status == 404


def test_session_without_recovery_cannot_be_recovered(sandbox: SandboxServer) -> None:
    sdk = sandbox.client()
    session = made(sdk)
    sdk.v1.checkout.sessions.expire(session.id)
    assert fetch(f"{session.url}/recover").status == 404


def test_presentment_currency_is_sent_beside_the_price(sandbox: SandboxServer) -> None:
    """Source: https://docs.stripe.com/payments/currencies/localize-prices/adaptive-pricing."""
    sdk = sandbox.client()
    session = made(sdk)
    sandbox.control("present", id=session.id, currency="eur", amount=115_000)
    assert "€1,150.00" in fetch(session.url or "").text
    sandbox.pay(session.url or "")
    paid = sdk.v1.checkout.sessions.retrieve(session.id)
    assert paid.presentment_details is not None
    assert paid.presentment_details.presentment_currency == "eur"
    assert (paid.currency, paid.amount_total) == ("usd", 125_000)
