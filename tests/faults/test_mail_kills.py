"""Kill workers at random moments, many times, and count the mail. Run: pytest tests/faults"""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session

from crossroads.mail.kinds import MailKind
from crossroads.notifications import announcements
from models import Announcement, Message, now, writing
from tests.support.desk_visits import lead
from tests.support.mail_server import MailServer
from tests.support.queued_mail import queue_mail

ROOT = Path(__file__).resolve().parents[2]
ASKED = 200
READERS = 100
KILLS = 15


@pytest.fixture
def server() -> Iterator[MailServer]:
    # A slow server: most kills then interrupt a worker that is sending a mail.
    server = MailServer(while_taking=lambda: time.sleep(random.uniform(0, 0.05))).start()
    yield server
    server.stop()


def test_every_mail_arrives_although_workers_are_killed(
    instance: Path, database_url: str, engine: Engine, server: MailServer
) -> None:
    with Session(engine) as session:
        writing(session)
        for number in range(ASKED):
            person = lead(f"person{number}@example.com")
            session.add(person)
            queue_mail(session, MailKind.CONFIRM, person)
        at = now() - timedelta(days=1)
        session.add_all(
            lead(f"reader{number}@example.com", state="confirmed", confirmed_at=at)
            for number in range(READERS)
        )
        announcement = Announcement(subject="News", body="Hello.", rate=READERS * 20)
        session.add(announcement)
        session.flush()
        announcements.queue(session, announcement, now())
        session.commit()

    def owed() -> int:
        with Session(engine) as session:
            due = select(func.count()).select_from(Message).where(Message.state == "due")
            ahead = select(func.count()).where(Announcement.next_at.is_not(None))
            return (session.scalar(due) or 0) + (session.scalar(ahead) or 0)

    environment = {
        **os.environ,
        "INSTANCE": str(instance),
        "DATABASE_URL": database_url,
        "SMTP_URL": server.url,
        "BASE_URL": "http://localhost",
    }
    flask = shutil.which("flask", path=str(Path(sys.executable).parent)) or "flask"

    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen([flask, "worker"], cwd=ROOT, env=environment)

    workers = [start(), start()]
    kills = 0
    try:
        for _ in range(KILLS):
            before = len(server.mails)
            deadline = time.monotonic() + 60
            while owed() and len(server.mails) == before and time.monotonic() < deadline:
                time.sleep(0.01)
            time.sleep(random.uniform(0, 0.3))
            if not owed():
                break
            victim = workers.pop(0)
            victim.send_signal(signal.SIGKILL)
            victim.wait()
            kills += 1
            workers.append(start())
        deadline = time.monotonic() + 120  # a lease is 5 minutes
        while owed() and time.monotonic() < deadline:
            time.sleep(0.1)
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
        engine.dispose()
    received = Counter(mail.recipient for mail in server.mails)
    assert set(received) == {
        *(f"person{number}@example.com" for number in range(ASKED)),
        *(f"reader{number}@example.com" for number in range(READERS)),
    }
    # The next worker takes over the killed one's mail at once: only that mail may arrive twice. If
    # workers took the mail of living workers, there would be more.
    assert sum(received.values()) - ASKED - READERS <= kills
    assert len({mail.message["Message-ID"] for mail in server.mails}) == ASKED + READERS
    assert kills > 0
