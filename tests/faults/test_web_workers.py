"""Web workers that are killed, and a server that is: the site serves on, or lets go of the port."""

import os
import random
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from urllib.parse import urlencode

import pytest

from tests.conftest import ROOT
from tests.faults.web_server import FLASK
from tests.support.ports import free_port

SECONDS = 15
KILL_EVERY = 0.5
CLIENTS = 8
FAILED_MOST = 0.05  # of the first tries, while a worker is killed every half second


class Server:
    """`flask serve` with two workers, in processes that can be looked at."""

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


@pytest.fixture
def server(instance: Path) -> Iterator[Server]:
    with running(instance) as found:
        yield found


def test_two_kills_in_a_row_do_not_end_the_server(server: Server) -> None:
    for _ in range(4):
        eventually(lambda: len(server.workers()) == 2)
        os.kill(server.workers()[0], signal.SIGKILL)
        time.sleep(0.3)
    eventually(lambda: len(server.workers()) == 2)
    assert server.process.poll() is None
    assert server.answers()


def test_only_what_a_killed_worker_has_in_hand_fails(server: Server) -> None:
    tries: Counter[str] = Counter()
    ended = threading.Event()

    def visit(number: int) -> None:
        for turn in range(10**9):
            if ended.is_set():
                return
            form = {"email": f"reader{number}-{turn}@example.com", "consent": "yes"}
            try:
                status = server.ask(*(("/signup", form) if turn % 2 else ("/compare",)))
                tries["answered" if status == 200 else f"status {status}"] += 1
            except (OSError, HTTPException):
                tries["failed"] += 1

    visitors = [threading.Thread(target=visit, args=(number,)) for number in range(CLIENTS)]
    for visitor in visitors:
        visitor.start()
    until = time.monotonic() + SECONDS
    kills = 0
    while time.monotonic() < until:
        time.sleep(KILL_EVERY)
        found = server.workers()
        if found:
            os.kill(random.choice(found), signal.SIGKILL)
            kills += 1
    ended.set()
    for visitor in visitors:
        visitor.join()
    assert kills > 0.8 * SECONDS / KILL_EVERY
    assert server.process.poll() is None
    assert set(tries) <= {"answered", "failed"}, tries
    assert tries["failed"] < FAILED_MOST * tries.total(), tries
    eventually(lambda: len(server.workers()) == 2)


def test_worker_that_cannot_start_is_tried_again_and_again(server: Server) -> None:
    until = time.monotonic() + 3
    while time.monotonic() < until:
        for worker in server.workers():
            try:
                os.kill(worker, signal.SIGKILL)
            except ProcessLookupError:
                continue
        time.sleep(0.01)
    assert server.process.poll() is None
    eventually(server.answers)


def test_workers_end_with_a_server_that_is_killed(server: Server) -> None:
    workers = server.workers()
    assert len(workers) == 2
    os.kill(server.process.pid, signal.SIGKILL)
    server.process.wait()
    eventually(lambda: not any(Path(f"/proc/{worker}").exists() for worker in workers), 10)
    with pytest.raises(OSError):
        server.ask("/healthz")
