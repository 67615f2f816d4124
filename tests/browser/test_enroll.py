"""Enrolling in a browser, with and without script: the button shows the amount to be charged."""

from playwright.sync_api import Page, expect

from tests.browser.crowd import COURSE
from tests.browser.pages import OpenPage

ENROLL = f"{COURSE}/enroll"


def pay_button(page: Page, total: str) -> None:
    expect(page.get_by_role("button", name=f"Pay {total} with Stripe", exact=True)).to_be_visible()


def test_total_and_button_follow_the_number_of_seats(open_page: OpenPage) -> None:
    page = open_page(ENROLL)
    places = page.get_by_label("Number of seats")
    pay_button(page, "$1,200")
    for typed, total in (("3", "$3,600"), ("20", "$24,000"), ("1", "$1,200"), ("2", "$2,400")):
        places.fill(typed)
        pay_button(page, total)
        expect(page.get_by_role("status")).to_have_text(total)
    for typed in ("", "0", "21", "two"):  # the server reports these errors
        places.fill(typed)
        pay_button(page, "$2,400")


def test_back_from_payment_keeps_seats_and_button_consistent(
    open_page: OpenPage,
) -> None:
    page = open_page(ENROLL)
    page.get_by_label("Number of seats").fill("2")
    page.get_by_label("Name").fill("Maria")
    page.get_by_label("Email address").fill("back@example.com")
    page.get_by_role("button", name="Pay $2,400 with Stripe").click()
    page.wait_for_url("**/pay/**")
    page.go_back()
    number = page.get_by_label("Number of seats").input_value()
    pay_button(page, {"1": "$1,200", "2": "$2,400"}[number])


def test_changed_amount_is_confirmed_on_a_page_without_script(open_page: OpenPage) -> None:
    page = open_page(ENROLL, script=False)
    page.get_by_label("Number of seats").fill("2")
    page.get_by_label("Name").fill("Maria")
    page.get_by_label("Email address").fill("plain@example.com")
    page.get_by_role("button", name="Pay $1,200 with Stripe").click()
    expect(page.get_by_text("2 seats cost $2,400.")).to_be_visible()
    page.get_by_role("button", name="Pay $2,400 with Stripe").click()
    page.wait_for_url("**/pay/**")
    expect(page.get_by_text("$2,400").first).to_be_visible()
