"""The payment page without scripts."""

import re
from concurrent.futures import ThreadPoolExecutor
from html import unescape
from urllib.request import urlopen

import pytest
from stripe import StripeClient
from stripe.checkout import Session

from tests.support.sandbox_objects import words
from tests.support.sandbox_server import SandboxServer, fetch, line_item, session_params

CARD = {
    "method": "card",
    "number": "4242 4242 4242 4242",
    "expiry": "04 / 44",
    "cvc": "123",
    "name": "Ada Lovelace",
    "email": "ada@example.com",
}


def made(sdk: StripeClient, **changes: object) -> Session:
    return sdk.v1.checkout.sessions.create(session_params(**changes))


@pytest.mark.parametrize(
    ("currency", "amount", "each", "total"),
    [
        ("usd", 125_050, "$1,250.50", "$3,751.50"),
        ("eur", 99_900, "€999.00", "€2,997.00"),
        ("jpy", 180_000, "¥180,000", "¥540,000"),
        ("kwd", 385_010, "KWD 385.010", "KWD 1,155.030"),
    ],
)
def test_order_is_shown_in_its_currency(
    sdk: StripeClient, currency: str, amount: int, each: str, total: str
) -> None:
    session = made(sdk, line_items=[line_item(amount, currency, 3, "AI PM Bootcamp <seat>")])
    page = words(fetch(session.url or "").text)
    assert "AI PM Bootcamp <seat>" in page and f"3 at {each} each" in page
    assert f"Total {total}" in page and f"Pay {total}" in page
    assert "No money moves" in page


def test_page_links_back_without_paying(sdk: StripeClient) -> None:
    with_way, without = made(sdk), made(sdk, cancel_url=None)
    link = f'<a href="{with_way.cancel_url}">Go back without paying'
    assert link in fetch(with_way.url or "").text
    assert "Go back" not in fetch(without.url or "").text


def test_email_given_by_the_site_cannot_be_changed(sandbox: SandboxServer) -> None:
    """Source: customer_email in https://docs.stripe.com/api/checkout/sessions/create."""
    sdk = sandbox.client()
    session = made(sdk, customer_email="ada@example.com")
    assert re.search(r'value="ada@example.com"\s+readonly', fetch(session.url or "").text)
    sandbox.pay(session.url or "", email="eve@example.com")
    paid = sdk.v1.checkout.sessions.retrieve(session.id)
    assert paid.customer_details is not None
    assert paid.customer_details.email == "ada@example.com"


@pytest.mark.parametrize(
    ("field", "typed", "message"),
    [
        ("email", "ada", "Enter an email address"),
        ("number", "4242 4242 4242 4241", "Check the card number"),
        ("number", "", "Enter the card number"),
        ("number", "12<b>", "Check the card number"),
        ("expiry", "04/20", "This date is in the past"),
        ("expiry", "13/44", "Enter month and year"),
        ("cvc", "12", "Enter the 3 digits"),
        ("name", "", "Enter the name"),
    ],
)
def test_error_is_shown_at_its_field_and_typed_values_are_kept(
    sandbox: SandboxServer, field: str, typed: str, message: str
) -> None:
    sdk = sandbox.client()
    session = made(sdk)
    kept = {**CARD, field: typed}
    page = fetch(session.url or "", form=kept)
    assert page.status == 422 and "<title>Error: " in page.text
    assert re.search(rf'id="{field}-error">{message}', page.text)
    assert re.search(rf'<input id="{field}" [^>]*aria-invalid="true"', page.text)
    for name in ("number", "expiry", "cvc", "name", "email"):
        shown = re.search(rf'<input id="{name}" name="{name}" value="([^"]*)"', page.text)
        assert shown is not None and unescape(shown[1]) == kept[name]
    assert sdk.v1.checkout.sessions.retrieve(session.id).payment_intent is None


@pytest.mark.parametrize(
    ("iban", "message"),
    [
        ("AT321904300235473205", "Check the IBAN"),
        ("", "Enter the IBAN"),
        ("DE89370400440532013000", "Use a test account"),
    ],
)
def test_invalid_iban_is_named(sdk: StripeClient, iban: str, message: str) -> None:
    page = fetch(made(sdk).url or "", form={**CARD, "method": "sepa_debit", "iban": iban})
    assert page.status == 422 and re.search(rf'id="iban-error">{message}', page.text)


def test_required_terms_are_asked_for_and_stored(sandbox: SandboxServer) -> None:
    """Source: consent_collection in https://docs.stripe.com/api/checkout/sessions/create."""
    sdk = sandbox.client()
    session = made(sdk, consent_collection={"terms_of_service": "required"})
    page = sandbox.pay(session.url or "")
    assert page.status == 422 and "Agree to the terms" in page.text
    assert sandbox.pay(session.url or "", terms="yes").status == 303
    paid = sdk.v1.checkout.sessions.retrieve(session.id)
    assert paid.consent is not None and paid.consent.terms_of_service == "accepted"


def test_unknown_promotion_code_is_not_valid(sandbox: SandboxServer) -> None:
    session = made(sandbox.client(), allow_promotion_codes=True)
    page = fetch(f"{session.url}/code", form={"promotion_code": "SAVE50"})
    assert page.status == 422 and "This code is not valid" in page.text
    assert sandbox.pay(session.url or "").status == 303


def test_many_clicks_pay_once(sandbox: SandboxServer) -> None:
    sdk = sandbox.client()
    session = made(sdk)
    with ThreadPoolExecutor(6) as pool:
        pages = list(pool.map(lambda _: sandbox.pay(session.url or ""), range(6)))
    assert {(page.status, page.location) for page in pages} == {
        (303, f"http://127.0.0.1:9/orders/token?s={session.id}")
    }
    assert len(sdk.v1.charges.list().data) == 1
    completed = sdk.v1.events.list({"type": "checkout.session.completed"})
    assert len(completed.data) == 1


def test_page_of_an_ended_session_says_its_result(sandbox: SandboxServer) -> None:
    """An expired session's page must not say that it worked (stripe-node#2462)."""
    sdk = sandbox.client()
    gone, paid, later = made(sdk), made(sdk), made(sdk)
    sdk.v1.checkout.sessions.expire(gone.id)
    for page in (fetch(gone.url or ""), sandbox.pay(gone.url or "")):
        assert "This checkout has expired Nothing was paid here." in words(page.text)
        assert str(gone.cancel_url) in page.text
    assert sdk.v1.charges.list().data == []
    sandbox.pay(paid.url or "")
    page = fetch(paid.url or "")
    assert "This order is complete It is paid." in words(page.text)
    assert f'href="http://127.0.0.1:9/orders/token?s={paid.id}"' in page.text
    sandbox.pay(later.url or "", iban="AT321904300235473204")
    assert "Your bank has not sent the money yet." in words(fetch(later.url or "").text)
    missing = fetch(f"{sandbox.url}/pay/cs_test_none")
    assert missing.status == 404 and "Checkout not found" in missing.text


def test_authentication_after_the_end_changes_nothing(sandbox: SandboxServer) -> None:
    sdk = sandbox.client()
    session = made(sdk)
    asked = f"{sandbox.url}{sandbox.pay(session.url or '', '4000002500003155').location}"
    sandbox.pay(session.url or "")
    assert fetch(asked, form={"outcome": "fail"}).status == 303
    assert "This order is complete" in fetch(asked).text
    assert sdk.v1.checkout.sessions.retrieve(session.id).payment_status == "paid"
    other = made(sdk)
    sandbox.pay(other.url or "", "4000002500003155")
    sdk.v1.checkout.sessions.expire(other.id)
    page = fetch(f"{other.url}/authenticate", form={"outcome": "complete"})
    assert "This checkout has expired" in page.text and len(sdk.v1.charges.list().data) == 1


def test_page_may_redirect_to_the_site_and_loads_nothing_from_elsewhere(
    sandbox: SandboxServer,
) -> None:
    """A browser holds the redirect after the post against form-action (CSP level 3)."""
    session = made(sandbox.client(), success_url="https://shop.example:8443/done?a=1")
    page = fetch(session.url or "")
    policy = page.headers["Content-Security-Policy"]
    assert "form-action 'self' https://shop.example:8443" in policy
    assert "script-src 'self'" in policy and "unsafe" not in policy
    assert page.headers["Cache-Control"] == "no-store"
    assert re.findall(r'(?:src|href)="(https?:[^"]+)"', page.text) == [session.cancel_url]
    assert "style=" not in page.text and "<script>" not in page.text
    for path in re.findall(r'(?:src|href)="(/[^"]+)"', page.text):
        with urlopen(f"{sandbox.url}{path}", timeout=10) as answer:
            assert answer.status == 200


def test_card_numbers_are_not_stored(sandbox: SandboxServer) -> None:
    for number in ("4242424242424242", "4000000000000002", "4000002500003155"):
        sandbox.pay(made(sandbox.client()).url or "", number, cvc="987")
    stored = b"".join(path.read_bytes() for path in sandbox.setup.folder.iterdir())
    assert b"4242" in stored  # the last four digits are shown everywhere
    for secret in (b"424242424242", b"4000000000000002", b"4000002500003155", b'"987"'):
        assert secret not in stored
