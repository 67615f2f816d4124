"""A full disk, and a log that is not read: pages are served, and nothing acknowledged is lost."""

import json
import os
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from tests.faults.web_server import FLASK
from tests.faults.workers_server import Server, eventually, running
from tests.support.paths import ROOT
from tests.support.ports import free_port

SIZE = "24m"  # the database, its log, counters and keys take a third of it
PAGES = ("/", "/compare", "/courses/ai-pm-bootcamp")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small disk for the test. Needs root, as in CI."""
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "none", folder], check=True)
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def fill(disk: Path) -> Path:
    """Use every free block of a disk."""
    file = disk / "filler"
    with file.open("wb", buffering=0) as opened, suppress(OSError):
        while True:
            opened.write(b"x" * 4096)
    return file


def sign_up(server: Server, name: str) -> int:
    return server.ask("/signup", {"email": f"{name}@example.com", "consent": "yes"})


def stored(disk: Path) -> set[str]:
    with closing(sqlite3.connect(disk / "crossroads.db")) as connection:
        return {row[0].partition("@")[0] for row in connection.execute("SELECT email FROM lead")}


def test_full_disk_stops_only_writes_and_only_while_it_is_full(disk: Path) -> None:
    acknowledged = set()
    with running(disk) as server:
        for number in range(5):
            assert sign_up(server, f"before{number}") == 200
            acknowledged.add(f"before{number}")
        filler = fill(disk)
        for number in range(40):
            assert [server.ask(path) for path in PAGES] == [200] * len(PAGES)
            status = sign_up(server, f"full{number}")
            assert status in (200, 503)
            if status == 200:
                acknowledged.add(f"full{number}")
        # Workers that start on a full disk count in memory, and serve pages.
        for worker in server.workers():
            os.kill(worker, 9)
        eventually(lambda: len(server.workers()) == 2)
        eventually(server.answers)
        for _ in range(20):
            assert [server.ask(path) for path in PAGES] == [200] * len(PAGES)
            assert server.ask("/metrics") == 200
        assert sign_up(server, "still-full") == 503
        filler.unlink()
        eventually(lambda: sign_up(server, "after") == 200)
        acknowledged.add("after")
        assert server.process.poll() is None
        said = (disk / "said.txt").read_text(errors="replace")
        assert "Traceback" not in said
    assert acknowledged <= stored(disk)


def test_unread_log_pipe_stops_no_request(tmp_path: Path) -> None:
    instance = tmp_path / "instance"
    instance.mkdir()
    port = free_port()
    environment = {
        **os.environ,
        "INSTANCE": str(instance),
        "PORT": str(port),
        "SIGNUP_LIMIT": "100000/minute",
    }
    subprocess.run([FLASK, "setup"], cwd=ROOT, env=environment, check=True, capture_output=True)
    process = subprocess.Popen(
        [FLASK, "serve"], cwd=ROOT, env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE
    )
    server = Server(process, port)
    try:
        eventually(server.answers)
        # A pipe holds 64 KB: about 400 lines.
        assert [server.ask("/signup") for _ in range(1500)] == [200] * 1500
        assert process.stderr
        os.set_blocking(process.stderr.fileno(), False)
        said = drain(process.stderr.fileno())
        for _ in range(20):
            assert server.ask("/signup") == 200
        said += drain(process.stderr.fileno())
        lines = said.decode().splitlines()
        dropped = [json.loads(line) for line in lines if "log lines dropped" in line]
        assert sum(one["count"] for one in dropped) > 500
        assert all("route=/signup" in line or "{" in line or "starting" in line for line in lines)
    finally:
        process.terminate()
        process.communicate()


def drain(pipe: int) -> bytes:
    """Return everything that is in a pipe."""
    time.sleep(0.5)
    parts = []
    with suppress(BlockingIOError):
        while part := os.read(pipe, 65536):
            parts.append(part)
    return b"".join(parts)
