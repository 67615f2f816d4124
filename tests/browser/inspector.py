"""Accessibility checks of a page with axe, in light and dark mode."""

from collections.abc import Iterator
from typing import Any

import pytest
from axe_playwright_python.base import AxeResults  # type: ignore[import-untyped]
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import Page

WCAG = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22a", "wcag22aa")

EVERYTHING: Any = {"runOnly": {"type": "tag", "values": [*WCAG, "best-practice"]}}

# Everything that another color scheme can break.
COLORS = {"runOnly": {"type": "rule", "values": ["color-contrast", "link-in-text-block"]}}

# axe cannot enter the frame of a mail; the mail is checked on its own.
OPTIONS = {"resultTypes": ["violations"], "iframes": False}


class Inspector:
    """Runs axe on a page in its current state, and collects the violations."""

    def __init__(self) -> None:
        self.found: dict[str, str] = {}
        self._axe = Axe()

    def look(self, page: Page, name: str, rules: Any = EVERYTHING) -> None:
        page.emulate_media(color_scheme="light")
        light = self._axe.run(page, options={**rules, **OPTIONS})
        page.emulate_media(color_scheme="dark")
        # The page has the script already; it is large, so it is not sent again.
        dark = AxeResults(page.evaluate("(options) => axe.run(options)", {**COLORS, **OPTIONS}))
        for scheme, results in (("light", light), ("dark", dark)):
            if results.violations_count:
                self.found[f"{name}, {scheme}"] = results.generate_report()


@pytest.fixture
def inspector() -> Iterator[Inspector]:
    """Collects the violations of a whole test, and fails it at the end."""
    inspector = Inspector()
    yield inspector
    report = "\n".join(f"--- {name}\n{text}" for name, text in inspector.found.items())
    assert not inspector.found, report
