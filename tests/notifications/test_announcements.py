"""Announcements: selection of receivers, rate, pause, progress, and one mail per receiver."""

import re
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from sqlalchemy import Engine, event, func, select, text, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from crossroads.content import markdown
from crossroads.mail import eligibility, outbox
from crossroads.mail.kinds import MailKind
from crossroads.notifications import announcements
from crossroads.notifications.announcements import Progress
from models import Announcement, Lead, Message, Waiting, now, writing
from models.announcement import AnnouncementState
from models.lead import LeadState
from models.message import MessageState
from tests.support.databases import opened
from tests.support.desk_visits import lead
from tests.support.mail_server import MailServer
from tests.support.queued_mail import queue_mail
from tests.support.sandbox_server import eventually
from tests.support.workers import make_worker

PAGE = "/compare/one"
MINUTE = timedelta(minutes=1)


@pytest.fixture
def session(engine: Engine) -> Iterator[Session]:
    with Session(engine) as session:
        writing(session)
        yield session


def confirmed(name: str, **given: Any) -> Lead:
    at = now() - timedelta(days=1)
    return lead(f"{name}@example.com", **{"state": "confirmed", "confirmed_at": at, **given})


def draft(session: Session, **given: Any) -> Announcement:
    values = {"subject": "News", "body": "Hello.", "rate": 60, **given}
    announcement = Announcement(**values)
    session.add(announcement)
    session.flush()
    return announcement


def queued(session: Session, at: datetime, **given: Any) -> Announcement:
    announcement = draft(session, **given)
    assert announcements.queue(session, announcement, at)
    return announcement


def owed(session: Session) -> list[str]:
    """Return the names of the receivers in the outbox, in order of due time."""
    rows = session.scalars(select(Message.recipient).order_by(Message.due_at, Message.id))
    return [recipient.partition("@")[0] for recipient in rows]


def test_announcement_goes_to_confirmed_leads_only(session: Session) -> None:
    session.add_all(
        confirmed(state, state=state) for state in ("pending", "confirmed", "unsubscribed", "held")
    )
    announcement = draft(session)
    assert announcements.count(session, announcement) == 1
    assert announcements.queue(session, announcement, now())
    assert announcements.queue_next_minute(session, announcement.id, now()) == 1
    assert owed(session) == ["confirmed"]


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ({"page": PAGE}, ["page", "both"]),
        ({"campaign": "spring"}, ["campaign", "both"]),
        ({"page": PAGE, "campaign": "spring"}, ["both"]),
        ({"page": "/nowhere"}, []),
    ],
)
def test_page_and_campaign_filter_the_receivers(
    session: Session, given: dict[str, str], names: list[str]
) -> None:
    session.add_all(
        [
            confirmed("neither"),
            confirmed("page", page=PAGE),
            confirmed("campaign", utm_campaign="spring"),
            confirmed("both", page=PAGE, utm_campaign="spring"),
        ]
    )
    announcement = queued(session, now(), **given)
    assert announcement.receivers == len(names)
    announcements.queue_next_minute(session, announcement.id, now())
    assert owed(session) == names


def test_waiting_list_announcement_goes_to_waiting_people_only(session: Session) -> None:
    """Confirming updates does not select the waiting list, and waiting does not need updates."""
    at = now() - timedelta(hours=1)
    people = {name: confirmed(name) for name in ("updates", "asked", "left", "other", "waits")}
    people["waits"].state, people["waits"].confirmed_at = LeadState.WAITING, None
    session.add_all(people.values())
    session.flush()
    places: tuple[tuple[str, str, dict[str, Any]], ...] = (
        ("waits", "2027-01", {"since": at}),
        ("asked", "2027-01", {}),
        ("left", "2027-01", {"since": at, "left_at": at}),
        ("other", "2027-04", {"since": at}),
    )
    for name, cohort, times in places:
        place = Waiting(
            lead_id=people[name].id, course="ai", cohort=cohort, confirm_until=at, **times
        )
        session.add(place)
    announcement = queued(session, now(), waiting="ai/2027-01")
    assert announcement.receivers == 1
    announcements.queue_next_minute(session, announcement.id, now())
    assert owed(session) == ["waits"]
    message = outbox.claim(session, "worker", now() + MINUTE)
    assert message is not None
    assert message.kind == "places"
    assert eligibility.admit(session, message, "worker") is people["waits"]
    session.execute(update(Waiting).values(left_at=now()))
    session.expire_all()
    assert eligibility.admit(session, message, "worker") is None


def test_rate_is_kept_and_messages_are_queued_a_minute_ahead(session: Session) -> None:
    session.add_all(confirmed(f"p{number:03}") for number in range(40))
    at = now()
    announcement = queued(session, at, rate=10)
    for minute, there in enumerate((10, 20, 30, 40, 40)):
        moment = at + minute * MINUTE
        assert list(announcements.due_for_queueing(session, moment)) == [announcement.id]
        announcements.queue_next_minute(session, announcement.id, moment)
        assert announcements.queue_next_minute(session, announcement.id, moment) == 0
        assert len(owed(session)) == there
        if minute < 3:
            assert list(announcements.due_for_queueing(session, moment + MINUTE / 3)) == []
    assert list(announcements.due_for_queueing(session, at + 5 * MINUTE)) == []
    times = session.scalars(select(Message.due_at).order_by(Message.due_at)).all()
    assert {later - earlier for earlier, later in pairwise(times)} == {timedelta(seconds=6)}
    assert times[0] == at
    assert owed(session) == [f"p{number:03}" for number in range(40)]


def test_pause_of_the_worker_is_not_followed_by_a_burst(session: Session) -> None:
    session.add_all(confirmed(f"p{number}") for number in range(40))
    at = now()
    announcement = queued(session, at, rate=10)
    announcements.queue_next_minute(session, announcement.id, at)
    assert announcements.queue_next_minute(session, announcement.id, at + timedelta(hours=5)) == 10


def test_queued_announcement_gets_no_further_receivers(session: Session) -> None:
    session.add_all([confirmed("there"), confirmed("late", state="pending", confirmed_at=None)])
    at = now()
    announcement = queued(session, at)
    session.execute(
        update(Lead)
        .where(Lead.state == "pending")
        .values(state="confirmed", confirmed_at=at + timedelta(seconds=1))
    )
    session.add(confirmed("new", confirmed_at=at - MINUTE))
    announcements.queue_next_minute(session, announcement.id, at)
    assert owed(session) == ["there"]
    assert not announcements.queue(session, announcement, now())


def test_pause_stops_the_announcement_at_once_but_no_other_mail(session: Session) -> None:
    people = [confirmed(f"p{number}") for number in range(3)]
    session.add_all(people)
    at = now()
    announcement = queued(session, at, rate=6000)
    announcements.queue_next_minute(session, announcement.id, at)
    later = at + MINUTE
    first = outbox.claim(session, "worker", later)
    assert first is not None
    assert first.recipient == people[0].email
    outbox.mark_sent(session, first, "worker")
    announcements.pause(announcement)
    queue_mail(session, MailKind.WELCOME, people[2])
    session.flush()
    other = outbox.claim(session, "worker", later)
    assert other is not None
    assert other.kind == "welcome"
    assert outbox.claim(session, "worker", later) is None
    assert list(announcements.due_for_queueing(session, later)) == []
    assert announcements.queue_next_minute(session, announcement.id, later) == 0
    announcements.resume(session, announcement, at)
    session.flush()
    second = outbox.claim(session, "worker", later)
    assert second is not None
    assert second.recipient == people[1].email


def test_resumed_announcement_keeps_its_rate(session: Session) -> None:
    session.add_all(confirmed(f"p{number:02}") for number in range(20))
    at = now()
    announcement = queued(session, at, rate=6)
    announcements.queue_next_minute(session, announcement.id, at)
    first = outbox.claim(session, "worker", at)
    assert first is not None
    outbox.retry_later(session, first, "worker", "451 later")  # its time to retry stays
    announcements.pause(announcement)
    later = at + timedelta(hours=3)
    announcements.resume(session, announcement, later)
    session.flush()
    session.expire_all()
    announcements.queue_next_minute(session, announcement.id, later)
    times = session.scalars(select(Message.due_at).order_by(Message.due_at)).all()
    assert times[0] < at + MINUTE
    assert list(times[1:]) == [later + turn * MINUTE / 6 for turn in range(6)]
    assert owed(session) == [f"p{number:02}" for number in range(7)]


def test_progress_counts_every_receiver_once(session: Session) -> None:
    session.add_all(confirmed(f"p{number}") for number in range(7))
    at = now()
    announcement = queued(session, at, rate=6)
    assert announcements.progress(session, announcement) == Progress(
        7, 0, 7, 0, 0, 0, state=AnnouncementState.SENDING
    )
    announcements.queue_next_minute(session, announcement.id, at)
    messages = session.scalars(select(Message).order_by(Message.id)).all()
    for message, state in zip(messages, ("sent", "sent", "held", "dead", "due"), strict=False):
        message.state = MessageState(state)
    messages[0].unsubscribed_at = at
    session.flush()
    progress = announcements.progress(session, announcement)
    assert progress == Progress(
        7, sent=2, waiting=3, held=1, failed=1, unsubscribed=1, state=AnnouncementState.SENDING
    )
    assert progress.state == AnnouncementState.SENDING


def test_receiver_who_unsubscribed_before_queueing_counts_as_held(session: Session) -> None:
    people = [confirmed(f"p{number}") for number in range(3)]
    session.add_all(people)
    announcement = queued(session, now())
    people[1].state = LeadState.UNSUBSCRIBED
    session.flush()
    assert announcements.progress(session, announcement) == Progress(
        3, 0, 2, 1, 0, 0, state=AnnouncementState.SENDING
    )
    announcements.queue_next_minute(session, announcement.id, now())
    assert announcements.progress(session, announcement) == Progress(
        3, 0, 2, 1, 0, 0, state=AnnouncementState.SENDING
    )


def test_database_refuses_a_second_message_to_the_same_receiver(session: Session) -> None:
    person = confirmed("maria")
    session.add(person)
    announcement = draft(session)
    for _ in range(2):
        outbox.announce(session, announcement.id, person, None, now())
    with pytest.raises(IntegrityError):
        session.flush()


def test_concurrent_workers_queue_each_receiver_exactly_once(engine: Engine) -> None:
    at = now()
    with Session(engine) as session:
        writing(session)
        session.add_all(confirmed(f"p{number}") for number in range(200))
        number = queued(session, at, rate=20).id
        session.commit()

    def feed(worker: int) -> None:
        for minute in range(20):
            with Session(engine) as session:
                writing(session)
                announcements.queue_next_minute(session, number, at + minute * MINUTE)
                if (minute + worker) % 5 == 0:
                    session.rollback()  # as if killed before its commit
                else:
                    session.commit()

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(feed, range(3)))
    with Session(engine) as session:
        assert Counter(owed(session)) == {f"p{number}": 1 for number in range(200)}


def test_statements_to_queue_depend_on_the_rate_not_on_receivers(sqlite_url: str) -> None:
    with opened(sqlite_url) as engine:
        queue_hundred_thousand(engine)


@contextmanager
def counted(engine: Engine) -> Iterator[list[str]]:
    """Yield the list of statements that are sent to the database within the block."""
    sent: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        sent.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    yield sent
    event.remove(engine, "before_cursor_execute", note)


def queue_hundred_thousand(engine: Engine) -> None:
    columns = [column.name for column in Lead.__table__.columns if column.name != "id"]
    unique = ("email", "email_key", "confirm_token", "unsubscribe_token")
    values = ", ".join(f"'p' || n || {name}" if name in unique else name for name in columns)
    with Session(engine) as session:
        writing(session)
        session.add(confirmed("template"))
        session.flush()
        session.execute(
            text(
                "WITH RECURSIVE numbers(n) AS (SELECT 2 UNION ALL SELECT n + 1 FROM numbers "
                f"WHERE n < 100000) INSERT INTO lead ({', '.join(columns)}) "
                f"SELECT {values} FROM numbers, lead"
            )
        )
        with counted(engine) as statements:
            announcement = queued(session, now(), rate=600)
            session.flush()
            announcements.queue_next_minute(session, announcement.id, now())
            session.commit()
        assert len(statements) < 600 + 20  # depends on the rate, not on the number of receivers
        assert announcement.receivers == 100_000
        assert session.scalar(select(func.count(Message.id))) == 600


def test_sent_announcement_has_an_unsubscribe_link_of_its_own(
    engine: Engine, server: MailServer
) -> None:
    with Session(engine) as session:
        writing(session)
        session.add_all([confirmed("maria"), confirmed("gone")])
        queued(session, now(), rate=6000, body="Look at [the course](/courses/x).")
        session.commit()
    worker = make_worker(engine, server.url)
    worker._feed()
    with Session(engine) as session:
        writing(session)
        gone = Lead.email == "gone@example.com"
        session.execute(
            update(Lead).where(gone).values(state="unsubscribed", unsubscribed_at=now())
        )
        session.commit()
    eventually(lambda: worker.deliver_due().held)
    (mail,) = server.mails
    with Session(engine) as session:
        query = select(Message).where(Message.recipient == "maria@example.com")
        message = session.scalars(query).one()
        token = session.scalars(select(Lead.unsubscribe_token).where(~gone)).one()
    link = f"http://localhost/unsubscribe/{token}?mail={message.reference}"
    assert mail.message["List-Unsubscribe"] == f"<{link}>"
    assert mail.message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert mail.message["Subject"] == "News"
    assert link in mail.part("plain")
    assert "the course (http://localhost/courses/x)" in mail.part("plain")
    assert 'href="http://localhost/courses/x"' in mail.part("html")


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("# One\n\nTwo *three*\nfour", "One\n\nTwo three\nfour"),
        ("- one\n- two\n\n1. a\n2. b", "- one\n- two\n\n1. a\n2. b"),
        ("- one\n\n  more", "- one\n  more"),
        ("> said\n\n---", "    said\n\n* * *"),
        ("[here](https://x.example)", "here (https://x.example)"),
        ("[https://x.example](https://x.example)", "https://x.example"),
        ("[us](mailto:a@b.example) [p](/p)", "us (a@b.example) p (http://o/p)"),
        ("`code` <b>raw</b> &amp;", "code <b>raw</b> &"),
        ("```\na\nb\n```", "    a\n    b"),
        ("| a | b |\n|---|---|\n| 1 | 2 |", "a | b\n1 | 2"),
        ("![a picture](https://x.example/i.png)", "a picture (https://x.example/i.png)"),
        ("[![words](https://x.example/i.png)](https://x.example)", "words (https://x.example)"),
        ("![](https://x.example/i.png)", "https://x.example/i.png"),
        ("See https://x.example/a, or a@b.example.", "See https://x.example/a, or a@b.example."),
        ("[call us](tel:+15550100)", "call us (+15550100)"),
        ("See www.x.com, (x.com/a).", "See https://www.x.com, (https://x.com/a)."),
        ("README.md, e.g. Node.js/x", "README.md, e.g. Node.js/x"),
    ],
)
def test_markdown_becomes_plain_text(source: str, words: str) -> None:
    assert markdown.to_text(source, "http://o") == words


def test_markdown_becomes_safe_html() -> None:
    html = markdown.to_html(
        "<script>x</script> ![p](https://x.example/i.png) [a](javascript:x) [b](/b) [c](//c.c)",
        "http://o",
    )
    assert "<script" not in html and "<img" not in html and 'href="javascript' not in html
    assert 'href="http://o/b"' in html
    assert 'href="http://o//c.c"' not in html


def test_plain_urls_become_links_and_image_texts_are_kept() -> None:
    html = markdown.to_html(
        "See https://x.example/kurs, a@example.com, `https://code.example` and README.md.\n\n"
        "[call](tel:+15550100) ![Our team in Bern](https://x.example/team.png)"
    )
    assert '<a href="https://x.example/kurs"' in html
    assert '<a href="mailto:a@example.com"' in html
    assert '<a href="tel:+15550100"' in html
    assert re.search(r'<a href="https://x.example/team.png"[^>]*>Our team in Bern</a>', html)
    assert html.count("<a ") == 4 and "<img" not in html


@pytest.mark.parametrize(
    ("source", "address"),
    [
        ("See www.example.com.", "https://www.example.com"),
        ("WWW.Example.com", "https://WWW.Example.com"),
        ("(www.example.com/a?b=c)", "https://www.example.com/a?b=c"),
        ("at **example.com/x**, too", "https://example.com/x"),
        ("Example.co.uk/x", "https://Example.co.uk/x"),
        ("courses.example.academy:8080/x", "https://courses.example.academy:8080/x"),
        ("www.example.app", "https://www.example.app"),
        ("http://www.example.com", "http://www.example.com"),
    ],
)
def test_url_without_a_scheme_becomes_a_link(source: str, address: str) -> None:
    assert re.findall(r'href="([^"]*)"', markdown.to_html(source)) == [address]
    assert address in markdown.to_text(source)


@pytest.mark.parametrize(
    "source",
    [
        "e.g. this, i.e. that, e.g./i.e., and/or, 1.2/3, 24/7, a.m./p.m.",
        "Node.js, Node.js/Express, Vue.js, ASP.NET, ASP.NET/Core, Socket.io",
        "README.md, README.md/docs, setup.py/tests, run.sh/x, www., www.x",
        "example.com, a.b, U.S./U.K., Mr.Smith, end.Next, v2.0/x, `www.example.com`",
        "10.0.0.1/x, localhost/x, ../x, site/x.html",
    ],
)
def test_words_with_dots_do_not_become_links(source: str) -> None:
    assert "<a " not in markdown.to_html(source)
    assert markdown.to_text(source) == source.replace("`", "")
