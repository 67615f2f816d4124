"""Slow request bodies against the real web server: they do not block other requests."""

import socket
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from threading import Event

import pytest

from tests.faults.web_server import HEAD, send, serving, status_of

FORM = b"email=maria%40example.com&consent=yes"


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a site with one worker."""
    with serving(tmp_path_factory.mktemp("instance")) as number:
        yield number


def answer(client: socket.socket) -> bytes:
    with client:
        return b"".join(iter(lambda: client.recv(65536), b""))


def chunks(*parts: bytes) -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (*parts, b""))


def test_half_sent_forms_block_no_reader_and_time_out(port: int) -> None:
    def readable() -> bool:
        return all(status_of(port, address) == 200 for address in ("/compare", "/signup"))

    with ExitStack() as until_then:  # until then, the rest of each form may still arrive
        slow = [
            until_then.enter_context(send(port, HEAD + b"Content-Length: 100\r\n", b"ema"))
            for _ in range(12)
        ]
        time.sleep(0.3)
        assert readable()
        for client in slow:
            assert client.recv(100).startswith(b"HTTP/1.1 408 ")
        assert readable()


def test_chunked_form_is_accepted(port: int) -> None:
    client = send(port, HEAD + b"Transfer-Encoding: chunked\r\n", chunks(FORM[:20], FORM[20:]))
    assert b"Check your inbox" in answer(client)


def test_chunked_form_that_is_too_long_is_refused(port: int) -> None:
    client = send(
        port, HEAD + b"Transfer-Encoding: chunked\r\n", chunks(FORM, b"&name=", b"a" * 70_000)
    )
    assert answer(client).startswith(b"HTTP/1.1 413 ")


def test_form_with_too_long_content_length_is_refused_at_once(port: int) -> None:
    client = send(port, HEAD + b"Content-Length: 99999999999\r\n", b"")
    assert answer(client).startswith(b"HTTP/1.1 413 ")


def good_form(port: int, number: int, *, pause: float = 0) -> bytes:
    """Sign up, sending the body `pause` seconds after the head; return the answer's first bytes."""
    body = b"email=good%d%%40example.com&consent=yes" % number
    head = HEAD + b"Content-Length: %d\r\n" % len(body)
    client = send(port, head, b"" if pause else body)
    if pause:
        time.sleep(pause)
        client.sendall(body)
    return answer(client)[:12]


def event(port: int) -> bytes:
    """Send an unsigned webhook; return the answer's first bytes."""
    head = HEAD.replace(b"/signup", b"/webhooks/stripe")
    return answer(send(port, head + b"Content-Length: 2\r\n", b"{}"))[:12]


@contextmanager
def slow_senders(
    port: int, senders: int, *, addresses: int = 1, pause: float = 0
) -> Iterator[Counter[bytes]]:
    """Run clients that send one byte a second of a form, and reconnect when they are refused.

    They pause for `pause` seconds before that. Yields the count of each answer they get.
    """
    ended = Event()
    answers = Counter[bytes]()
    head = HEAD + b"Content-Length: 300\r\n"

    def pester(number: int) -> None:
        address = f"127.0.1.{number % addresses + 1}"
        while not ended.is_set():
            with suppress(OSError), send(port, head, b"em", client_address=address) as client:
                client.settimeout(1)
                while not ended.is_set():
                    with suppress(TimeoutError):
                        answers[client.recv(100)[:12]] += 1
                        break
                    client.sendall(b"a")
            ended.wait(pause)

    with ThreadPoolExecutor(senders) as pool:
        for number in range(senders):
            pool.submit(pester, number)
        time.sleep(1)
        try:
            yield answers
            until = time.monotonic() + 15
            while not answers and time.monotonic() < until:  # each times out after 3 seconds
                time.sleep(0.1)
        finally:
            ended.set()


@pytest.mark.parametrize("senders", [6, 200])
def test_repeated_half_sent_forms_do_not_affect_complete_ones(port: int, senders: int) -> None:
    with slow_senders(port, senders) as refused:
        answers = [good_form(port, senders * 1000 + number) for number in range(30)]
        events = [event(port) for _ in range(10)]
        read = status_of(port, "/compare")
    assert set(answers) == {b"HTTP/1.1 200"}
    assert set(events) == {b"HTTP/1.1 400"}, "taken, and not signed"
    assert read == 200
    assert refused[b"HTTP/1.1 408"] > 0


@pytest.mark.parametrize(
    ("senders", "pause"), [(40, 0), (200, 0), (200, 1)], ids=["40", "200", "200-that-pause"]
)
def test_slightly_late_bodies_are_accepted_beside_slow_senders(
    port: int, senders: int, pause: float
) -> None:
    """Complete bodies arrive 0.1 to 0.3 s after their heads; slow ones come from 60 addresses."""
    with (
        slow_senders(port, senders, addresses=60, pause=pause) as refused,
        ThreadPoolExecutor(3) as pool,
    ):
        numbers = range(30)
        base = senders * 2000 + int(pause) * 1000
        answers = list(
            pool.map(
                lambda number: good_form(port, base + number, pause=0.1 + number % 3 / 10), numbers
            )
        )
    assert Counter(answers) == {b"HTTP/1.1 200": 30}
    assert refused[b"HTTP/1.1 408"] > 0
