"""Concurrent clients: processes that send requests at the same moment.

They import few modules, so that they start quickly.
"""

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from http.client import HTTPConnection
from multiprocessing import get_context
from typing import Any
from urllib.parse import urlencode, urlsplit

PROCESSES = 4
SECONDS = 60

_barrier: Any = None  # the processes start their requests together


@dataclass(frozen=True)
class Call:
    """One request; with a `body`, a POST."""

    url: str
    body: bytes | None
    headers: dict[str, str]


@dataclass(frozen=True)
class Reply:
    """One response. `location` is its redirect target."""

    status: int
    location: str
    text: str


def post(url: str, form: dict[str, str], ip: str) -> Call:
    """Return the call that sends a form."""
    kind = {"Content-Type": "application/x-www-form-urlencoded", "X-Forwarded-For": ip}
    return Call(url, urlencode(form).encode(), kind)


def all_at_once(calls: Sequence[Call]) -> list[Reply]:
    """Make all calls at once and return the replies in the same order."""
    context = get_context("spawn")
    barrier = context.Barrier(PROCESSES)
    with ProcessPoolExecutor(PROCESSES, context, _meet_at, (barrier,)) as pool:
        shares = list(pool.map(_rush, [calls[number::PROCESSES] for number in range(PROCESSES)]))
    return [shares[number % PROCESSES][number // PROCESSES] for number in range(len(calls))]


def _meet_at(barrier: Any) -> None:
    global _barrier
    _barrier = barrier


def _rush(calls: Sequence[Call]) -> list[Reply]:
    _barrier.wait(SECONDS)
    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(ask, calls))


def ask(call: Call) -> Reply:
    """Make one call."""
    parts = urlsplit(call.url)
    connection = HTTPConnection(str(parts.hostname), parts.port, timeout=SECONDS)
    try:
        method = "GET" if call.body is None else "POST"
        connection.request(method, parts.path, call.body, call.headers)
        answer = connection.getresponse()
        return Reply(answer.status, answer.getheader("Location", ""), answer.read().decode())
    finally:
        connection.close()
