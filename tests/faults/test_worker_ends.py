"""Worker processes that are killed or stopped while they send a mail."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from crossroads.mail.kinds import MailKind
from tests.support.databases import opened
from tests.support.mail_server import MailServer
from tests.support.paths import ROOT
from tests.support.queue import let_time_pass, messages, queue
from tests.support.workers import BASE_URL, make_worker

FLASK = shutil.which("flask", path=str(Path(sys.executable).parent)) or "flask"


@pytest.fixture
def engine(sqlite_url: str) -> Iterator[Engine]:
    with opened(sqlite_url) as engine:
        yield engine


@pytest.fixture
def start(instance: Path, sqlite_url: str) -> Iterator[Callable[[str], Any]]:
    """Starts real worker processes on a migrated database, and ends them after the test."""
    processes: list[subprocess.Popen[bytes]] = []

    def start(smtp_url: str) -> subprocess.Popen[bytes]:
        environment = {
            **os.environ,
            "INSTANCE": str(instance),
            "DATABASE_URL": sqlite_url,
            "SMTP_URL": smtp_url,
            "BASE_URL": BASE_URL,
        }
        process = subprocess.Popen([FLASK, "worker"], cwd=ROOT, env=environment)
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.wait()


@pytest.mark.parametrize(
    ("stage", "copies"),
    [("mail", 1), ("data", 2)],
    ids=["between commit and send", "while sending"],
)
def test_killed_worker_loses_no_mail_and_repeats_at_most_one(
    start: Callable[[str], Any], engine: Engine, server: MailServer, stage: str, copies: int
) -> None:
    server.stalled_at = stage
    queue(engine, MailKind.CONFIRM, "first", "second", "third")
    worker = start(server.url)
    assert server.reached.wait(60)
    worker.send_signal(signal.SIGKILL)
    worker.wait()
    server.stalled_at = ""
    # Its lease has not expired: another worker leaves that message, and sends the rest.
    assert make_worker(engine, server.url).deliver_due().sent == 2
    let_time_pass(engine)
    assert make_worker(engine, server.url).deliver_due().sent == 1
    received = Counter(mail.recipient for mail in server.mails)
    assert received == {
        "first@example.com": copies,
        "second@example.com": 1,
        "third@example.com": 1,
    }
    ids = {mail.message["Message-ID"] for mail in server.mails}
    assert len(ids) == 3


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stopped_worker_finishes_only_the_mail_it_is_sending(
    start: Callable[[str], Any], engine: Engine, server: MailServer, number: signal.Signals
) -> None:
    def tell_to_stop() -> None:
        worker.send_signal(number)
        time.sleep(0.3)

    server.while_taking = tell_to_stop
    queue(engine, MailKind.CONFIRM, "first", "second")
    worker = start(server.url)
    assert worker.wait(60) == 0
    assert [message.state for message in messages(engine)] == ["sent", "due"]
