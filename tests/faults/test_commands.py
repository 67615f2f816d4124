"""Commands in their own processes: exit codes, a full disk and other processes."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from multiprocessing import get_context
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from crossroads.middleware.rate_limits import SCHEME, CounterFile
from tests.support.commands import run
from tests.support.mailbox import put
from tests.support.paths import ROOT
from tests.support.ports import free_port


@pytest.mark.parametrize("command", [["content", "check"], ["doctor"]])
def test_each_content_mistake_is_one_line_and_stops_the_command(
    site_root: Path, instance: Path, command: list[str]
) -> None:
    shutil.copy(ROOT / "wsgi.py", site_root)
    folder = site_root / "site" / "content" / "courses"
    whole = (folder / "ai-pm-bootcamp.yaml").read_text()
    wrong = whole.replace("hours_per_week: 6", "hours_per_week: many").replace(
        "\ntitle:", "\nname:"
    )
    (folder / "ai-pm-bootcamp.yaml").write_text(wrong)
    ended = run(site_root, *command, instance=str(instance))
    assert ended.returncode == 1
    assert ended.stdout == ""
    lines = ended.stderr.splitlines()
    assert len(lines) == 3
    assert all(line.startswith("site/content/courses/ai-pm-bootcamp.yaml:") for line in lines)


def test_busy_port_is_reported_in_one_line_with_exit_code_1(instance: Path) -> None:
    with socket.create_server(("127.0.0.1", 0), reuse_port=True) as server:
        port = server.getsockname()[1]
        ended = run(ROOT, "serve", instance=str(instance), port=str(port))
    assert ended.returncode == 1
    assert (ended.stdout, ended.stderr) == (
        "",
        f"Error: port {port} is in use: stop what listens there, or set PORT to another\n",
    )


@pytest.mark.usefixtures("sqlite_url")
def test_export_to_a_full_disk_fails(instance: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        ended = run(ROOT, "leads", "export", "--output", "-", stdout=full, instance=str(instance))
    assert ended.returncode == 1
    assert ended.stderr == "Error: -: cannot be written: No space left on device\n"


def count_often(uri: str) -> int:
    storage = CounterFile(uri)
    return max(storage.incr("shared", 60) for _ in range(100))


def test_processes_share_rate_limit_counters(instance: Path) -> None:
    uri = f"{SCHEME}://{instance / 'limits.db'}"
    with get_context("spawn").Pool(2) as pool:
        highest = pool.map(count_often, [uri] * 2, chunksize=1)
    assert max(highest) == 200
    assert CounterFile(uri).get("shared") == 200


@pytest.fixture
def served(instance: Path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """The sandbox as its own process, and its URL."""
    port = free_port()
    flask = shutil.which("flask", path=str(Path(sys.executable).parent)) or "flask"
    environment = {**os.environ, "INSTANCE": str(instance), "SANDBOX_PORT": str(port)}
    process = subprocess.Popen([flask, "sandbox"], cwd=ROOT, env=environment)
    yield process, f"http://127.0.0.1:{port}"
    process.terminate()  # not kill: its child process must stop too
    process.wait(10)


def test_sandbox_serves_on_loopback_and_stops_on_sigterm(
    instance: Path, served: tuple[subprocess.Popen[bytes], str]
) -> None:
    process, address = served
    (instance / "mail").mkdir()
    put(instance / "mail", "one.eml")
    deadline = time.monotonic() + 60
    while True:
        try:
            with urlopen(f"{address}/mail/one.eml") as answer:
                assert b"maria@example.com" in answer.read()
            break
        except URLError:
            assert time.monotonic() < deadline
            time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0
