"""Delivery: every message of the outbox arrives despite failures on the way."""

import os
import re
import shutil
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session
from structlog.testing import capture_logs

from crossroads.mail import outbox, smtp
from crossroads.mail.kinds import MailKind
from crossroads.notifications import announcements
from crossroads.worker import loop
from crossroads.worker.delivery import Delivery
from models import Announcement, Base, Lead, Suppression, User, now, writing
from models.user import Role
from tests.support.databases import opened
from tests.support.mail_server import Mail, MailServer
from tests.support.paths import ROOT
from tests.support.queue import let_time_pass, messages, queue
from tests.support.queued_mail import queue_mail
from tests.support.workers import BASE_URL, WORDS, make_worker

FLASK = shutil.which("flask", path=str(Path(sys.executable).parent)) or "flask"


@pytest.fixture
def engine(sqlite_url: str) -> Iterator[Engine]:
    with opened(sqlite_url) as engine:
        yield engine


@pytest.fixture(params=["sqlite", "postgresql"])
def either_engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    with opened(request.getfixturevalue(f"{request.param}_url")) as engine:
        yield engine


def until(true: Callable[[], object], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def test_links_in_the_mails_confirm_and_unsubscribe_a_lead(
    app: Flask, engine: Engine, instance: Path
) -> None:
    client, worker = app.test_client(), make_worker(engine, instance=instance)

    def newest_mail() -> Mail:
        file = max((instance / "mail").iterdir(), key=lambda path: path.stat().st_mtime_ns)
        return Mail("", "", file.read_bytes())

    page = "/compare/ai-product-manager-vs-traditional-product-manager"
    client.post(page, data={"email": "maria@example.com", "name": "Maria", "consent": "yes"})
    assert worker.deliver_due().sent == 1
    request = newest_mail()
    assert request.message["Subject"] == "Confirm your email"
    title = WORDS.comparisons[0].title
    assert title in request.part("html")
    assert WORDS.site.signup.consent in request.part("plain")
    (link,) = set(re.findall(r"http://localhost(/confirm/\S+)", request.part("plain")))
    assert client.get(link).status_code == 200
    assert worker.deliver_due().sent == 0
    assert client.post(link).status_code == 200
    assert worker.deliver_due().sent == 1
    welcome = newest_mail()
    assert welcome.message["Subject"] == "You are subscribed"
    assert "Maria" in welcome.part("plain")
    assert f"{BASE_URL}{page}" in welcome.part("html")
    one_click = welcome.message["List-Unsubscribe"].strip("<>").removeprefix(BASE_URL)
    answer = client.post(one_click, data={"List-Unsubscribe": "One-Click"})
    assert answer.status_code == 200
    with Session(engine) as session:
        assert session.scalars(select(Lead)).one().state == "unsubscribed"


def test_name_like_a_link_is_left_out_of_the_mail(engine: Engine, server: MailServer) -> None:
    names = {"a": "Win at evil.example", "b": "https://evil.example", "c": "Martin Luther King Jr."}
    for key, name in names.items():
        queue(engine, MailKind.WELCOME, key, state="confirmed", name=name)
    make_worker(engine, server.url).deliver_due()
    said = {mail.recipient[0]: mail.part("plain") + mail.part("html") for mail in server.mails}
    assert "evil" not in said["a"] + said["b"]
    assert "Hello Martin Luther King Jr., your email address" in said["c"]


def test_confirmation_mail_contains_nothing_typed_in_the_form(
    engine: Engine, server: MailServer
) -> None:
    queue(engine, MailKind.CONFIRM, "maria", name="Buy at evil", page="/compare/evil-offer")
    make_worker(engine, server.url).deliver_due()
    assert b"evil" not in server.mails[0].data


def test_mail_to_an_unsubscribed_lead_is_held(engine: Engine, server: MailServer) -> None:
    queue(engine, MailKind.WELCOME, "maria", state="unsubscribed")
    assert make_worker(engine, server.url).deliver_due().held == 1
    assert server.mails == []
    assert [message.state for message in messages(engine)] == ["held"]


def test_temporarily_refused_mail_is_retried_with_the_same_id(
    engine: Engine, server: MailServer
) -> None:
    queue(engine, MailKind.CONFIRM, "maria")
    worker = make_worker(engine, server.url)
    server.replies["rcpt"] = ["451 4.7.1 maria@example.com greylisted"]
    assert worker.deliver_due().postponed == 1
    (message,) = messages(engine)
    assert "451" in message.error
    assert "maria@" not in message.error
    assert worker.deliver_due().sent == 0
    let_time_pass(engine)
    assert worker.deliver_due().sent == 1
    (mail,) = server.mails
    assert mail.message["Message-ID"] == f"<{message.reference}@localhost>"


def test_mail_without_a_final_reply_is_sent_again(engine: Engine, server: MailServer) -> None:
    queue(engine, MailKind.CONFIRM, "maria")
    worker = make_worker(engine, server.url)
    taken: list[Mail] = []
    server.while_taking = lambda: taken.append(Mail("", "", b""))
    server.replies["data"] = ["421 4.3.2 shutting down"]
    assert worker.deliver_due().postponed == 1
    let_time_pass(engine)
    assert worker.deliver_due().sent == 1
    assert len(taken) == 2


def test_each_mail_arrives_once_after_many_kinds_of_failure(
    engine: Engine, server: MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue(engine, MailKind.CONFIRM, "first", "second")
    worker = make_worker(engine, server.url)

    def all_fail(because: str) -> None:
        assert worker.deliver_due() == Delivery(postponed=2)
        assert because in messages(engine)[0].error
        let_time_pass(engine)

    server.stalled_at = "rcpt"
    with monkeypatch.context() as hurried:
        hurried.setattr(smtp, "DEADLINE", 0.3)
        all_fail("closed")
    server.stalled_at = ""
    for stage in ("mail", "rcpt", "data"):
        server.replies[stage] = ["reset"] * 2
        all_fail("closed")
    server.replies["rcpt"] = ["421 4.3.2 shutting down", "450 4.2.0 busy"]
    all_fail("421")
    server.stop()
    all_fail("refused")
    server.start(port=server.port)
    assert worker.deliver_due() == Delivery(sent=2)
    received = Counter(mail.message["Message-ID"] for mail in server.mails)
    assert received == {f"<{one.reference}@localhost>": 1 for one in messages(engine)}


def test_permanently_refused_mail_is_not_retried(engine: Engine, server: MailServer) -> None:
    queue(engine, MailKind.CONFIRM, "maria")
    worker = make_worker(engine, server.url)
    server.replies["rcpt"] = ["550 5.1.1 no such user"]
    assert worker.deliver_due().dead == 1
    let_time_pass(engine)
    assert worker.deliver_due().sent == 0
    assert [(message.state, message.attempts) for message in messages(engine)] == [("dead", 1)]


@pytest.mark.parametrize(
    ("stage", "reply", "fate"),
    [
        ("rcpt", "550 5.1.1 no such user", "held"),
        ("rcpt", "554 5.7.1 you are on a list of spammers", "sent"),
        ("data", "554 5.6.0 no such mail here", "sent"),
    ],
)
def test_bounced_address_is_suppressed_but_a_refused_mail_is_not(
    either_engine: Engine, server: MailServer, stage: str, reply: str, fate: str
) -> None:
    confirmed: dict[str, Any] = {"state": "confirmed", "confirmed_at": now()}
    queue(either_engine, MailKind.WELCOME, "maria", **confirmed)
    server.replies[stage] = [reply]
    worker = make_worker(either_engine, server.url)
    assert worker.deliver_due().dead == 1
    with Session(either_engine) as session:
        writing(session)
        person = session.scalars(select(Lead)).one()
        for kind in (MailKind.ALREADY, MailKind.WELCOME):
            queue_mail(session, kind, person)
        draft = Announcement(subject="News", body="Hello.", rate=60)
        meant = announcements.count(session, draft)
        session.commit()
    assert worker.deliver_due() == Delivery(**{fate: 2})
    assert meant == (fate == "sent")


def test_bounced_test_mail_to_staff_suppresses_no_address(
    engine: Engine, server: MailServer
) -> None:
    with Session(engine) as session:
        writing(session)
        staff = User(
            email="me@example.com", email_key="me@example.com", role=Role.OWNER, password_hash=""
        )
        draft = Announcement(subject="News", body="Hello.", rate=60)
        session.add_all([staff, draft])
        session.flush()
        outbox.announce_to_staff(session, draft, staff)
        session.commit()
        server.replies["rcpt"] = ["550 5.1.1 no such user"]
        assert make_worker(engine, server.url).deliver_due().dead == 1
        assert session.scalars(select(Suppression)).all() == []


def test_broken_template_does_not_stop_other_mail(
    engine: Engine, server: MailServer, tmp_path: Path
) -> None:
    templates = tmp_path / "templates"
    shutil.copytree(ROOT / "templates/email", templates / "email")
    broken = templates / "email/confirm/subject.txt"
    whole = broken.read_text()
    broken.write_text("{{ no_such_word }}")
    queue(engine, MailKind.CONFIRM, "first")
    queue(engine, MailKind.WELCOME, "second", state="confirmed")
    worker = make_worker(engine, server.url, templates=templates)
    delivery = worker.deliver_due()
    assert (delivery.sent, delivery.postponed) == (1, 1)
    assert "no_such_word" in messages(engine)[0].error
    broken.write_text(whole)
    os.utime(broken, (1, 1))
    let_time_pass(engine)
    assert worker.deliver_due().sent == 1


def test_no_transaction_is_open_while_a_mail_is_sent(engine: Engine, server: MailServer) -> None:
    queue(engine, MailKind.CONFIRM, "maria")
    written: list[int] = []

    def write_meanwhile() -> None:
        queue(engine, MailKind.WELCOME, f"meanwhile{len(written)}")
        written.append(1)

    server.while_taking = write_meanwhile
    assert make_worker(engine, server.url).deliver_due().sent == 1
    assert written == [1]


def test_many_workers_send_each_message_once(either_engine: Engine, server: MailServer) -> None:
    people = [f"person{number}" for number in range(40)]
    queue(either_engine, MailKind.CONFIRM, *people)
    workers = [make_worker(either_engine, server.url) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        deliveries = list(pool.map(lambda worker: worker.deliver_due(), workers))
    assert sum(delivery.sent for delivery in deliveries) == 40
    received = Counter(mail.recipient for mail in server.mails)
    assert received == {f"{person}@example.com": 1 for person in people}
    assert {message.state for message in messages(either_engine)} == {"sent"}


def test_worker_that_lost_its_lease_does_not_change_the_message(
    engine: Engine, server: MailServer
) -> None:
    queue(engine, MailKind.CONFIRM, "maria")

    def other_takes_over() -> None:
        server.while_taking = lambda: None
        let_time_pass(engine)
        with Session(engine) as session:
            writing(session)
            outbox.claim(session, "other", now())
            session.commit()

    server.while_taking = other_takes_over
    assert make_worker(engine, server.url).deliver_due().lost == 1
    (message,) = messages(engine)
    assert (message.state, message.owner) == ("due", "other")


def test_no_log_line_holds_a_whole_address(engine: Engine, server: MailServer) -> None:
    queue(engine, MailKind.CONFIRM, "maria", "second")
    server.replies["rcpt"] = ["550 no such user maria@example.com"]
    with capture_logs() as lines:
        make_worker(engine, server.url).deliver_due()
    assert [line["outcome"] for line in lines] == ["dead", "sent"]
    assert lines[0]["receiver"] == "m***@example.com"
    assert "maria@" not in str(lines)


def test_run_survives_an_unusable_database_and_stops_on_request(
    empty_sqlite_url: str, server: MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "WAIT", 0.05)
    with opened(empty_sqlite_url) as engine:
        worker = make_worker(engine, server.url)
        running = Thread(target=worker.run)
        with capture_logs() as lines:
            running.start()
            until(lambda: any(line["event"] == "worker in trouble" for line in lines))
        Base.metadata.create_all(engine)
        queue(engine, MailKind.CONFIRM, "maria")
        until(lambda: server.mails)
        worker.stop()
        running.join(30)
        assert not running.is_alive()


def test_stop_ends_the_pause_after_an_error(
    empty_sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("WAIT", "LONGEST_REST"):
        monkeypatch.setattr(loop, name, 3600)
    with opened(empty_sqlite_url) as engine, capture_logs() as lines:
        worker = make_worker(engine)
        running = Thread(target=worker.run, daemon=True)
        running.start()
        until(lambda: any(line.get("rest_seconds") == 3600 for line in lines))
        worker.stop()
        running.join(30)
        assert not running.is_alive()
