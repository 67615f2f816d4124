"""Stripe accepts every call and answers none, with production timeouts on the real server.

Buyers get an answer in time, and other visitors notice nothing.
"""

import re
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from crossroads.ops.server import BLOCKING_THREADS, WAITING_THREADS
from tests.faults.web_server import HEAD, send, serving
from tests.support.purchases import COURSE_PAGE, ENROLL, JANUARY, hidden, words
from tests.support.sandbox_server import Page, SandboxServer, eventually, fetch

HANG = 60  # seconds, much longer than a buyer waits
PAGES = ("/compare", COURSE_PAGE, "/signup", ENROLL)


@pytest.fixture
def site(tmp_path: Path, sandbox: SandboxServer) -> Iterator[str]:
    """The URL of a site with one worker, behind a proxy."""
    given = {"stripe_api_base": sandbox.url, "trusted_proxies": "1"}
    with serving(tmp_path / "site", **given) as port:
        yield f"http://127.0.0.1:{port}"


def form(site: str, email: str, **given: str) -> dict[str, str]:
    kept = {**hidden(fetch(site + ENROLL).text), "amount": ""}
    return {**kept, "cohort": JANUARY.code, "seats": "1", "name": "Maria", "email": email, **given}


def buy(site: str, given: dict[str, str], ip: str = "192.0.2.1") -> Page:
    return fetch(site + ENROLL, form=given, headers={"X-Forwarded-For": ip})


@contextmanager
def buyers(site: str, sandbox: SandboxServer) -> Iterator[list[Future[Page]]]:
    """Start a buyer for each thread while Stripe hangs: the maximum number of them wait for it."""
    forms = [form(site, f"buyer{number}@example.com") for number in range(BLOCKING_THREADS)]
    hang(sandbox)
    with ThreadPoolExecutor(len(forms)) as pool:
        # A network may hold only a few seats at a time.
        coming = [
            pool.submit(buy, site, one, f"192.0.2.{number}") for number, one in enumerate(forms)
        ]
        eventually(lambda: len(sandbox.state()["faults"]) and waiting(sandbox) >= WAITING_THREADS)
        yield coming


def hang(sandbox: SandboxServer, **given: str) -> None:
    sandbox.control("fault", kind="timeout", seconds=HANG, times=1000, **given)


def visit(site: str, number: int) -> None:
    """Read every page and sign up."""
    for path in PAGES:
        assert fetch(site + path).status == 200
    lead = {"email": f"reader{number}@example.com", "consent": "yes"}
    page = fetch(site + "/signup", form=lead)
    assert (page.status, "Check your inbox" in page.text) == (200, True)


def in_hand(coming: list[Future[Page]]) -> int:
    """Return how many buyers wait for their page."""
    return sum(not one.done() for one in coming)


def test_buyers_get_a_page_in_time_and_other_visitors_do_not_wait(
    site: str, sandbox: SandboxServer
) -> None:
    visit(site, 0)  # it fills the caches
    with buyers(site, sandbox) as coming:
        for number in range(1, 6):
            visit(site, number)
        assert in_hand(coming) >= WAITING_THREADS, "the others read meanwhile"
        answers = [one.result() for one in coming]  # while Stripe still hangs
    asked = [page for page in answers if page.status == 503]
    assert len(asked) >= WAITING_THREADS
    for page in answers:
        if page not in asked:  # over the maximum of waiting buyers: these wait on the order's page
            assert page.status == 303
            assert page.location.startswith("/orders/")
            page = fetch(site + page.location)
            assert page.status == 200
        assert "Nothing was charged" in words(page.text)


def test_half_sent_forms_beside_a_hanging_stripe_block_no_reader(
    site: str, sandbox: SandboxServer
) -> None:
    port = int(site.rpartition(":")[2])
    with buyers(site, sandbox) as coming, ExitStack() as until_then:
        for _ in range(2 * BLOCKING_THREADS):
            until_then.enter_context(send(port, HEAD + b"Content-Length: 100\r\n", b"ema"))
        time.sleep(0.3)
        assert {fetch(site + "/signup").status for _ in range(20)} == {200}
        assert in_hand(coming) >= WAITING_THREADS, "the others read meanwhile"


def waiting(sandbox: SandboxServer) -> int:
    """Return the number of calls since Stripe began to hang."""
    return sum(1000 - one["times"] for one in sandbox.state()["faults"])


@pytest.mark.parametrize("late", [False, True])
def test_request_with_several_calls_to_stripe_ends_in_time(
    site: str, sandbox: SandboxServer, late: bool
) -> None:
    """A new attempt ends the older order's checkout, then makes its own.

    Each of two late answers would arrive within the 8 seconds of a call. Together they take longer
    than the 12 seconds of all calls of a request, so the second one is given up.
    """
    create = "/v1/checkout/sessions"
    first = form(site, "maria@example.com")
    older = fetch(site + ENROLL, form=first)
    assert older.status == 303
    again = {**first, "seats": "2"}
    if late:
        sandbox.control("fault", kind="slow", seconds=6, path=f"{create}/*/expire")
        sandbox.control("fault", kind="slow", seconds=7, path=create)
    else:
        hang(sandbox)
    page = buy(site, again)
    assert page.status == 503
    assert "Nothing was charged" in words(page.text)
    sandbox.control("clear_faults")
    sandbox.control("release")
    if late:  # Stripe makes the checkout that was given up; a new attempt with its key gets it
        eventually(lambda: len(sandbox.state()["sessions"]) == 2)
    retry = re.findall(r'<form method="post" action="(/orders/[^"]+)"', page.text)
    answers = [fetch(site + retry[0], form={"action": "pay"}) if retry else buy(site, again)]
    assert answers[0].status == 303
    assert answers[0].location.startswith(sandbox.url)
    assert len([one for one in sandbox.state()["sessions"] if one["status"] == "open"]) == 1
