"""Killed web workers, and a killed server: the site still serves, or frees its port."""

import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path

import pytest

from tests.faults.workers_server import Server, eventually, running

SECONDS = 15
KILL_EVERY = 0.5
CLIENTS = 8
FAILED_MOST = 0.05  # of all requests, while a worker is killed every half second


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


def test_only_requests_of_a_killed_worker_fail(server: Server) -> None:
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


def test_workers_killed_at_their_start_are_restarted(server: Server) -> None:
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


def test_workers_end_when_their_server_is_killed(server: Server) -> None:
    workers = server.workers()
    assert len(workers) == 2
    os.kill(server.process.pid, signal.SIGKILL)
    server.process.wait()
    eventually(lambda: not any(Path(f"/proc/{worker}").exists() for worker in workers), 10)
    with pytest.raises(OSError):
        server.ask("/healthz")
