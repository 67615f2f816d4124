"""Layout at every width, zoom and medium, and the size limits of pages."""

import re
import time
from typing import Any
from urllib.request import Request, urlopen

import brotli
import pytest
from playwright.sync_api import Page, Route, expect
from playwright.sync_api import Request as PageRequest

from tests.browser.crowd import COMPARISON, COURSE
from tests.browser.pages import OpenPage
from tests.browser.product import Product
from tests.support.walks import each, walk

WIDTHS = (320, 360, 768, 1440)
BUDGET = 14 * 1024  # bytes of HTML and CSS on the network
SCRIPT_BUDGET = 3 * 1024
MAIN_ACTION = 44  # px, the size of a touch target

# Elements that extend past the right edge of the page, as text for the report.
OUTSIDE = """() => {
  const page = document.documentElement, wide = page.clientWidth;
  if (page.scrollWidth <= wide) return [];
  return [...document.querySelectorAll('body *')]
    .filter((element) => element.getBoundingClientRect().right > wide + .5)
    .map((element) => element.outerHTML.slice(0, 80));
}"""
# Text that is cut off by its box: not in a field, which scrolls, nor where a title has it whole.
CUT = """() => [...document.querySelectorAll('body *')]
  .filter((element) => {
    const style = getComputedStyle(element);
    return !element.closest('.vh, .skip, svg, input, [title]') && style.overflow !== 'visible'
      && style.overflow !== 'auto'
      && (element.scrollWidth > element.clientWidth + 1
        || element.scrollHeight > element.clientHeight + 1);
  })
  .map((element) => element.outerHTML.slice(0, 80))"""
# Elements that cover the focused one or its ring, unless they contain it or are inside it.
COVERED = """() => {
  const focused = document.activeElement, ring = 6;
  const box = focused.getBoundingClientRect();
  if (!box.width || focused.closest('.skip')) return null;
  if (box.top < -1 || box.bottom > innerHeight + 1) {
    return box.height > innerHeight ? null : focused.outerHTML.slice(0, 80) + ' is off the screen';
  }
  const sticky = [...document.querySelectorAll('body *')]
    .filter((element) => getComputedStyle(element).position === 'sticky'
      && !element.contains(focused) && !focused.contains(element));
  for (const element of sticky) {
    const over = element.getBoundingClientRect();
    const apart = over.right <= box.left || over.left >= box.right
      || over.bottom <= box.top - ring || over.top >= box.bottom + ring;
    if (!apart) return focused.outerHTML.slice(0, 80) + ' is under ' + element.className;
  }
  return null;
}"""
SMALL = """(least) => [...document.querySelectorAll(
    '.button, .field input:not([type=checkbox]), .field select, label.check, summary, .top a')]
  .filter((element) => element.checkVisibility())
  .map((element) => [element.outerHTML.slice(0, 60), element.getBoundingClientRect().height])
  .filter(([, height]) => height < least - .5)"""
SPACING = """* {
  line-height: 1.5 !important; letter-spacing: .12em !important; word-spacing: .16em !important;
}
p { margin-bottom: 2em !important; }"""
WATCH_SHIFTS = """
  window.shifts = [];
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) {
      window.shifts.push([entry.value, entry.sources.map((source) =>
        source.node && (source.node.outerHTML || source.node.textContent).slice(0, 80))]);
    }
  }).observe({type: 'layout-shift', buffered: true});
"""
# Within two frames the observer receives all earlier shifts.
TWO_FRAMES = """() => new Promise((done) =>
  requestAnimationFrame(() => requestAnimationFrame(done)))"""


@walk
def test_public_pages_do_not_overflow(open_page: OpenPage, public_paths: list[str]) -> None:
    page = open_page()
    assert _outside(page, each([*public_paths, "/no-such-page", "/confirm/no-such-token"], 2)) == {}


@walk
def test_desk_pages_do_not_overflow(
    open_page: OpenPage, crowd: int, sold: int, signed_in: Any
) -> None:
    page = open_page(storage_state=signed_in)
    paths = (
        "/admin/",
        "/admin/leads",
        "/admin/leads?q=example&state=confirmed",
        f"/admin/leads/{crowd}",
        "/admin/password",
        "/admin/leads/999999",
        "/admin/orders",
        "/admin/orders?q=buyer&state=paid",
        f"/admin/orders/{sold}",
        f"/admin/orders/{sold}/refund",
        "/admin/enrollments",
        "/admin/mail",
        "/admin/announcements",
        "/admin/announcements/new",
        "/admin/announcements/1",
        "/admin/announcements/1/queue",
    )
    assert _outside(page, each(paths, 2, 1)) == {}


def test_form_with_long_input_does_not_overflow(open_page: OpenPage) -> None:
    page = open_page(COMPARISON)
    page.get_by_label("Email address").fill("a" * 70 + "@" + "b" * 200)
    page.get_by_role("button", name="Send me updates").click()
    expect(page.get_by_text("Correct these 2 things")).to_be_visible()
    assert _at_each_width(page) == {}
    page.get_by_label("Email address").fill("a" * 60 + "@" + "b" * 60 + ".example.com")
    page.get_by_role("checkbox").check()
    page.get_by_role("button", name="Send me updates").click()
    expect(page.get_by_role("heading", name="Check your inbox")).to_be_visible()
    assert _at_each_width(page) == {}


@pytest.mark.parametrize("width", WIDTHS)
def test_compared_options_are_side_by_side(open_page: OpenPage, width: int) -> None:
    page = open_page(COMPARISON, width=width)
    for row in page.locator(".versus tbody").all():
        first, second = (cell.bounding_box() for cell in row.locator("td").all()[:2])
        assert first and second
        assert first["y"] == second["y"]
        assert first["x"] + first["width"] <= second["x"] + 0.5
        assert abs(first["width"] - second["width"]) < 1


@walk
def test_text_at_double_size_is_not_cut_off(open_page: OpenPage, public_paths: list[str]) -> None:
    page = open_page(bypass_csp=True)
    found = {}
    for path in each(public_paths, 2):
        page.goto(path)
        page.add_style_tag(content=":root { font-size: 200% }")
        found.update(_at_each_width(page, path, (360, 768, 1440)))
    assert found == {}


@walk
def test_text_with_wide_spacing_is_not_cut_off(
    open_page: OpenPage, public_paths: list[str]
) -> None:
    """https://www.w3.org/TR/WCAG22/#text-spacing"""
    page = open_page(bypass_csp=True)
    found = {}
    for path in each(public_paths, 2, 1):
        page.goto(path)
        page.add_style_tag(content=SPACING)
        found.update(_at_each_width(page, path, (320, 768, 1440)))
    assert found == {}


@pytest.mark.parametrize("path", [COMPARISON, COURSE])
def test_focused_element_is_never_covered(open_page: OpenPage, path: str) -> None:
    page = open_page(path, width=360)
    stops = page.locator("a[href], button, input, summary").count()
    covered = set()
    for key in ("Tab", "Shift+Tab"):
        for _ in range(stops):
            page.keyboard.press(key)
            covered.add(page.evaluate(COVERED))
    assert covered - {None} == set()


def test_first_tab_stop_skips_to_the_content(open_page: OpenPage) -> None:
    page = open_page(COMPARISON)
    page.keyboard.press("Tab")
    skip = page.get_by_role("link", name="Skip to content")
    expect(skip).to_be_focused()
    expect(skip).to_be_in_viewport(ratio=1)
    page.keyboard.press("Enter")
    expect(page.get_by_role("main")).to_be_focused()


def test_main_actions_are_large_enough_for_a_thumb(
    open_page: OpenPage, public_paths: list[str]
) -> None:
    page = open_page(width=360)
    found = {}
    for path in public_paths:
        page.goto(path)
        if small := page.evaluate(SMALL, MAIN_ACTION):
            found[path] = small
    assert found == {}


@pytest.mark.parametrize("width", [360, 1440])
def test_layout_does_not_shift_while_a_page_loads(
    open_page: OpenPage, public_paths: list[str], width: int
) -> None:
    page = open_page(width=width)
    page.add_init_script(WATCH_SHIFTS)
    assert _shifts(page, public_paths) == {}


def test_late_font_does_not_shift_the_layout(open_page: OpenPage) -> None:
    page = open_page(width=360)
    page.add_init_script(WATCH_SHIFTS)
    page.route("**/*.woff2", _late)
    assert _shifts(page, [COMPARISON, COURSE]) == {}


def test_forced_colors_keep_marks_shapes_and_buttons_visible(open_page: OpenPage) -> None:
    page = open_page(COMPARISON, forced_colors="active")
    style = "(element, name) => getComputedStyle(element)[name]"
    winner = page.locator(".versus mark").first
    assert winner.evaluate(style, "backgroundColor") != page.locator("body").evaluate(
        style, "backgroundColor"
    )
    for shape in page.locator(".versus .shape").all():
        assert shape.evaluate(style, "borderTopWidth") != "0px"
        assert shape.evaluate(style, "borderTopStyle") == "solid"
    button = page.get_by_role("button", name="Send me updates")
    assert button.evaluate(style, "borderTopWidth") != "0px"
    assert button.evaluate(style, "borderTopColor") != button.evaluate(style, "backgroundColor")


def test_print_shows_every_answer_and_hides_interactive_parts(open_page: OpenPage) -> None:
    page = open_page(COMPARISON)
    answers = page.locator("details > p")
    assert answers.count() == 5
    expect(answers.nth(3)).to_be_hidden()
    page.emulate_media(media="print")
    for answer in answers.all():
        box = answer.bounding_box()
        assert box and box["height"] > 20
        assert answer.evaluate(
            "(element) => element.checkVisibility({contentVisibilityAuto: true})"
        )
    expect(page.get_by_role("table")).to_be_visible()
    expect(page.get_by_role("complementary", name="Next step")).to_be_hidden()
    expect(page.get_by_role("button", name="Send me updates")).to_be_hidden()
    assert page.pdf().startswith(b"%PDF")


def test_public_page_stays_within_its_size_limit(product: Product, public_paths: list[str]) -> None:
    weights = {}
    for path in public_paths:
        page, size = _fetch(product.site + path)
        style = re.findall(r'<link rel="stylesheet" href="([^"]+)"', page)
        script = re.findall(r'<script defer src="([^"]+)"', page)
        assert (len(style), len(script)) == (1, 1)
        assert _fetch(product.site + script[0])[1] <= SCRIPT_BUDGET
        weights[path] = size + _fetch(product.site + style[0])[1]
    assert max(weights.values()) <= BUDGET, weights


def test_public_page_makes_four_requests(open_page: OpenPage, public_paths: list[str]) -> None:
    page = open_page()
    # Each page is loaded as at a first visit.
    page.context.new_cdp_session(page).send("Network.setCacheDisabled", {"cacheDisabled": True})
    requests: list[PageRequest] = []
    page.on("request", lambda request: requests.append(request))
    for path in public_paths:
        requests.clear()
        page.goto(path)
        asked = [one.url for one in requests if not one.url.startswith("data:")]
        kinds = sorted(address.rpartition(".")[2] for address in asked if "/static/" in address)
        assert kinds == ["css", "js", "woff2"]
        assert len(asked) == 1 + len(kinds)


def _late(route: Route) -> None:
    time.sleep(0.4)  # longer than a browser delays the first paint
    route.continue_()


def _shifts(page: Page, paths: list[str]) -> dict[str, Any]:
    """Scroll through each page; return the unexpected layout shifts."""
    found = {}
    for path in paths:
        page.goto(path)
        height = page.evaluate("document.documentElement.scrollHeight")
        for top in range(0, height, 600):
            page.evaluate("(top) => scrollTo(0, top)", top)
        page.evaluate(TWO_FRAMES)
        if shifts := page.evaluate("window.shifts"):
            found[path] = shifts
    return found


def _outside(page: Page, paths: Any) -> dict[str, list[str]]:
    found = {}
    for path in paths:
        page.goto(path)
        found.update(_at_each_width(page, path))
    return found


def _at_each_width(
    page: Page, path: str = "", widths: tuple[int, ...] = WIDTHS
) -> dict[str, list[str]]:
    found = {}
    for width in widths:
        page.set_viewport_size({"width": width, "height": 740})
        if troubles := page.evaluate(OUTSIDE) + page.evaluate(CUT):
            found[f"{path} at {width} px"] = troubles
    return found


def _fetch(address: str) -> tuple[str, int]:
    """Return a text and its size on the network in bytes."""
    with urlopen(Request(address, headers={"Accept-Encoding": "br"})) as answer:
        body: bytes = answer.read()
        packed = answer.headers["Content-Encoding"] == "br"
    return (brotli.decompress(body) if packed else body).decode(), len(body)
