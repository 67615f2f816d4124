"""Bodies of requests against the real web server: slow ones keep nobody from reading."""

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.faults.web_server import HEAD, send, serving, status_of

FORM = b"email=maria%40example.com&consent=yes"


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a site that runs in one worker."""
    with serving(tmp_path_factory.mktemp("instance")) as number:
        yield number


def answer(client: socket.socket) -> bytes:
    with client:
        return b"".join(iter(lambda: client.recv(65536), b""))


def chunks(*parts: bytes) -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (*parts, b""))


def test_half_sent_forms_keep_nobody_from_reading_and_are_given_up(port: int) -> None:
    def readable() -> bool:
        return all(status_of(port, address) == 200 for address in ("/compare", "/signup"))

    with ExitStack() as until_then:  # the rest of each form may yet come
        slow = [
            until_then.enter_context(send(port, HEAD + b"Content-Length: 100\r\n", b"ema"))
            for _ in range(12)
        ]
        time.sleep(0.3)
        assert readable()
        for client in slow:
            assert client.recv(100).startswith(b"HTTP/1.1 408 ")
        assert readable()


def test_form_in_chunks_is_taken(port: int) -> None:
    client = send(port, HEAD + b"Transfer-Encoding: chunked\r\n", chunks(FORM[:20], FORM[20:]))
    assert b"Check your inbox" in answer(client)


def test_form_in_chunks_that_is_too_long_is_refused_like_any_other(port: int) -> None:
    client = send(
        port, HEAD + b"Transfer-Encoding: chunked\r\n", chunks(FORM, b"&name=", b"a" * 70_000)
    )
    assert answer(client).startswith(b"HTTP/1.1 413 ")


def test_form_that_says_it_is_too_long_is_refused_before_it_is_sent(port: int) -> None:
    client = send(port, HEAD + b"Content-Length: 99999999999\r\n", b"")
    assert answer(client).startswith(b"HTTP/1.1 413 ")
