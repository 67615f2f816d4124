"""Recovery after an outage: waiting mail is sent at once, and leases of dead workers end."""

import os
import subprocess
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import time_machine
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from crossroads.database import leases
from crossroads.database.presence import Presence
from crossroads.fulfillment import webhook_events
from crossroads.mail import outages, outbox
from crossroads.mail.kinds import MailKind
from crossroads.worker import delivery
from crossroads.worker.delivery import Delivery
from models import Announcement, Lead, Message, Reconciliation, StripeEvent, now, writing
from models.announcement import AnnouncementState
from tests.support.databases import opened, plans
from tests.support.desk_visits import lead
from tests.support.mail_server import MailServer
from tests.support.queued_mail import queue_mail
from tests.support.turns import another_turn
from tests.support.workers import make_worker

MINUTE = timedelta(minutes=1)


@pytest.fixture
def server() -> Iterator[MailServer]:
    server = MailServer().start()
    yield server
    server.stop()


def queue_confirmation(engine: Engine, *people: str) -> None:
    with Session(engine) as session:
        writing(session)
        for name in people:
            person = lead(f"{name}@example.com")
            session.add(person)
            queue_mail(session, MailKind.CONFIRM, person)
        session.commit()


def messages(engine: Engine) -> list[Message]:
    with Session(engine, expire_on_commit=False) as session:
        return list(session.scalars(select(Message).order_by(Message.id)))


@pytest.mark.parametrize("outage", [timedelta(minutes=10), timedelta(hours=3)])
def test_all_mail_arrives_within_two_minutes_after_the_server_is_back(
    engine: Engine, server: MailServer, monkeypatch: pytest.MonkeyPatch, outage: timedelta
) -> None:
    # Both clocks must travel: the worker measures its pauses with time.monotonic.
    monkeypatch.setattr(time, "monotonic", time.time)
    delivering = make_worker(engine, server.url)
    server.stop()
    began = now()
    step = outage / 18
    with time_machine.travel(began, tick=False) as clock:
        for number in range(18):  # a new mail at every third step
            if number % 3 == 0:
                queue_confirmation(engine, f"person{number}")
            delivering.deliver_due()
            clock.shift(step)
        assert {one.state for one in messages(engine)} == {"due"}
        assert max(one.due_at for one in messages(engine)) > now() + 2 * MINUTE
        server.start(port=server.port)
        for _ in range(12):
            delivering.deliver_due()
            clock.shift(timedelta(seconds=10))
    assert {one.state for one in messages(engine)} == {"sent"}
    assert len(server.mails) == 6
    assert all(one.awaits_server_since is None for one in messages(engine))


def test_single_mail_survives_an_outage(
    engine: Engine, server: MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "monotonic", time.time)
    queue_confirmation(engine, "maria")
    delivering = make_worker(engine, server.url)
    server.stop()
    with time_machine.travel(now(), tick=False) as clock:
        for _ in range(30):
            delivering.deliver_due()
            clock.shift(2 * MINUTE)
        since = messages(engine)[0].awaits_server_since
        assert since is not None
        assert now() - since >= 59 * MINUTE, "since it was first seen to be away"
        server.start(port=server.port)
        delivering.deliver_due()
    assert [one.state for one in messages(engine)] == ["sent"]


@pytest.mark.parametrize("stage", ["connection", "mail"])
def test_attempts_are_not_used_up_by_a_three_day_outage(
    engine: Engine, server: MailServer, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    monkeypatch.setattr(time, "monotonic", time.time)
    delivering = make_worker(engine, server.url)
    queue_confirmation(engine, *(f"person{number}" for number in range(5)))
    if stage == "connection":
        server.stop()
    else:
        server.replies["mail"] = ["reset", "421 4.3.2 closing", "450 4.3.2 busy"] * 1000
    with time_machine.travel(now(), tick=False) as clock:
        for _ in range(3 * 8):
            delivering.deliver_due()
            clock.shift(timedelta(hours=3))
        assert {(one.state, one.attempts) for one in messages(engine)} == {("due", 0)}
        if stage == "connection":
            server.start(port=server.port)
        server.replies.clear()
        # The mail still has all its attempts, the next after half a minute.
        server.replies["rcpt"] = ["450 4.7.1 greylisted"]
        clock.shift(MINUTE)
        delivering.deliver_due()
        clock.shift(MINUTE)
        delivering.deliver_due()
    assert {one.state for one in messages(engine)} == {"sent"}


@pytest.mark.parametrize("away", [True, False])
def test_mail_is_given_up_five_days_after_its_first_failed_attempt(
    engine: Engine, server: MailServer, monkeypatch: pytest.MonkeyPatch, away: bool
) -> None:
    """This holds for any last error; when staff send it again, it has five more days."""
    monkeypatch.setattr(time, "monotonic", time.time)
    server.replies["mail"] = ["421 4.3.2 come later"] * 10_000
    delivering = make_worker(engine, server.url)
    with time_machine.travel(now(), tick=False) as clock:
        queue_confirmation(engine, "maria")
        for _ in range(3):
            delivering.deliver_due()
            clock.shift(timedelta(days=1, hours=15))
        delivering.deliver_due()
        assert [one.state for one in messages(engine)] == ["due"]
        clock.shift(timedelta(hours=4))
        if not away:
            server.replies.clear()
            server.replies["rcpt"] = ["450 4.7.1 greylisted"]
        assert delivering.deliver_due() == Delivery(dead=1)
        (message,) = messages(engine)
        assert (message.state, message.attempts <= 2) == ("dead", True)
        assert ("421" in message.error) is away
        with Session(engine) as session:
            writing(session)
            assert outbox.send_again(session) == 1
            session.commit()
        server.replies["rcpt"] = ["450 4.7.1 greylisted"]
        assert delivering.deliver_due() == Delivery(postponed=1)


def test_mail_that_failed_for_its_receiver_is_not_brought_forward(
    engine: Engine, server: MailServer
) -> None:
    queue_confirmation(engine, "greylisted", "full")
    delivering = make_worker(engine, server.url)
    server.replies["rcpt"] = ["450 4.7.1 greylisted", "452 4.2.2 mailbox full"]
    assert delivering.deliver_due() == Delivery(postponed=2)
    waiting = [one.due_at for one in messages(engine)]
    queue_confirmation(engine, "other")
    assert delivering.deliver_due() == Delivery(sent=1)
    assert [one.due_at for one in messages(engine)][:2] == waiting


def test_attempts_that_failed_because_of_the_server_are_not_counted(
    engine: Engine, server: MailServer
) -> None:
    """A server that accepts every other mail does not use up the attempts of the rest."""
    queue_confirmation(engine, "maria")
    for number in range(outbox.TRIES + 2):
        server.replies["mail"] = ["421 4.3.2 too many", "250 OK"]
        delivering = make_worker(engine, server.url)
        assert delivering.deliver_due().postponed == 1, number
        queue_confirmation(engine, f"other{number}")
        server.replies["mail"] = ["250 OK", "421 4.3.2 too many"]
        delivering = make_worker(engine, server.url)
        delivered = delivering.deliver_due()
        assert (delivered.sent, delivered.postponed) == (1, 1), number
        (first, *_) = messages(engine)
        assert first.state == "due"
        assert first.attempts <= 2


def test_mail_of_a_paused_announcement_is_no_probe(engine: Engine, server: MailServer) -> None:
    queue_confirmation(engine, "maria")
    with Session(engine) as session:
        writing(session)
        paused = Announcement(
            subject="News", body="Hello.", rate=60, state=AnnouncementState.PAUSED
        )
        session.add(paused)
        session.flush()
        message = session.scalars(select(Message)).one()
        message.announcement_id = paused.id
        message.due_at, message.awaits_server_since = now() + 60 * MINUTE, now()
        session.commit()
    assert make_worker(engine, server.url).deliver_due() == Delivery()


def test_mail_is_brought_forward_in_batches_from_an_index(engine: Engine) -> None:
    with Session(engine) as session:
        writing(session)
        person = lead()
        session.add(person)
        session.flush()
        at = now()
        for number in range(5):
            queue_mail(session, MailKind.CONFIRM, person, due_at=at + (number + 1) * MINUTE)
        for message in session.scalars(select(Message)):
            message.awaits_server_since = at
        session.commit()
        writing(session)
        assert outages.bring_forward(session, at, 2) == 2
        due = [one.due_at <= at for one in session.scalars(select(Message).order_by(Message.id))]
        assert due == [True, True, False, False, False]
        session.commit()
        if engine.dialect.name == "sqlite":
            (looked, *_) = plans(session, lambda: outages.awaits_server(session, at))
            assert "ix_message_awaits_server" in looked


@pytest.fixture
def other(tmp_path: Path) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """A process that holds the lock of another worker of this machine, and that owner's name.

    tests/faults kills whole workers.
    """
    owner = leases.new_owner()
    (tmp_path / "workers").mkdir()
    with another_turn(tmp_path / "workers" / f"{owner}.lock") as process:
        yield process, owner


def take_all(engine: Engine, owner: str) -> None:
    """Claim a message, a webhook event and the reconciliation for this owner."""
    queue_confirmation(engine, "maria")
    with Session(engine) as session:
        writing(session)
        session.add(StripeEvent(id="evt_1", kind="charge.refunded", object_id="ch_1"))
        session.add(Reconciliation(id=1, owner=owner, lease_until=now() + MINUTE))
        session.flush()
        assert outbox.claim(session, owner, now())
        assert webhook_events.claim(session, owner, now())
        session.commit()


def in_hand(engine: Engine) -> list[str | None]:
    with Session(engine) as session:
        kinds: list[Any] = [Message, StripeEvent, Reconciliation]
        return [session.scalars(select(kind.owner)).one() for kind in kinds]


def test_leases_of_a_killed_worker_are_taken_over_at_once(
    engine: Engine, server: MailServer, tmp_path: Path, other: tuple["subprocess.Popen[str]", str]
) -> None:
    process, owner = other
    take_all(engine, owner)
    alive = Presence(tmp_path / "workers")
    delivering = make_worker(engine, server.url, presence=alive)
    assert delivering.deliver_due() == Delivery()
    assert in_hand(engine) == [owner] * 3, "it is alive, and keeps what it has"
    process.kill()
    process.wait()
    assert delivering.deliver_due() == Delivery(sent=1)
    assert in_hand(engine) == [None] * 3
    (message,) = messages(engine)
    assert message.attempts == 2, "the try that killed it counts"
    assert [path.name for path in (tmp_path / "workers").iterdir()] == [f"{alive.owner}.lock"]
    alive.close()
    assert list((tmp_path / "workers").iterdir()) == []


def test_leases_of_another_machine_or_folder_are_respected(
    engine: Engine, server: MailServer, tmp_path: Path
) -> None:
    alive = Presence(tmp_path / "workers")
    elsewhere = f"elsewhere-1-{os.urandom(4).hex()}"
    (tmp_path / "workers" / f"{elsewhere}.lock").touch()
    for owner in (elsewhere, leases.new_owner()):  # the second has no lock file in this folder
        with Session(engine) as session:
            writing(session)
            for table in (Message, StripeEvent, Reconciliation, Lead):
                session.query(table).delete()
            session.commit()
        take_all(engine, owner)
        assert make_worker(engine, server.url, presence=alive).deliver_due() == Delivery()
        assert in_hand(engine) == [owner] * 3
    alive.close()


def test_worker_delivers_without_its_lock_file(
    sqlite_url: str, server: MailServer, tmp_path: Path
) -> None:
    (tmp_path / "workers").write_text("in the way")
    alive = Presence(tmp_path / "workers")
    with opened(sqlite_url) as engine:
        queue_confirmation(engine, "maria")
        assert make_worker(engine, server.url, presence=alive).deliver_due().sent == 1
    alive.close()


def test_probe_runs_at_most_once_a_minute(
    sqlite_url: str, server: MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "monotonic", time.time)
    asked: list[str] = []
    server.replies["mail"] = ["421 4.3.2 come later"] * 1000
    with opened(sqlite_url) as engine, time_machine.travel(now(), tick=False) as clock:
        queue_confirmation(engine, "maria")
        delivering = make_worker(engine, server.url)
        for _ in range(60):
            delivering.deliver_due()
            clock.shift(10)
        asked = server.replies["mail"]
    assert 9 <= 1000 - len(asked) <= 600 / delivery.PROBE_SECONDS + 4
