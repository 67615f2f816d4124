"""Chromium of this machine, driven by Playwright."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, sync_playwright

INSTALL = "Chromium is not on this machine: apt-get install chromium"
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
    executable = shutil.which("chromium")
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
