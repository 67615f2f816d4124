"""The journey from reader to lead to a row in the exported file, in a browser."""

import csv
import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from crossroads.staff import accounts
from models import writing
from models.user import Role
from tests.browser.crowd import COMPARISON, CONSENT
from tests.browser.mailbox import follow, open_letter
from tests.browser.pages import ELSEWHERE, PASSWORD, OpenPage, send_from_elsewhere
from tests.browser.product import Product

ONE_TIME = "shown once, changed at once"
NARROW, WIDE = 360, 1440

walks = pytest.mark.parametrize(
    ("width", "script"),
    [(NARROW, False), (WIDE, True)],
    ids=["360-no-script", "1440-script"],
)


@walks
def test_reader_becomes_a_lead_in_the_export(
    open_page: OpenPage, product: Product, tmp_path: Path, width: int, script: bool
) -> None:
    address = f"reader-{width}-{script}@example.com".lower()
    visitor = open_page(width=width, script=script)
    _read(visitor)
    _sign_up_with_a_mistake(visitor)
    _sign_up(visitor, address)
    confirmation = open_letter(visitor, product, address, "Confirm your email")
    _confirm(confirmation, address)

    staff = _account(product, f"owner-{width}-{script}@example.com")
    desk = open_page(width=width, script=script, accept_downloads=True)
    _sign_in_with_a_one_time_password(desk, staff)
    _find_the_lead(desk, address)
    row = _export(desk, address, tmp_path)
    assert row["email"] == address
    assert row["name"] == "Maria Reader"
    assert row["state"] == "confirmed"
    assert row["page"] == COMPARISON
    assert row["utm_campaign"] == "spring"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", row["confirmed_at"])
    _sign_out(desk)

    welcome = open_letter(visitor, product, address, "You are subscribed")
    _unsubscribe_and_undo(welcome, address)
    assert visitor.context.cookies() == []


def test_form_shows_that_it_is_sending_and_is_sent_once(open_page: OpenPage) -> None:
    page = open_page("/signup")
    posts: list[str | None] = []

    def keep(route: Route) -> None:
        if route.request.method != "POST":
            return route.continue_()
        posts.append(route.request.post_data)
        return route.fulfill(status=204)  # leaves the page unchanged, like a slow server

    page.route("**/signup", keep)
    page.get_by_label("Email address").fill("once@example.com")
    page.get_by_role("checkbox").check()
    page.get_by_role("button", name="Send me updates").click()
    sending = page.get_by_role("button", name="Sending")
    expect(sending).to_be_enabled()
    expect(page.locator("#signup form")).to_have_attribute("aria-busy", "true")
    sending.click()
    page.wait_for_timeout(200)  # a second post would have been made by now
    assert len(posts) == 1


def test_after_sign_up_mail_can_be_resent_and_address_changed(open_page: OpenPage) -> None:
    page = open_page(f"{COMPARISON}?utm_campaign=typo")
    _fill(page, "mistyped@example.com")
    page.get_by_role("button", name="Send it again").click()
    expect(page.get_by_text("Sent again to mistyped@example.com")).to_be_visible()
    page.get_by_role("button", name="Change the address").click()
    email = page.get_by_label("Email address")
    expect(email).to_have_value("mistyped@example.com")
    expect(page.get_by_role("checkbox")).to_be_checked()
    email.fill("mended@example.com")
    page.get_by_role("button", name="Send me updates").click()
    expect(page.locator("#signup")).to_contain_text("We sent a link to mended@example.com")
    assert "mended" not in page.url
    assert "utm_campaign=typo" in page.url


def test_source_of_a_visit_is_kept_on_the_way_to_the_form(
    open_page: OpenPage, product: Product, signed_in: Any
) -> None:
    page = open_page(f"{COMPARISON}?utm_campaign=hop&utm_source=letter")
    page.evaluate("location.href = '/signup'")
    page.wait_for_url("**/signup")
    _fill(page, "hopper@example.com")
    desk = open_page("/admin/leads?q=hopper", storage_state=signed_in)
    desk.get_by_role("link", name="Details of hopper@example.com").click()
    facts = desk.get_by_role("region", name="Facts")
    for words in (COMPARISON, "letter", "hop"):
        told = facts.get_by_role("definition").get_by_text(words, exact=True)
        expect(told).to_have_count(2)  # for the first and the last touch


def test_form_of_another_site_is_refused_with_a_link_to_sign_up(
    open_page: OpenPage, product: Product
) -> None:
    page = open_page(also=(ELSEWHERE,))
    send_from_elsewhere(page, product)
    expect(page.get_by_role("heading", level=1)).to_have_text("This form came from another site")
    page.get_by_role("link", name="Open the sign-up page").click()
    expect(page.get_by_label("Email address")).to_be_visible()


def _read(page: Page) -> None:
    page.goto(f"{COMPARISON}?utm_campaign=spring")
    expect(page).to_have_title(re.compile(r"^AI Product Manager vs Traditional Product Manager"))
    expect(page.get_by_role("heading", level=1)).to_have_text(
        "AI Product Manager vs Traditional Product Manager"
    )
    table = page.get_by_role("table")
    expect(table).to_contain_text("$185K–$250K at top companies")
    expect(table).to_contain_text("AI PM ahead")
    expect(table.locator("tfoot")).to_contain_text("3 wins")
    expect(table.locator("tfoot")).to_contain_text(re.compile(r"1 win(?!s)"))
    second = page.get_by_text("Do I need a technical background to become an AI PM?")
    answer = page.get_by_text("Not a deep engineering background")
    expect(answer).to_be_hidden()
    second.click()
    expect(answer).to_be_visible()


def _sign_up_with_a_mistake(page: Page) -> None:
    page.get_by_role("complementary", name="Next step").get_by_role("link", name="Sign up").click()
    email = page.get_by_label("Email address")
    expect(email).to_be_in_viewport()
    email.fill("maria@example")
    page.get_by_label("Name (optional)").fill("Maria Reader")
    page.get_by_role("button", name="Send me updates").click()
    expect(page).to_have_title(re.compile(r"^Error: "))
    form = page.locator("#signup")
    expect(form).to_be_in_viewport()
    expect(form).to_contain_text("Correct these 2 things")
    expect(email).to_have_value("maria@example")
    expect(email).to_have_attribute("aria-invalid", "true")
    expect(email).to_have_accessible_description(
        "Enter an email address with a full domain, like name@example.com"
    )
    expect(page.get_by_label("Name (optional)")).to_have_value("Maria Reader")
    expect(page.get_by_role("checkbox")).not_to_be_checked()
    expect(page.get_by_role("checkbox")).to_have_accessible_description(
        "Tick the box so we can email you"
    )
    form.get_by_role("link", name="Enter an email address").click()
    expect(email).to_be_focused()


def _sign_up(page: Page, address: str) -> None:
    _fill(page, address)
    expect(page.get_by_role("heading", name="Check your inbox")).to_be_in_viewport()
    expect(page.locator("#signup")).to_be_focused()
    expect(page.locator("#signup")).to_contain_text(f"We sent a link to {address}")
    assert address not in page.url
    assert page.context.cookies() == []


def _fill(page: Page, address: str) -> None:
    page.get_by_label("Email address").fill(address)
    box = page.get_by_role("checkbox", name=CONSENT)
    expect(box).not_to_be_checked()
    box.check()
    page.get_by_role("button", name="Send me updates").click()
    expect(page.get_by_role("heading", name="Check your inbox")).to_be_visible()


def _confirm(letter: Page, address: str) -> None:
    page = follow(letter, "Confirm my email")
    expect(page.get_by_role("heading", level=1)).to_have_text("Confirm your email")
    expect(page.get_by_role("main")).to_contain_text(address)
    page.get_by_role("button", name="Confirm my email").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Your email is confirmed")
    page.close()


def _unsubscribe_and_undo(letter: Page, address: str) -> None:
    page = follow(letter, "Unsubscribe")
    expect(page.get_by_role("main")).to_contain_text(address)
    page.get_by_role("button", name="Unsubscribe").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("You are unsubscribed")
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("You are back on the list")


def _account(product: Product, email: str) -> str:
    """Add an owner for this test run: a one-time password works only once."""
    with product.session() as session:
        writing(session)
        accounts.add(session, email, Role.OWNER, ONE_TIME, must_change=True)
        session.commit()
    return email


def _sign_in_with_a_one_time_password(page: Page, email: str) -> None:
    page.goto("/admin/leads")
    page.get_by_label("Email address").fill(email)
    page.get_by_label("Password", exact=True).fill("not the password")
    page.get_by_role("button", name="Sign in").click()
    expect(page).to_have_title(re.compile(r"^Error: "))
    expect(page.get_by_label("Email address")).to_have_value(email)
    page.get_by_label("Password", exact=True).fill(ONE_TIME)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Change your password")
    page.goto("/admin/leads")
    expect(page.get_by_role("heading", level=1)).to_have_text("Change your password")
    page.get_by_label("Current password").fill(ONE_TIME)
    page.get_by_label("New password", exact=True).fill(PASSWORD)
    page.get_by_label("New password again").fill(PASSWORD)
    page.get_by_role("button", name="Change password").click()
    expect(page.get_by_text("Your password is changed")).to_be_visible()


def _find_the_lead(page: Page, address: str) -> None:
    page.get_by_role("navigation", name="Main").get_by_role("link", name="Leads").click()
    page.get_by_label("Email or name").fill(address)
    page.get_by_role("button", name="Filter").click()
    row = page.get_by_role("row").filter(has_text=address)
    expect(row).to_contain_text("Confirmed")
    row.get_by_role("link", name=f"Details of {address}").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(address)
    consent = page.get_by_role("region", name="Consent")
    expect(consent.get_by_role("blockquote")).to_have_text(CONSENT)
    expect(consent.get_by_role("heading", level=3)).to_have_text(
        ["Signed up and agreed", "Confirmed the address"]
    )
    mails = page.get_by_role("region", name="Emails").get_by_role("row")
    expect(mails.filter(has_text="Confirm your email")).to_contain_text("Sent")
    page.go_back()


def _export(page: Page, address: str, folder: Path) -> dict[str, str]:
    with page.expect_download() as download:
        page.get_by_role("button", name="Export 1 lead").click()
    assert re.fullmatch(r"leads-\d{4}-\d\d-\d\d\.csv", download.value.suggested_filename)
    file = folder / "leads.csv"
    download.value.save_as(file)
    with file.open(encoding="utf-8", newline="") as lines:
        (row,) = csv.DictReader(lines)
    return row


def _sign_out(page: Page) -> None:
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_text("You are signed out.")).to_be_visible()
    page.goto("/admin/leads")
    expect(page.get_by_role("heading", level=1)).to_have_text("Sign in to the desk")
