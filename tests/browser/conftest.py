"""Fixtures of browser tests: the product, Chromium, and a watch on requests and errors."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urldefrag, urlsplit
from urllib.request import urlopen
from xml.etree import ElementTree

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, expect

from models import now, writing
from tests.browser import product as product_module
from tests.browser.buyers import sell
from tests.browser.chromium import NoChromium, launched
from tests.browser.crowd import add_extreme, gather
from tests.browser.inspector import inspector as inspector
from tests.browser.pages import PASSWORD, OpenPage
from tests.browser.product import Product

LOC = "{http://www.sitemaps.org/schemas/sitemap/0.9}loc"
STATUS = "Failed to load resource: the server responded with a status of"
expect.set_options(timeout=10_000)  # a busy machine is slow: slowness must not fail a test


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark these tests, so that `pytest -m "not browser"` leaves them out."""
    for item in items:
        if "tests/browser/" in item.nodeid:
            item.add_marker(pytest.mark.browser)


@dataclass
class Watch:
    """Requests and errors of the pages of one browser profile."""

    hosts: set[str]
    requests: list[Request] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)

    def over(self, context: BrowserContext) -> None:
        """Watch every page of the profile, also pages that open later."""
        context.on("request", self._request)
        context.on("console", self._console)
        context.on("weberror", lambda error: self.troubles.append(f"script: {error.error}"))

    def _request(self, request: Request) -> None:
        self.requests.append(request)
        address = urlsplit(request.url)
        if address.scheme in ("http", "https") and address.netloc not in self.hosts:
            self.troubles.append(f"asked another host: {request.url}")

    def _console(self, message: ConsoleMessage) -> None:
        # Chromium reports pages with an error status as errors; the test checks their content.
        pages = {request.url for request in self.requests if request.is_navigation_request()}
        if message.text.startswith(STATUS) and urldefrag(message.location["url"]).url in pages:
            return
        if message.type in ("error", "warning"):
            self.troubles.append(f"console: {message.text} ({message.location['url']})")


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    try:
        with launched() as browser:
            yield browser
    except NoChromium as missing:
        if os.environ.get("CI") == "true":
            pytest.fail(f"{missing} (CI must not skip browser tests)")
        pytest.skip(str(missing))


@pytest.fixture(scope="session")
def product(chromium: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    """The running product. Needs Chromium first: without it the product need not start."""
    with product_module.running(tmp_path_factory.mktemp("product")) as product:
        yield product


@pytest.fixture(scope="session")
def public_paths(product: Product) -> list[str]:
    """Every path of the site map, and the stand-alone sign-up form."""
    with urlopen(f"{product.site}/sitemap.xml") as answer:
        addresses = [found.text or "" for found in ElementTree.parse(answer).iter(LOC)]
    assert len(addresses) >= 7
    return [*(address.removeprefix(product.site) for address in addresses), "/signup"]


@pytest.fixture(scope="session")
def crowd(product: Product) -> int:
    """The number of the newest of many leads, which has every fact that a lead can have."""
    with product.session() as session:
        writing(session)
        gather(session, now())
        number = add_extreme(session, now()).id
        session.commit()
    return number


@pytest.fixture(scope="session")
def sold(product: Product) -> int:
    """The number of an order with every feature of an order, among orders in every state."""
    with product.session() as session:
        writing(session)
        number = sell(session, now()).id
        session.commit()
    return number


@pytest.fixture
def open_page(chromium: Browser, product: Product) -> Iterator[OpenPage]:
    """Opens pages, each in its own browser profile: open_page(width=360, script=False).

    After the test, no page may have requested another host, have an error in its console (such as a
    violation of the content security policy), or have a cookie outside the admin area.
    """
    watches: list[Watch] = []
    contexts: list[BrowserContext] = []

    def open_one(
        address: str = "",
        *,
        width: int = 1440,
        script: bool = True,
        also: tuple[str, ...] = (),
        **settings: Any,
    ) -> Page:
        settings.setdefault("base_url", product.site)
        height = 740 if width < 768 else 900
        context = chromium.new_context(
            viewport={"width": width, "height": height}, java_script_enabled=script, **settings
        )
        contexts.append(context)
        hosts = (product.site, product.mailbox, settings["base_url"], *also)
        watch = Watch({urlsplit(host).netloc for host in hosts})
        watch.over(context)
        watches.append(watch)
        page = context.new_page()
        if address:
            page.goto(address)
        return page

    yield open_one
    cookies = [cookie for context in contexts for cookie in context.cookies()]
    for context in contexts:
        context.close()
    assert [trouble for watch in watches for trouble in watch.troubles] == []
    assert {cookie["path"] for cookie in cookies} <= {"/admin"}


@pytest.fixture(scope="session")
def signed_in(chromium: Browser, product: Product) -> Any:
    """The cookies of the owner, signed in with the password that the product printed."""
    context = chromium.new_context(base_url=product.site)
    page = context.new_page()
    page.goto("/admin/")
    page.get_by_label("Email address").fill(product.owner)
    page.get_by_label("Password", exact=True).fill(product.one_time_password)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_label("Current password").fill(product.one_time_password)
    page.get_by_label("New password", exact=True).fill(PASSWORD)
    page.get_by_label("New password again").fill(PASSWORD)
    page.get_by_role("button", name="Change password").click()
    expect(page.get_by_text("Your password is changed")).to_be_visible()
    state = context.storage_state()
    context.close()
    return state
