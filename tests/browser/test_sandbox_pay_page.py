"""The sandbox's pay page in a browser: with and without script, narrow and wide."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect
from stripe.checkout import Session

from tests.browser.inspector import Inspector
from tests.support.sandbox_server import SandboxServer, fetch, line_item, session_params

SIDEWAYS = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
RULES: Any = {
    "runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa"]},
}


@pytest.fixture(params=[(360, False), (1440, True)])
def page(request: pytest.FixtureRequest, chromium: Browser) -> Iterator[Page]:
    """A page in its own profile, whose console must have no errors."""
    width, script = request.param
    context = chromium.new_context(
        viewport={"width": width, "height": 800}, java_script_enabled=script
    )
    page = context.new_page()
    troubles: list[str] = []
    page.on("console", lambda said: troubles.append(f"{said.type}: {said.text}"))
    page.on("pageerror", lambda error: troubles.append(str(error)))
    yield page
    context.close()
    # Chromium reports pages with an error status as errors, and notes a focus that came too late.
    expected = ("with a status of 402", "with a status of 422", "info: Autofocus")
    assert [one for one in troubles if not any(words in one for words in expected)] == []


def shop(sandbox: SandboxServer) -> str:
    """Return a URL that answers and that a browser takes for another site."""
    return f"{sandbox.url.replace('127.0.0.1', 'localhost')}/mail/"


def made(sandbox: SandboxServer, **changes: Any) -> Session:
    changes.setdefault("success_url", f"{shop(sandbox)}?done={{CHECKOUT_SESSION_ID}}")
    changes.setdefault("cancel_url", f"{shop(sandbox)}?cancelled")
    return sandbox.client().v1.checkout.sessions.create(session_params(**changes))


def fill(page: Page, number: str) -> None:
    page.get_by_label("Card number").fill("")
    page.get_by_label("Card number").press_sequentially(number)
    page.get_by_label("Expiry date").fill("04/44")
    page.get_by_label("Security code").fill("123")


def test_authenticated_payment_after_a_decline_returns_to_the_shop(
    sandbox: SandboxServer, page: Page
) -> None:
    session = made(sandbox)
    page.goto(session.url or "")
    page.get_by_label("Email address").fill("ada@example.com")
    page.get_by_label("Name on the card").fill("Ada Lovelace")
    fill(page, "4000000000000002")
    page.get_by_role("button", name="Pay $1,250.00").click()
    expect(page.get_by_role("alert")).to_contain_text("Your card was declined.")
    expect(page.get_by_role("alert")).to_be_in_viewport()
    expect(page.get_by_label("Email address")).to_have_value("ada@example.com")
    fill(page, "4000002500003155")
    page.get_by_role("button", name="Pay $1,250.00").click()
    page.get_by_role("button", name="Fail the authentication").click()
    expect(page.get_by_role("alert")).to_contain_text("unable to authenticate")
    fill(page, "4000002500003155")
    page.get_by_role("button", name="Pay $1,250.00").click()
    page.get_by_role("button", name="Complete the payment").click()
    expect(page).to_have_url(f"{shop(sandbox)}?done={session.id}")
    sessions = sandbox.client().v1.checkout.sessions
    assert sessions.retrieve(session.id).payment_status == "paid"


def test_pay_page_has_a_way_back_and_a_second_payment_method(
    sandbox: SandboxServer, page: Page
) -> None:
    session = made(sandbox, customer_email="ada@example.com")
    page.goto(session.url or "")
    page.get_by_role("link", name="Go back without paying").click()
    expect(page).to_have_url(f"{shop(sandbox)}?cancelled")
    page.goto(session.url or "")
    expect(page.get_by_label("IBAN")).to_be_hidden()
    page.get_by_label("Bank account").check()
    expect(page.get_by_label("Card number")).to_be_hidden()
    page.get_by_label("IBAN").fill("AT32 1904 3002 3547 3204")
    page.get_by_label("Name on the card or account").fill("Ada Lovelace")
    page.get_by_role("button", name="Pay $1,250.00").click()
    expect(page).to_have_url(f"{shop(sandbox)}?done={session.id}")
    assert sandbox.state()["payment_intents"][0]["status"] == "processing"


@pytest.mark.parametrize("page", [(360, True), (1440, True)], indirect=True)  # axe is a script
def test_sandbox_pages_are_accessible_and_do_not_overflow(
    sandbox: SandboxServer, page: Page, inspector: Inspector
) -> None:
    """Source: WCAG 2.2 AA, as far as axe checks it."""
    long = made(
        sandbox,
        line_items=[
            line_item(9_999_990, "kwd", name="Unbreakable" * 12),
            line_item(10, "kwd", quantity=999),
        ],
        consent_collection={"terms_of_service": "required"},
        allow_promotion_codes=True,
        automatic_tax={"enabled": True},
        tax_id_collection={"enabled": True},
    )
    fetch(f"{long.url}/code", form={"promotion_code": "TENOFF"})
    billed = made(sandbox, invoice_creation={"enabled": True})
    sandbox.pay(billed.url or "")
    sessions = sandbox.client().v1.checkout.sessions
    invoice = f"{sandbox.url}/pay/invoices/{sessions.retrieve(billed.id).invoice}"
    paid, gone, asking = made(sandbox), made(sandbox), made(sandbox)
    sandbox.pay(paid.url or "")
    sandbox.pay(asking.url or "", "4000002500003155")
    sandbox.client().v1.checkout.sessions.expire(gone.id)
    charge = sandbox.client().v1.charges.list().data[0]
    receipt = charge.receipt_url
    sandbox.control("dispute", id=charge.id)
    for name, address in (
        ("open", long.url),
        ("complete", paid.url),
        ("expired", gone.url),
        ("authenticate", f"{asking.url}/authenticate"),
        ("receipt", receipt),
        ("invoice", invoice),
        ("control", f"{sandbox.url}/stripe/"),
    ):
        page.goto(address or "")
        if name == "open":
            page.get_by_text("Test cards and accounts").click()
            page.get_by_role("button", name="Pay").click()
            expect(page.get_by_role("alert")).to_be_visible()
        inspector.look(page, name, RULES)
        if page.evaluate(SIDEWAYS):
            inspector.found[f"{name}, width"] = "it scrolls sideways"


def test_double_click_pays_once(sandbox: SandboxServer, page: Page) -> None:
    session = made(sandbox)
    page.goto(session.url or "")
    page.get_by_label("Email address").fill("ada@example.com")
    page.get_by_label("Name on the card").fill("Ada Lovelace")
    fill(page, "4242424242424242")
    page.get_by_role("button", name="Pay $1,250.00").dblclick()
    expect(page).to_have_url(f"{shop(sandbox)}?done={session.id}")
    assert len(sandbox.state()["charges"]) == 1
