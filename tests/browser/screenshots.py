"""Take the screenshots of README.md: python -m tests.browser.screenshots (make screenshots)."""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from playwright.sync_api import Browser, Page, Response, ViewportSize

from models import now, writing
from tests.browser.chromium import NoChromium, launched
from tests.browser.crowd import COMPARISON, COURSE, FIRST, LAST, gather
from tests.browser.product import ROOT, Product, running
from tests.support.order_states import bring
from tests.support.purchases import JANUARY

PICTURES = ROOT / "docs" / "pictures"
SIZE: ViewportSize = {"width": 1280, "height": 880}
DESK: ViewportSize = {"width": 1280, "height": 1240}  # tall enough for the newest leads
SOLD = (*("paid",) * 6, "partly-refunded", "paid", "refunded", "paid")
PASSWORD = "only for the pictures"
LARGEST = 150_000  # bytes: larger files would make the README slow to open


def take(browser: Browser, product: Product, folder: Path) -> None:
    """Write comparison.png, course.png and desk.png.

    Raises ValueError when one is broken or too large.
    """
    page = browser.new_page(base_url=product.site, viewport=SIZE)
    answers: list[Response] = []
    page.on("response", lambda answer: answers.append(answer))
    taken = {}
    for name, address in (("comparison", COMPARISON), ("course", COURSE)):
        page.goto(address)
        taken[name] = page.screenshot()
    _fill(product)
    _sign_in(page, product)
    page.set_viewport_size(DESK)
    page.goto("/admin/")
    taken["desk"] = page.screenshot()
    if broken := [answer.url for answer in answers if answer.status >= 400]:
        raise ValueError(f"These did not load: {', '.join(broken)}")
    for name, picture in taken.items():
        if len(picture) > LARGEST:
            raise ValueError(f"{name}.png has {len(picture)} bytes, more than {LARGEST}")
        (folder / f"{name}.png").write_bytes(picture)


def _fill(product: Product) -> None:
    """Add sample leads and orders."""
    with product.session() as session:
        writing(session)
        gather(session, now())
        for number, state in enumerate(SOLD):
            name = f"{FIRST[-1 - number]} {LAST[number % len(LAST)]}"
            bring(session, state, cohort=JANUARY, name=name, number=1 + number % 2)
        session.commit()


def _sign_in(page: Page, product: Product) -> None:
    page.goto("/admin/login")
    page.get_by_label("Email address").fill(product.owner)
    page.get_by_label("Password", exact=True).fill(product.one_time_password)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_label("Current password").fill(product.one_time_password)
    page.get_by_label("New password", exact=True).fill(PASSWORD)
    page.get_by_label("New password again").fill(PASSWORD)
    page.get_by_role("button", name="Change password").click()
    page.get_by_text("Your password is changed").wait_for()


def main() -> None:
    PICTURES.mkdir(exist_ok=True)
    try:
        with (
            TemporaryDirectory(prefix="crossroads-") as data,
            launched() as browser,
            running(Path(data)) as product,
        ):
            take(browser, product, PICTURES)
    except (NoChromium, ValueError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
