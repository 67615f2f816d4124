"""The time limit of a whole call: a response that arrives too slowly is given up.

What a buyer sees then is tested in test_stripe_trouble, which uses this fault at every call.
"""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from threading import Event, Thread
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import Engine, select, update
from sqlalchemy.orm import Session

from crossroads.payments import Gateway, PaymentsUnavailable, connection
from crossroads.worker.event_consumer import EventConsumer
from models import StripeEvent, db, now
from tests.support.fulfillment import BASE, opened, receive, reconcile, state
from tests.support.sandbox_server import KEY, SandboxServer

PIECES = 1500  # bytes, 20 ms apart
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
REFUND = (
    b'{"id": "re_1", "object": "refund", "amount": 1, "currency": "usd", "created": 1796079600}'
)


class Trickle:
    """A server that sends a head, then single bytes until the caller hangs up or 30 seconds pass.

    Later connections get the whole response at once.
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
                for _ in range(PIECES):
                    if self._over.wait(0.02):
                        break
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
            pass  # ends a wait for a connection
        self._server.close()


@pytest.fixture(params=["headers", "body", "chunks"])
def trickle(request: pytest.FixtureRequest) -> Iterator[Trickle]:
    """A server whose headers or body never end."""
    heads = {
        "headers": HEAD + b"X-Slow: ",
        "body": HEAD + b"Content-Length: 100000\r\n\r\n",
        "chunks": HEAD + b"Transfer-Encoding: chunked\r\n\r\n186a0\r\n",
    }
    server = Trickle(heads[request.param])
    yield server
    server.close()


@contextmanager
def hasty(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Limit every call in the block to a fifth of a second."""
    with monkeypatch.context() as patch:
        patch.setattr(connection, "IN_REQUEST", (0.1, 0.1))
        patch.setattr(connection, "WHOLE_BACKGROUND", 0.2)
        patch.setattr(connection, "RETRIES", 0)
        yield


@pytest.mark.parametrize("background", [False, True], ids=["request", "background"])
def test_trickling_response_is_given_up(
    trickle: Trickle, monkeypatch: pytest.MonkeyPatch, background: bool
) -> None:
    gateway = Gateway(KEY, base=trickle.url, background=background)
    with hasty(monkeypatch), pytest.raises(PaymentsUnavailable):
        gateway.retrieve_refund("re_1")
    assert trickle.hung_up.wait(10)
    assert gateway.retrieve_refund("re_1").amount == 1  # on a new connection


def test_event_is_postponed_when_the_response_trickles(
    engine: Engine, sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = Gateway(KEY, base=sandbox.url, background=True)
    order, url = opened(engine, gateway)
    sandbox.pay(url)
    receive(engine, order)
    sandbox.control("fault", kind="trickle", seconds=600, after=True, method="GET")
    consumer = EventConsumer(engine, gateway, BASE)
    with hasty(monkeypatch):
        consumer.work()
    assert state(engine, order) == "open"
    with Session(engine) as session:
        event = session.scalars(select(StripeEvent)).one()
        assert (event.done_at, event.error) == (None, "APIConnectionError")
        session.execute(update(StripeEvent).values(due_at=now()))
        session.commit()
    consumer.work()
    assert state(engine, order) == "paid"


@pytest.fixture
def app(make_app: Any, database_url: str, sandbox: SandboxServer) -> Flask:
    built: Flask = make_app(database_url=database_url, stripe_api_base=sandbox.url)
    return built


def test_sweep_leaves_a_trickling_list_for_the_next_sweep(
    app: Flask, sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with app.app_context():
        engine = db.engine
    order, url = opened(engine, Gateway(KEY, base=sandbox.url))
    sandbox.pay(url)
    sandbox.control("fault", kind="trickle", seconds=600, after=True, method="GET", times=100)
    with hasty(monkeypatch):
        code, said, left = reconcile(app)
    assert code == 1 and said.startswith("not done: ")
    assert "left: the events that Stripe lists were not read: APIConnectionError" in left
    assert state(engine, order) == "open"
    sandbox.control("clear_faults")
    code, said, left = reconcile(app)
    assert (code, left) == (0, "") and "1 drift healed: " in said
    assert state(engine, order) == "paid"


def test_addresses_of_one_host_share_one_connection_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Addresses that do not accept use up the shared time, so later ones may be tried in vain."""
    with ExitStack() as stack:
        silent = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        full = silent.getsockname()
        for _ in range(2):  # fills the backlog: further connections are not accepted
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(full)
        tried = []

        class Noting(socket.socket):
            def connect(self, address: Any) -> None:
                tried.append(self.gettimeout())
                super().connect(address)

        look_up = socket.getaddrinfo

        def many(*asked: Any, **options: Any) -> list[Any]:
            return look_up(*asked, **options)[:1] * 8

        monkeypatch.setattr(socket, "getaddrinfo", many)
        monkeypatch.setattr(socket, "socket", Noting)
        monkeypatch.setattr(connection, "IN_REQUEST", (0.4, 0.3))
        with pytest.raises(PaymentsUnavailable):
            Gateway(KEY, base=f"http://127.0.0.1:{full[1]}").retrieve_refund("re_1")
    assert len(tried) == 8
    assert sum(seconds or 99 for seconds in tried) == pytest.approx(0.4)
