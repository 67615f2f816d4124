"""A limit for each call as a whole: an answer that trickles is given up."""

import socket
from collections.abc import Iterator
from threading import Event, Thread

import pytest

from crossroads.payments import Gateway, PaymentsAway, connection
from tests.sandbox_server import KEY

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
REFUND = (
    b'{"id": "re_1", "object": "refund", "amount": 1, "currency": "usd", "created": 1796079600}'
)


class Trickle:
    """A server that sends a head, then a byte every 20 ms until the caller hangs up.

    The connections that come after the first one are answered at once.
    """

    def __init__(self, head: bytes) -> None:
        self._head = head
        self.hung_up = Event()
        self._server = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._server.getsockname()[1]}"
        self._over = Event()
        self._thread = Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        first, _ = self._server.accept()
        with first:
            first.recv(65536)
            try:
                first.sendall(self._head)
                while not self._over.wait(0.02):
                    first.sendall(b" ")
            except OSError:
                self.hung_up.set()
        second, _ = self._server.accept()
        with second:
            second.recv(65536)
            second.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(REFUND) + REFUND)

    def close(self) -> None:
        self._over.set()
        with socket.create_connection(self._server.getsockname()):
            pass  # so that nobody waits for a connection
        self._server.close()


@pytest.fixture(params=["headers", "body", "chunks"])
def trickle(request: pytest.FixtureRequest) -> Iterator[Trickle]:
    """A server whose headers, or whose body, never end."""
    heads = {
        "headers": HEAD + b"X-Slow: ",
        "body": HEAD + b"Content-Length: 100000\r\n\r\n",
        "chunks": HEAD + b"Transfer-Encoding: chunked\r\n\r\n186a0\r\n",
    }
    server = Trickle(heads[request.param])
    yield server
    server.close()


@pytest.mark.parametrize("background", [False, True], ids=["request", "background"])
def test_answer_that_trickles_is_given_up(
    trickle: Trickle, monkeypatch: pytest.MonkeyPatch, background: bool
) -> None:
    monkeypatch.setattr(connection, "IN_REQUEST", (0.2, 0.3))
    monkeypatch.setattr(connection, "WHOLE_BACKGROUND", 0.5)
    monkeypatch.setattr(connection, "RETRIES", 0)
    gateway = Gateway(KEY, base=trickle.url, background=background)
    with pytest.raises(PaymentsAway):
        gateway.retrieve_refund("re_1")
    assert trickle.hung_up.wait(10)
    assert gateway.retrieve_refund("re_1").amount == 1  # on a connection of its own
