"""The journey from reader to participant, and to the waiting list, with and without script."""

import re
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from icalendar import Calendar
from playwright.sync_api import Page, expect

from crossroads.orders import seats
from crossroads.orders.checkout import queue
from models import CheckoutRequest, now, writing
from tests.browser.crowd import COMPARISON, COURSE
from tests.browser.mailbox import follow, open_letter
from tests.browser.pages import OpenPage
from tests.browser.product import Product
from tests.support.orders import place
from tests.support.purchases import COURSE as SOLD
from tests.support.purchases import ENROLL, JANUARY, SEPTEMBER

NAME = "Maria Student"
GOOD, DECLINED, ASKS = "4242424242424242", "4000000000000002", "4000002500003155"
DATES = "January 19 to March 11, 2027"

# The cards that a buyer tries in this order; the last one pays.
AT_ONCE = (GOOD,)
IN_THE_END = (DECLINED, GOOD)
ASKED = (DECLINED, ASKS)


@pytest.mark.parametrize(
    ("cards", "width", "script"),
    [
        pytest.param(AT_ONCE, 360, True, id="at-once-script"),
        pytest.param(IN_THE_END, 1440, False, id="in-the-end-no-script"),
        pytest.param(ASKED, 1440, True, id="asked-script"),
    ],
)
def test_reader_buys_a_seat_and_becomes_a_participant(
    open_page: OpenPage, product: Product, cards: tuple[str, ...], width: int, script: bool
) -> None:
    address = f"student-{cards[-1]}-{width}@example.com"
    page = open_page(COMPARISON, width=width, script=script)
    _come_to_the_summary(page)
    _order(page, address)
    _pay(page, cards)
    _stand_on_the_order_page(page, address)

    receipt = open_letter(page, product, address, "Your receipt")
    expect(receipt.locator("pre")).to_contain_text("$1,200")
    student = follow(open_letter(page, product, address, "You're in"), "Open your page")
    expect(student.get_by_role("heading", level=1)).to_have_text(SOLD.title)
    expect(student.get_by_role("main")).to_contain_text("Your first session: Tuesday, January 19")
    expect(student.get_by_role("main")).to_contain_text(DATES)
    expect(student.get_by_role("region", name="Receipt")).to_contain_text(address)
    _keep_the_dates(student)


@pytest.mark.parametrize("script", [True, False], ids=["script", "no-script"])
def test_waiting_page_opens_the_payment_page_and_back_skips_it(
    open_page: OpenPage, product: Product, script: bool
) -> None:
    page = open_page(ENROLL, width=360, script=script)
    page.goto(f"{product.site}{_waiting(product, script)}")
    expect(page.get_by_role("heading", level=1)).to_have_text("Opening the payment page")
    expect(page.get_by_label("Card number")).to_be_visible()  # it opened without a click
    page.go_back()
    expect(page.get_by_role("heading", level=1)).to_have_text("Enroll")
    page.go_forward()
    expect(page.get_by_label("Card number")).to_be_visible()


def _waiting(product: Product, script: bool) -> str:
    """Return the page of an order that the worker takes from the queue in two seconds."""
    with product.session() as session:
        writing(session)
        order = place(session, JANUARY, email=f"waits-{script}@example.com")
        queue.add(session, order.id)
        session.get_one(CheckoutRequest, order.id).due_at = now() + timedelta(seconds=2)
        address = f"/orders/{order.token}?pay={int(time.time())}"
        session.commit()
    return address


@pytest.fixture
def full(product: Product) -> Iterator[None]:
    """All seats of the cohort in September are reserved during the test."""

    def reserve(number: int) -> int:
        with product.session() as session:
            writing(session)
            number = number or seats.seats_left(session, SOLD, SEPTEMBER)
            seats.reserve(session, SOLD, SEPTEMBER, number)
            session.commit()
        return number

    taken = reserve(0)
    yield
    reserve(-taken)


@pytest.mark.usefixtures("full")
@pytest.mark.parametrize("script", [True, False], ids=["script", "no-script"])
def test_buyer_of_a_full_cohort_joins_the_waiting_list(
    open_page: OpenPage, product: Product, signed_in: Any, script: bool
) -> None:
    address = f"late-{script}@example.com".lower()
    page = open_page(f"{COURSE}/enroll?cohort={SEPTEMBER.code}", width=360, script=script)
    expect(page.get_by_text("September 2027 is full.")).to_be_visible()
    page.get_by_role("link", name="join the waiting list").click()
    form = page.get_by_role("region", name="Join the waiting list")
    expect(form).to_be_in_viewport()
    form.get_by_label("Email address").fill(address)
    box = form.get_by_role("checkbox", name=f"a seat is free in {SOLD.title}, {SEPTEMBER.dates}")
    expect(box).not_to_be_checked()
    box.check()
    form.get_by_role("button", name="Join the waiting list").click()
    expect(page).to_have_title(re.compile("^Check your inbox"))
    expect(form).to_contain_text(f"We sent a link to {address}. Open it to join")

    letter = open_letter(page, product, address, "Confirm your waiting list request")
    answer = follow(letter, "Join the waiting list")
    answer.get_by_role("button", name="Join the waiting list").click()
    expect(answer.get_by_role("heading", level=1)).to_have_text("You are on the waiting list")
    open_letter(page, product, address, "You are on the waiting list")

    desk = open_page("/admin/", storage_state=signed_in)
    lists = desk.get_by_role("region", name="Waiting lists")
    lists.get_by_role("link", name=f"{SOLD.title}, {SEPTEMBER.dates}").click()
    expect(desk.get_by_role("row").filter(has_text=address)).to_contain_text("Waiting list only")


def _come_to_the_summary(page: Page) -> None:
    step = page.get_by_role("complementary", name="Next step")
    step.get_by_role("link", name="View course").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(SOLD.title)
    dates = page.get_by_role("complementary", name="Price and dates")
    dates.get_by_role("link", name=f"Enroll for {JANUARY.title}").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Enroll")
    expect(page.get_by_role("radio", name=DATES)).to_be_checked()


def _order(page: Page, address: str) -> None:
    page.get_by_label("Name").fill(NAME)
    page.get_by_label("Email address").fill(address)
    page.get_by_role("button", name="Pay $1,200 with Stripe").click()
    page.wait_for_url("**/pay/**")
    expect(page.get_by_text("No money moves and no card is charged")).to_be_visible()
    expect(page.get_by_label("Email address")).to_have_value(address)


def _pay(page: Page, cards: tuple[str, ...]) -> None:
    page.get_by_label("Name on the card").fill(NAME)
    for number in cards:
        page.get_by_label("Card number").fill(number)
        page.get_by_label("Expiry date").fill("04/44")
        page.get_by_label("Security code").fill("123")
        page.get_by_role("button", name="Book for $1,200.00").click()
        if number == DECLINED:
            expect(page.get_by_role("alert")).to_contain_text("Your card was declined.")
        if number == ASKS:
            page.get_by_role("button", name="Complete the payment").click()


def _stand_on_the_order_page(page: Page, address: str) -> None:
    page.wait_for_url("**/orders/**")
    expect(page.get_by_role("heading", level=1)).to_have_text("You're in")
    receipt = page.get_by_role("region", name="Receipt")
    for words in (SOLD.title, "$1,200", NAME, address):
        expect(receipt).to_contain_text(words)
    page.reload()
    expect(page.get_by_role("heading", level=1)).to_have_text("You're in")


def _keep_the_dates(student: Page) -> None:
    with student.expect_download() as download:
        student.get_by_role("link", name="Add the dates to your calendar").click()
    events = Calendar.from_ical(download.value.path().read_bytes()).walk("VEVENT")
    first = min(event.decoded("DTSTART") for event in events)
    assert first.strftime("%Y-%m-%d %H:%M %Z") == "2027-01-19 18:00 EST"
    assert len(events) == len(JANUARY.weekly)
