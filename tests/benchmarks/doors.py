"""Sixty buyers in six seconds while Stripe takes 0.7 seconds per call: how long each one waits."""

import re
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from statistics import quantiles
from urllib.parse import urlencode

from tests.benchmarks.bench import Bench
from tests.benchmarks.figures import Row
from tests.benchmarks.sites import FLASK, ROOT, Site, environment, site
from tests.support.purchases import COURSE, ENROLL, hidden
from tests.support.sandbox_server import SandboxServer, start

BUYERS = 60
COMING_SECONDS = 6.0
STRIPE_MS = 700
LONGEST = 15.0  # seconds until the payment page opens, as promised by the waiting page
ROUNDS = 3  # each takes half a minute
READER_RESTS = 0.02  # seconds between two pages of a reader
REFRESH = re.compile(r'<meta http-equiv="refresh" content="(\d+);url=([^"]+)">')


@dataclass(frozen=True)
class Round:
    """`waits` are the seconds from the button to the payment page, of the buyers who reached it."""

    waits: list[float]
    calm: float
    crowded: float


def rows(bench: Bench) -> Iterator[Row]:
    rounds = min(bench.rounds, ROUNDS)
    found = [measure(bench.folder / str(number)) for number in range(rounds)]
    what = f"{BUYERS} buyers in {COMING_SECONDS:g} s, Stripe takes {STRIPE_MS} ms"
    yield Row(what=f"{what}: refused", figures=[BUYERS - len(one.waits) for one in found], most=0)
    yield Row(
        what="the same: the last payment page", figures=[max(one.waits) for one in found],
        unit="s", most=LONGEST,
    )  # fmt: skip
    yield Row(
        what="the same: 99th percentile of the enroll page", figures=[one.crowded for one in found],
        unit="ms", against="itself, without buyers", baselines=[one.calm for one in found], most=3,
    )  # fmt: skip


def measure(folder: Path) -> Round:
    """Let the buyers come to a new site, after its pages were measured without buyers."""
    with ExitStack() as stack:
        folder.mkdir()
        sandbox = start(folder, process=True)
        stack.callback(sandbox.stop)
        given = {"stripe_api_base": sandbox.url}
        ours = stack.enter_context(site(folder / "site", **given))
        stack.enter_context(worker(folder / "site", **given))
        forms = [form(ours, number) for number in range(BUYERS)]
        buy(ours, form(ours, BUYERS), BUYERS, sandbox)  # site and sandbox load their modules
        sandbox.control(
            "fault", kind="slow", milliseconds=STRIPE_MS, times=1000, path="/v1/checkout/sessions"
        )
        calm = read(ours, lambda: time.sleep(COMING_SECONDS))[0]
        crowded, waits = read(ours, lambda: come(ours, forms, sandbox))
        return Round([one for one in waits or () if one is not None], calm, crowded)


@contextmanager
def worker(instance: Path, **given: str) -> Iterator[None]:
    """Run `flask worker` beside a site."""
    variables = environment(instance, **given)
    with (instance / "worker.txt").open("ab") as said:
        process = subprocess.Popen(
            [FLASK, "worker"], cwd=ROOT, env=variables, stdout=said, stderr=said
        )
        try:
            time.sleep(2)
            yield
        finally:
            process.terminate()
            process.wait()


def come(site: Site, forms: list[dict[str, str]], sandbox: SandboxServer) -> list[float | None]:
    """Let the buyers press the button one after another."""

    def one(number: int) -> float | None:
        time.sleep(number * COMING_SECONDS / len(forms))
        return buy(site, forms[number], number, sandbox)

    with ThreadPoolExecutor(len(forms)) as pool:
        return list(pool.map(one, range(len(forms))))


def buy(site: Site, filled: dict[str, str], number: int, sandbox: SandboxServer) -> float | None:
    """Press the button as a browser does, and return the seconds until Stripe's page opens.

    Returns None when a page says anything but to wait.
    """
    began = time.monotonic()
    status, location, text = ask(site, "POST", ENROLL, number, urlencode(filled))
    while True:
        if location.startswith(sandbox.url):
            return time.monotonic() - began
        again = REFRESH.search(text)
        if status == 303:
            status, location, text = ask(site, "GET", location, number)
        elif status == 200 and again:
            time.sleep(int(again[1]))
            status, location, text = ask(site, "GET", again[2], number)
        else:
            return None


def read(site: Site, meanwhile: Callable[[], object]) -> tuple[float, list[float | None]]:
    """Return the 99th percentile of a reader's page times in ms, and the result of `meanwhile`."""
    took = []
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(meanwhile)
        while not coming.done():
            began = time.perf_counter()
            status, _, _ = ask(site, "GET", ENROLL, BUYERS + 1)
            took.append(1000 * (time.perf_counter() - began))
            if status != 200:
                raise RuntimeError(f"the reader got {status}")
            time.sleep(READER_RESTS)
    result = coming.result()
    return quantiles(took, n=100)[98], result if isinstance(result, list) else []


def form(site: Site, number: int) -> dict[str, str]:
    """Return the filled enroll form of a buyer; the buyers are spread over the cohorts."""
    page = ask(site, "GET", ENROLL, number)[2]
    return {
        **hidden(page),
        "cohort": COURSE.cohorts[number % len(COURSE.cohorts)].code,
        "seats": "1",
        "name": "Maria",
        "email": f"buyer{number}@example.com",
    }


def ask(
    site: Site, method: str, path: str, number: int, body: str | None = None
) -> tuple[int, str, str]:
    """Return status, Location and text of a response; each number has its own network."""
    connection = HTTPConnection("127.0.0.1", site.port, timeout=60)
    headers = {"X-Forwarded-For": f"10.9.{number}.1", "Connection": "close"}
    if body is not None:
        headers["Content-Type"] = "application/x-www-form-urlencoded"
    try:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.getheader("Location") or "", answer.read().decode()
    finally:
        connection.close()
