"""The real web server with one worker, as `flask serve` runs it, with its own data."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path

from tests.support.paths import ROOT
from tests.support.ports import free_port

FLASK = Path(sys.executable).parent / "flask"

HEAD = (
    b"POST /signup HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
    b"Content-Type: application/x-www-form-urlencoded\r\n"
)


@contextmanager
def serving(instance: Path, **settings: str) -> Iterator[int]:
    """Run the web server with one worker and these settings; yield its port."""
    port = free_port()
    environment = {
        **os.environ,
        "INSTANCE": str(instance),
        "PORT": str(port),
        "WORKERS": "1",
        "SIGNUP_LIMIT": "10000/minute",
        **{name.upper(): value for name, value in settings.items()},
    }
    subprocess.run([FLASK, "setup"], cwd=ROOT, env=environment, check=True, capture_output=True)
    with subprocess.Popen(
        [FLASK, "serve"], cwd=ROOT, env=environment, stderr=subprocess.DEVNULL
    ) as server:
        until = time.monotonic() + 30
        while not _is_up(port):
            assert time.monotonic() < until, "the server does not answer"
            time.sleep(0.1)
        try:
            yield port
        finally:
            server.terminate()


def send(
    port: int, head: bytes, body: bytes, *, client_address: str = "127.0.0.1"
) -> socket.socket:
    """Send a request, or its beginning, and return the connection."""
    client = socket.create_connection(
        ("127.0.0.1", port), timeout=30, source_address=(client_address, 0)
    )
    client.sendall(head + b"\r\n" + body)
    return client


def status_of(port: int, address: str) -> int:
    """Return the status of a path of the site."""
    connection = HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", address)
        return connection.getresponse().status
    finally:
        connection.close()


def _is_up(port: int) -> bool:
    try:
        return status_of(port, "/healthz") == 200
    except OSError:
        return False
