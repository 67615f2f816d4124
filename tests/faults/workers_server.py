"""A web server with two workers that a test may kill."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlencode

from tests.faults.web_server import FLASK
from tests.support.paths import ROOT
from tests.support.ports import free_port


class Server:
    """`flask serve` with two workers, whose processes a test can list."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self.process = process
        self.port = port

    def workers(self) -> list[int]:
        listed = subprocess.run(
            ["ps", "-o", "pid=", "--ppid", str(self.process.pid)],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        return [int(word) for word in listed.stdout.split()]

    def ask(self, path: str, form: dict[str, str] | None = None) -> int:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            kind = {"Content-Type": "application/x-www-form-urlencoded"} if form else {}
            connection.request("POST" if form else "GET", path, urlencode(form or {}), kind)
            return connection.getresponse().status
        finally:
            connection.close()

    def answers(self) -> bool:
        try:
            return self.ask("/healthz") == 200
        except OSError:
            return False


def eventually(true: Callable[[], object], seconds: float = 30) -> None:
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.05)


@contextmanager
def running(instance: Path, **settings: str) -> Iterator[Server]:
    port = free_port()
    given = {"INSTANCE": str(instance), "PORT": str(port), "WORKERS": "2", **settings}
    environment = {**os.environ, "SIGNUP_LIMIT": "100000/minute", **given}
    subprocess.run([FLASK, "setup"], cwd=ROOT, env=environment, check=True, capture_output=True)
    with (instance / "said.txt").open("wb") as said:
        process = subprocess.Popen(
            [FLASK, "serve"], cwd=ROOT, env=environment, stdout=said, stderr=said,
            start_new_session=True,
        )  # fmt: skip
    server = Server(process, port)
    try:
        eventually(server.answers)
        yield server
    finally:
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(process.pid, number)
                process.wait(10)
            except (ProcessLookupError, subprocess.TimeoutExpired):
                continue
