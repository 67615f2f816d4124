"""The mailbox of the running product, used as its reader uses it."""

import time

from playwright.sync_api import Page, expect

from tests.browser.product import Product

MAIL_SECONDS = 20  # the worker checks every half second


def open_letter(page: Page, product: Product, address: str, subject: str) -> Page:
    """Reload the mailbox until the mail is there, and open it."""
    until = time.monotonic() + MAIL_SECONDS
    row = page.get_by_role("link").filter(has_text=address).filter(has_text=subject)
    while True:
        page.goto(f"{product.mailbox}/")
        if row.count():
            break
        assert time.monotonic() < until, f"no mail {subject!r} to {address}"
        page.wait_for_timeout(200)
    row.first.click()
    expect(page.get_by_role("heading", level=1)).to_contain_text(subject)
    return page


def follow(letter: Page, name: str) -> Page:
    """Press a button or link in the mail; it opens a new window, as in a mail program."""
    link = letter.frame_locator("iframe").get_by_role("link", name=name)
    expect(letter.locator("pre")).to_contain_text(str(link.get_attribute("href")))
    with letter.expect_popup() as window:
        link.click()
    return window.value
