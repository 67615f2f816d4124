"""Chromium of this machine, driven by Playwright."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, sync_playwright

# The headless shell renders the same pages for half of the processor time.
PROGRAMS = ("chromium-headless-shell", "chromium")
INSTALL = f"Chromium is not on this machine: apt-get install {PROGRAMS[0]}"
FLAGS = (
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


class NoChromium(Exception):
    """Chromium is not installed; the message says how to install it."""


@contextmanager
def launched() -> Iterator[Browser]:
    """Start a headless Chromium with an empty profile. Raises NoChromium."""
    executable = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if executable is None:
        raise NoChromium(INSTALL)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=executable, chromium_sandbox=False, args=FLAGS
        )
        try:
            yield browser
        finally:
            browser.close()
