"""The outbox: one worker at a time claims a message, and eligibility decides whether it is sent."""

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from sqlalchemy import Engine, select, update
from sqlalchemy.orm import Session

from crossroads.mail import eligibility, outbox
from crossroads.mail.kinds import MailKind
from models import Lead, Message, now, writing
from models.message import MessageState
from tests.support.databases import opened, plans
from tests.support.order_states import bring
from tests.support.people import hashed
from tests.support.queued_mail import queue_mail

LEASE = timedelta(minutes=5)


@pytest.fixture
def session(engine: Engine) -> Iterator[Session]:
    with Session(engine) as session:
        writing(session)
        yield session


def lead(session: Session, key: str = "maria", **values: Any) -> Lead:
    given: dict[str, Any] = {
        "email": f"{key}@example.com",
        "email_key": f"{key}@example.com",
        "address_hash": hashed(f"{key}@example.com"),
        "confirm_until": now() + timedelta(days=7),
    }
    lead = Lead(**(given | values))
    session.add(lead)
    return lead


def owed(session: Session, kind: MailKind = MailKind.CONFIRM, **values: Any) -> Message:
    """Queue one message for a new lead, and claim it."""
    queue_mail(session, kind, lead(session, **values))
    message = outbox.claim(session, "worker", now())
    assert message is not None
    return message


def stored(session: Session, message: Message) -> Message:
    session.expire_all()
    return session.get_one(Message, message.id)


def test_message_is_queued_only_when_the_caller_commits(engine: Engine) -> None:
    with Session(engine) as session:
        writing(session)
        queue_mail(session, MailKind.CONFIRM, lead(session))
        session.rollback()
        assert outbox.claim(session, "worker", now()) is None


def test_message_goes_to_the_address_as_typed(session: Session) -> None:
    message = owed(session, email="Maria@Example.com")
    assert (message.recipient, message.kind, message.state) == (
        "Maria@Example.com",
        "confirm",
        MessageState.DUE,
    )


def test_message_is_not_claimed_before_it_is_due(session: Session) -> None:
    tomorrow = now() + timedelta(days=1)
    queue_mail(session, MailKind.CONFIRM, lead(session), due_at=tomorrow)
    assert outbox.claim(session, "worker", now()) is None
    assert outbox.claim(session, "worker", tomorrow) is not None


def test_message_due_longest_is_claimed_first(session: Session) -> None:
    for minutes in (1, 3, 2):
        due_at = now() - timedelta(minutes=minutes)
        queue_mail(session, MailKind.CONFIRM, lead(session, f"m{minutes}"), due_at=due_at)
    taken = [outbox.claim(session, "worker", now()) for _ in range(3)]
    assert [message.recipient[:2] for message in taken if message] == ["m3", "m2", "m1"]


def test_claimed_message_is_reserved_until_its_lease_expires(session: Session) -> None:
    at = now()
    queue_mail(session, MailKind.CONFIRM, lead(session), due_at=at)
    first = outbox.claim(session, "first", at)
    assert first is not None
    assert first.attempts == 1
    assert outbox.claim(session, "second", at + LEASE - timedelta(seconds=1)) is None
    second = outbox.claim(session, "second", at + LEASE)
    assert second is not None
    assert (second.id, second.owner, second.attempts) == (first.id, "second", 2)


@pytest.mark.parametrize("verb", [outbox.mark_sent, outbox.retry_later, outbox.give_up])
def test_worker_that_lost_its_lease_changes_nothing(
    session: Session, verb: Callable[..., bool]
) -> None:
    message = owed(session)
    again = outbox.claim(session, "other", now() + LEASE)
    assert again is not None
    arguments = () if verb is outbox.mark_sent else ("an error",)
    assert verb(session, message, "worker", *arguments) is False
    after = stored(session, message)
    assert (after.state, after.owner, after.error) == (MessageState.DUE, "other", "")
    assert outbox.mark_sent(session, message, "other") is True


def test_sent_message_has_its_time_and_is_not_claimed_again(session: Session) -> None:
    message = owed(session)
    assert outbox.mark_sent(session, message, "worker") is True
    after = stored(session, message)
    assert (after.state, after.owner, after.lease_until) == (MessageState.SENT, None, None)
    assert after.sent_at is not None
    assert now() - after.sent_at < timedelta(minutes=1)
    assert outbox.claim(session, "worker", now() + timedelta(days=365)) is None


def test_pause_doubles_up_to_six_hours_and_twelfth_attempt_is_the_last(
    session: Session,
) -> None:
    message = owed(session)
    expected = [30, 60, 120, 240, 480, 960, 1920, 3840, 7680, 15360, 21600]
    for seconds in expected:
        assert outbox.retry_later(session, message, "worker", "451 try later") is True
        after = stored(session, message)
        wait = (after.due_at - now()).total_seconds()
        assert seconds - 5 < wait < seconds * 1.25 + 5
        assert after.error == "451 try later"
        taken = outbox.claim(session, "worker", after.due_at)
        assert taken is not None
        message = taken
    assert message.attempts == 12
    assert outbox.retry_later(session, message, "worker", "451 try later") is True
    assert stored(session, message).state == "dead"


def test_message_that_kills_every_worker_is_given_up(session: Session) -> None:
    at = now()
    message = owed(session)
    for _ in range(12):
        assert eligibility.admit(session, message, "worker") is not None
        at += LEASE + timedelta(seconds=1)
        taken = outbox.claim(session, "worker", at)
        assert taken is not None
        message = taken
    assert eligibility.admit(session, message, "worker") is None
    assert stored(session, message).state == "dead"


@pytest.mark.parametrize(
    ("kind", "state", "goes"),
    [
        (MailKind.CONFIRM, "pending", True),
        (MailKind.CONFIRM, "unsubscribed", True),
        (MailKind.CONFIRM, "confirmed", False),
        (MailKind.WELCOME, "pending", False),
        (MailKind.WELCOME, "unsubscribed", False),
        (MailKind.WELCOME, "confirmed", True),
        (MailKind.ALREADY, "pending", False),
        (MailKind.ALREADY, "unsubscribed", False),
        (MailKind.ALREADY, "confirmed", True),
    ],
)
def test_kind_is_admitted_only_in_the_lead_states_that_it_requires(
    session: Session, kind: MailKind, state: str, goes: bool
) -> None:
    message = owed(session, kind, state=state)
    admitted = eligibility.admit(session, message, "worker")
    assert (admitted is not None) is goes
    after = stored(session, message)
    assert after.state == (MessageState.DUE if goes else "held")
    assert bool(after.error) is not goes


@pytest.mark.parametrize("kind", [MailKind.CONFIRM, MailKind.WELCOME, MailKind.ALREADY])
def test_queued_message_is_held_after_its_receiver_unsubscribed(
    session: Session, kind: MailKind
) -> None:
    message = owed(session, kind)
    session.execute(update(Lead).values(state="unsubscribed", unsubscribed_at=now()))
    session.expire_all()
    assert eligibility.admit(session, message, "worker") is None
    assert stored(session, message).state == "held"


def test_unsubscribed_lead_that_signs_up_again_gets_a_confirmation(session: Session) -> None:
    left = now() - timedelta(days=1)
    message = owed(session, state="unsubscribed", unsubscribed_at=left)
    assert eligibility.admit(session, message, "worker") is not None


def test_message_to_an_erased_lead_is_held(session: Session) -> None:
    message = owed(session)
    session.execute(update(Message).values(lead_id=None))
    session.expire_all()
    assert eligibility.admit(session, message, "worker") is None
    assert stored(session, message).state == "held"


def test_rate_limit_counts_mails_per_address_in_the_last_hour(session: Session) -> None:
    maria, other = lead(session), lead(session, "other")
    session.flush()

    def ask(receiver: Lead) -> bool:
        return outbox.enqueue_rate_limited(session, MailKind.CONFIRM, receiver)

    assert [ask(maria) for _ in range(4)] == [True, True, True, False]
    assert ask(other)
    session.flush()
    first = session.scalars(select(Message).order_by(Message.id)).first()
    assert first is not None
    first.created_at = now() - timedelta(hours=1, seconds=1)
    assert [ask(maria) for _ in range(2)] == [True, False]


def test_backlog_after_an_outage_is_sent_within_the_hourly_limit(
    session: Session,
) -> None:
    maria, start = lead(session), now()
    for hours in range(5):
        queue_mail(session, MailKind.CONFIRM, maria, due_at=start - hours * outbox.HOUR)
    queue_mail(session, MailKind.CONFIRM, lead(session, "other"))
    outbox.enqueue_for_order(
        session, MailKind.RECEIPT, bring(session, "paid", email="maria@example.com")
    )
    passed = []
    while message := outbox.claim(session, "worker", now()):
        if eligibility.admit(session, message, "worker"):
            passed.append(message.recipient)
            if len(passed) != 2:  # the second one stays claimed
                outbox.mark_sent(session, message, "worker")
    counts = Counter(passed)
    assert counts["other@example.com"] == 1
    theirs = select(Message).where(Message.address_hash == maria.address_hash)
    session.expire_all()
    kinds = Counter((one.kind, one.state) for one in session.scalars(theirs))
    assert (kinds["confirm", MessageState.SENT], kinds["confirm", MessageState.DUE]) == (2, 3)
    assert kinds["receipt", MessageState.SENT] > 0
    waiting = session.scalars(
        select(Message).where(Message.state == MessageState.DUE, Message.attempts == 0)
    )
    limits = (start + outbox.HOUR, now() + outbox.HOUR)
    assert all(limits[0] <= one.due_at <= limits[1] for one in waiting)
    with time_machine.travel(now() + outbox.HOUR, tick=False):
        # The claimed one was never recorded as sent: its lease is over, and it is claimed again.
        assert len(list(iter(lambda: outbox.claim(session, "worker", now()), None))) == 3


def test_mail_about_an_order_is_neither_limited_nor_counted(session: Session) -> None:
    order = bring(session, "paid", email="maria@example.com")
    session.flush()
    for _ in range(5):
        outbox.enqueue_for_order(session, MailKind.RECEIPT, order)
    assert outbox.enqueue_rate_limited(session, MailKind.CONFIRM, lead(session))
    kinds = list(session.scalars(select(Message.kind)))
    assert kinds.count("receipt") == 6


def test_concurrent_workers_claim_different_messages(engine: Engine) -> None:
    with Session(engine) as session:
        writing(session)
        receiver = lead(session)
        for _ in range(60):
            queue_mail(session, MailKind.CONFIRM, receiver)
        session.commit()

    def claim_all(owner: str) -> list[int]:
        claimed: list[int] = []
        while True:
            with Session(engine, expire_on_commit=False) as session:
                writing(session)
                message = outbox.claim(session, owner, now())
                session.commit()
            if message is None:
                return claimed
            claimed.append(message.id)

    with ThreadPoolExecutor(4) as pool:
        claims = list(pool.map(claim_all, [f"worker {number}" for number in range(4)]))
    times = Counter(claimed for one in claims for claimed in one)
    assert len(times) == 60
    assert set(times.values()) == {1}


def test_claim_reads_only_the_index_of_due_mail(sqlite_url: str) -> None:
    # Only on SQLite: with so few rows PostgreSQL reads the table.
    with opened(sqlite_url) as engine, Session(engine) as session:
        found = plans(session, lambda: outbox.claim(session, "worker", now()))
    assert "ix_message_due" in found[-1]
