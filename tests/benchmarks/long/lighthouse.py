"""Google's Lighthouse on every public page with a simulated phone, if it is installed."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from tests.benchmarks.figures import Row
from tests.benchmarks.long.series import Long
from tests.benchmarks.pages import bare
from tests.benchmarks.sites import FLASK, ask, command, environment, process
from tests.support.ports import free_port

CATEGORIES = ("performance", "accessibility", "best-practices", "seo")
LINE = b"<!doctype html><html lang=en><title>One line</title><p>One line"
TRIES = 3  # sometimes it misses the beginning of its recording, and reports that
# Other work on the machine affects every number; its authors advise the median of five runs.
# https://github.com/GoogleChrome/lighthouse/blob/main/docs/variability.md
LOOKS = 5
# For each audit: its label, the divisor of its unit, the shown unit, and the maximum.
# https://web.dev/articles/vitals
AUDITS = {
    "largest-contentful-paint": ("largest paint", 1000, "s", 1.2),
    "cumulative-layout-shift": ("layout shift", 1, "", 0),
    "total-blocking-time": ("total blocking time", 1, "ms", 0),
}


def found(told: Long) -> Iterator[Row]:
    what = "Lighthouse, the least of four scores on any page"
    missing = [name for name in ("node", "lighthouse") if not shutil.which(name)]
    if missing:
        yield Row(what=what, least=100, skipped=f"no {' and no '.join(missing)} here")
        return
    port = free_port()
    # Not in production, where the address would have to be https and not that of this server.
    variables = environment(
        told.folder, env="development", base_url=f"http://127.0.0.1:{port}", port=str(port)
    )
    command(variables, "setup")
    with process([FLASK, "serve"], port, told.folder / "serve.txt", variables):
        paths = pages(port)
        rounds = [[look(f"http://127.0.0.1:{port}{path}") for path in paths] for _ in range(LOOKS)]
    # The cost of the browser itself on this machine, with the same simulated phone.
    with bare(told.folder, [("Content-Type", "text/html")], LINE) as port:
        lines = [[look(f"http://127.0.0.1:{port}/") for _ in paths] for _ in range(LOOKS)]
    scores = [
        min(report["categories"][name]["score"] * 100 for report in reports for name in CATEGORIES)
        for reports in rounds
    ]
    yield Row(what=what, figures=scores, least=100)
    for audit, (shown, unit_in, unit, most) in AUDITS.items():
        figures = [worst(reports, audit) / unit_in for reports in rounds]
        yield Row(what=f"{shown} on the worst page", figures=figures, unit=unit, most=most)
    figures = [worst(reports, "total-blocking-time") for reports in lines]
    yield Row(what="the same of a page of one line, of as many looks", figures=figures, unit="ms")


def worst(reports: list[dict[str, Any]], audit: str) -> float:
    """Return the highest value of the audit."""
    return max(float(report["audits"][audit]["numericValue"]) for report in reports)


def pages(port: int) -> list[str]:
    """Return the paths in the sitemap."""
    text = ask(port, "/sitemap.xml").read().decode()
    return [urlsplit(address).path for address in re.findall(r"<loc>([^<]+)</loc>", text)]


def look(url: str) -> dict[str, Any]:
    """Return Lighthouse's report on a page. Raises RuntimeError without a report."""
    browser = next(filter(None, map(shutil.which, ("chromium", "google-chrome", "chrome"))), "")
    words = ["lighthouse", url, "--quiet", "--output=json"]
    words += ["--chrome-flags=--headless --no-sandbox"]
    variables = {**os.environ, "CHROME_PATH": browser}
    said = ""
    for _ in range(TRIES):
        done = subprocess.run(words, env=variables, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            report: dict[str, Any] = json.loads(done.stdout)
            return report
        said = done.stderr
    raise RuntimeError(f"Lighthouse failed on {url}: {said}")
