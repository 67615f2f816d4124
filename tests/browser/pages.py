"""Actions on pages that browser tests share."""

from collections.abc import Callable

from playwright.sync_api import Page

from tests.browser.product import Product

PASSWORD = "a password of our own"

ELSEWHERE = "http://elsewhere.example/"

OpenPage = Callable[..., Page]


def sign_up(page: Page, address: str) -> None:
    """Fill in and send the sign-up form of the page."""
    page.get_by_label("Email address").fill(address)
    page.get_by_role("checkbox").check()
    page.get_by_role("button", name="Send me updates").click()


def send_from_elsewhere(page: Page, product: Product) -> None:
    """Send a form to the site from a page of another site.

    Open the page with also=(ELSEWHERE,).
    """
    form = f"<form method=post action='{product.site}/signup'><button>Win</button></form>"
    page.route(ELSEWHERE, lambda route: route.fulfill(content_type="text/html", body=form))
    page.goto(ELSEWHERE)
    page.get_by_role("button", name="Win").click()
