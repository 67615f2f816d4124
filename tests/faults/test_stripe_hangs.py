"""Stripe accepts every call and answers none, with production timeouts on the real server.

Buyers get an answer in time, and other visitors notice nothing.
"""

import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median

import pytest

from crossroads.ops.server import BLOCKING_THREADS, WAITING_THREADS
from tests.faults.web_server import HEAD, send, serving
from tests.support.purchases import COURSE_PAGE, ENROLL, JANUARY, hidden, words
from tests.support.sandbox_server import Page, SandboxServer, eventually, fetch

BUYER_WAITS = 15.0  # maximum seconds until the page is shown
READER_WAITS = 0.5  # on a machine that also runs the tests
HANG = 60
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


def timed(call: Callable[[], Page]) -> tuple[float, Page]:
    began = time.monotonic()
    page = call()
    return time.monotonic() - began, page


def buy(site: str, given: dict[str, str], ip: str = "192.0.2.1") -> tuple[float, Page]:
    headers = {"X-Forwarded-For": ip}
    return timed(lambda: fetch(site + ENROLL, form=given, headers=headers))


@contextmanager
def buyers(site: str, sandbox: SandboxServer) -> Iterator[list[Future[tuple[float, Page]]]]:
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


def visit(site: str, number: int) -> float:
    """Read every page and sign up; return the slowest answer's duration."""
    took = []
    for path in PAGES:
        seconds, page = timed(lambda path=path: fetch(site + path))  # type: ignore[misc]
        assert page.status == 200
        took.append(seconds)
    lead = {"email": f"reader{number}@example.com", "consent": "yes"}
    seconds, page = timed(lambda: fetch(site + "/signup", form=lead))
    assert (page.status, "Check your inbox" in page.text) == (200, True)
    return max(*took, seconds)


def test_buyers_get_a_page_in_time_and_other_visitors_do_not_wait(
    site: str, sandbox: SandboxServer
) -> None:
    for number in range(3):
        visit(site, number)  # the first visit fills the caches
    calm = median(visit(site, 10 + number) for number in range(10))
    with buyers(site, sandbox) as coming:
        visits = [visit(site, 100 + number) for number in range(20)]
        assert not all(one.done() for one in coming), "nobody waited while the others read"
        answers = [one.result() for one in coming]
    asked = [page for _, page in answers if page.status == 503]
    assert len(asked) >= WAITING_THREADS
    for seconds, page in answers:
        assert seconds < BUYER_WAITS
        if page not in asked:  # over the maximum of waiting buyers: these wait on the order's page
            assert page.status == 303
            assert page.location.startswith("/orders/")
            page = fetch(site + page.location)
            assert page.status == 200
        assert "Nothing was charged" in words(page.text)
    assert median(visits) < max(3 * calm, READER_WAITS)
    assert max(visits) < 4 * READER_WAITS


def test_half_sent_forms_beside_a_hanging_stripe_block_no_reader(
    site: str, sandbox: SandboxServer
) -> None:
    port = int(site.rpartition(":")[2])
    with buyers(site, sandbox) as coming, ExitStack() as until_then:
        for _ in range(2 * BLOCKING_THREADS):
            until_then.enter_context(send(port, HEAD + b"Content-Length: 100\r\n", b"ema"))
        time.sleep(0.3)
        took = [timed(lambda: fetch(site + "/signup"))[0] for _ in range(20)]
        assert not all(one.done() for one in coming), "nobody waited while the others read"
        assert max(took) < 4 * READER_WAITS


def waiting(sandbox: SandboxServer) -> int:
    """Return the number of calls since Stripe began to hang."""
    return sum(1000 - one["times"] for one in sandbox.state()["faults"])


@pytest.mark.parametrize("late", [0, 7])
def test_request_with_several_calls_to_stripe_ends_in_time(
    site: str, sandbox: SandboxServer, late: int
) -> None:
    """A new attempt ends the older order's checkout, then makes its own."""
    first = form(site, "maria@example.com")
    older = fetch(site + ENROLL, form=first)
    assert older.status == 303
    again = {**first, "seats": "2"}
    if late:  # the first call is answered just in time, the second one never
        path = "/v1/checkout/sessions/*/expire"
        sandbox.control("fault", kind="slow", seconds=late, path=path)
    hang(sandbox)
    seconds, page = buy(site, again)
    assert seconds < BUYER_WAITS
    assert page.status == 503
    assert "Nothing was charged" in words(page.text)
    sandbox.control("clear_faults")
    retry = re.findall(r'<form method="post" action="(/orders/[^"]+)"', page.text)
    answers = [fetch(site + retry[0], form={"action": "pay"}) if retry else buy(site, again)[1]]
    assert answers[0].status == 303
    assert answers[0].location.startswith(sandbox.url)
    assert len([one for one in sandbox.state()["sessions"] if one["status"] == "open"]) == 1
