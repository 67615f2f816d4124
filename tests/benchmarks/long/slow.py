"""Clients that read one byte per second, and the effect on another client."""

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from tests.benchmarks import load, signups
from tests.benchmarks.figures import Row
from tests.benchmarks.long.series import Long
from tests.benchmarks.sites import PAGE, site

CLIENTS = 200
PAGES = 50  # per client: more than the buffers on the way can hold
BUFFER = 4096


def found(told: Long) -> Iterator[Row]:
    with site(told.folder / "site") as ours, readers(ours.port):
        pages = load.run(ours.url + PAGE, seconds=2 * told.seconds, connections=1)
        taken = signups.sign_up(told, ours.url, connections=1)
    if pages.refused:
        raise RuntimeError(f"{pages.refused} of {pages.requests} requests were refused")
    beside = f"p99 beside {CLIENTS} that read one byte a second"
    yield Row(what=f"page, {beside}", figures=[pages.p99], unit="ms", most=1000)
    yield Row(what=f"sign-up, {beside}", figures=[taken.p99], unit="ms", most=1000)


@contextmanager
def readers(port: int) -> Iterator[None]:
    """Let the clients send requests and read slowly to the end. Raises OSError on failure."""
    asked = f"GET {PAGE} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode() * PAGES
    over = threading.Event()
    with ExitStack() as stack:
        clients = []
        for _ in range(CLIENTS):
            client = stack.enter_context(socket.socket())
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
            client.settimeout(5)
            client.connect(("127.0.0.1", port))
            client.sendall(asked)
            clients.append(client)

        def read() -> None:
            while not over.wait(1):
                for client in clients:
                    client.recv(1)

        thread = threading.Thread(target=read)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
