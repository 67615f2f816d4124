"""Late background work is reported by readiness, metrics, admin area and doctor."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy.orm import Session

from crossroads.fulfillment import lateness
from crossroads.mail.kinds import MailKind
from models import (
    Announcement,
    CheckoutRequest,
    Message,
    Reconciliation,
    StripeEvent,
    db,
    now,
    writing,
)
from models.announcement import AnnouncementState
from models.message import MessageState
from tests.support.databases import plans
from tests.support.desk_visits import desk, lead
from tests.support.order_states import bring
from tests.support.queued_mail import queue_mail

SOON = timedelta(seconds=5)
Lag = Callable[[Session, timedelta], None]


@pytest.fixture
def migrated(make_app: Any, database_url: str) -> Flask:
    app: Flask = make_app(database_url=database_url)
    return app


def mail(session: Session, age: timedelta, **given: Any) -> None:
    person = lead()
    session.add(person)
    session.flush()
    queue_mail(session, MailKind.CONFIRM, person, due_at=now() - age)
    session.flush()


def mail_server(session: Session, age: timedelta) -> None:
    mail(session, -timedelta(hours=1))
    message = session.query(Message).order_by(Message.id.desc()).first()
    assert message is not None
    message.awaits_server_since = now() - age


def event(session: Session, age: timedelta) -> None:
    session.add(
        StripeEvent(id="evt_1", kind="charge.refunded", object_id="ch_1", due_at=now() - age)
    )


def checkout(session: Session, age: timedelta) -> None:
    session.add(Reconciliation(id=1, read_until=now()))
    order = bring(session)
    session.add(CheckoutRequest(order_id=order.id, due_at=now() - age))


def sweep(session: Session, age: timedelta) -> None:
    session.add(Reconciliation(id=1, read_until=now() - age))


def first_sweep(session: Session, age: timedelta) -> None:
    bring(session).created_at = now() - age


LAGS: dict[str, tuple[lateness.Work, Lag]] = {
    "mail": ("mail", mail),
    "mail server": ("mail server", mail_server),
    "events": ("events", event),
    "checkouts": ("checkouts", checkout),
    "sweeps": ("sweeps", sweep),
    "the first sweep": ("sweeps", first_sweep),
}


def lag(app: Flask, how: Lag, age: timedelta) -> None:
    with app.app_context(), Session(db.engine) as session:
        writing(session)
        how(session, age)
        session.commit()


def gauges(app: Flask) -> dict[str, float]:
    lines = app.test_client().get("/metrics").text.splitlines()
    found = [line.rpartition(" ") for line in lines if line.startswith("crossroads_late_seconds{")]
    return {name.split('"')[1]: float(number) for name, _, number in found}


@pytest.mark.parametrize("name", LAGS)
def test_late_work_is_reported_everywhere_with_its_age(migrated: Flask, name: str) -> None:
    work, how = LAGS[name]
    lag(migrated, how, lateness.LIMITS[work] + timedelta(minutes=3, seconds=5))
    minutes = f"{lateness.LIMITS[work] // timedelta(minutes=1) + 3} minutes"
    ready = migrated.test_client().get("/readyz")
    assert ready.status_code == 200, "it serves"
    first, said, *rest = ready.text.splitlines()
    assert (first, rest) == ("degraded", [])
    assert minutes in said
    assert said in desk(migrated, "marketer").get("/admin/").text.replace("&#39;", "'")
    result = migrated.test_cli_runner().invoke(args=["doctor"])
    assert f"wrong: {said}" in result.output
    assert result.exit_code == 1
    seconds = gauges(migrated)
    assert set(seconds) == set(lateness.LIMITS)
    limit = lateness.LIMITS[work].total_seconds()
    assert {one for one, late in seconds.items() if late > limit} == {work}
    assert limit + 185 <= seconds[work] < limit + 300


@pytest.mark.parametrize("name", LAGS)
def test_timely_work_is_not_reported(migrated: Flask, name: str) -> None:
    work, how = LAGS[name]
    lag(migrated, how, lateness.LIMITS[work] - timedelta(seconds=40))
    assert migrated.test_client().get("/readyz").text == "ok\n"
    assert "flask worker runs" not in desk(migrated).get("/admin/").text
    result = migrated.test_cli_runner().invoke(args=["doctor"])
    assert "fine: mail, events and sweeps are in time" in result.output


def test_scheduled_held_and_paused_work_is_not_late(migrated: Flask) -> None:
    with migrated.app_context(), Session(db.engine) as session:
        writing(session)
        hour = timedelta(hours=1)
        mail(session, -hour)
        for state in ("held", "sent", "dead"):
            mail(session, hour)
            message = session.query(Message).order_by(Message.id.desc()).first()
            assert message is not None
            message.state, message.awaits_server_since = MessageState(state), now() - hour
        paused = Announcement(
            subject="News", body="Hello.", rate=60, state=AnnouncementState.PAUSED
        )
        session.add(paused)
        mail(session, hour)
        message = session.query(Message).order_by(Message.id.desc()).first()
        assert message is not None
        message.announcement_id = paused.id
        session.add(
            StripeEvent(id="evt_1", kind="charge.refunded", object_id="a", due_at=now() + hour)
        )
        session.add(
            StripeEvent(
                id="evt_2",
                kind="charge.refunded",
                object_id="a",
                due_at=now() - hour,
                done_at=now(),
            )
        )
        session.commit()
    assert migrated.test_client().get("/readyz").text == "ok\n"
    assert set(gauges(migrated).values()) == {0.0}


def test_metrics_without_a_database_still_have_counters(make_app: Any) -> None:
    app = make_app(database_url="postgresql://nobody@127.0.0.1:1/nothing")
    answer = app.test_client().get("/metrics")
    assert answer.status_code == 200
    assert "crossroads_requests" in answer.text
    assert "crossroads_late_seconds" not in answer.text


def test_each_age_is_read_from_an_index(make_app: Any, sqlite_url: str) -> None:
    app = make_app(database_url=sqlite_url)
    with app.app_context(), Session(db.engine) as session:
        looked = plans(session, lambda: lateness.ages(session, now()))
    one_row = ("reconciliation", "SCAN announcement")
    assert [
        plan for plan in looked if "INDEX" not in plan and not any(name in plan for name in one_row)
    ] == []
    assert not any("TEMP B-TREE" in plan for plan in looked)


@pytest.mark.parametrize(
    ("age", "words"),
    [
        (timedelta(seconds=59), "less than a minute"),
        (timedelta(minutes=1), "1 minute"),
        (timedelta(minutes=119), "119 minutes"),
        (timedelta(hours=2), "2 hours"),
        (timedelta(hours=47), "47 hours"),
        (timedelta(days=2), "2 days"),
    ],
)
def test_age_is_formatted_in_words(age: timedelta, words: str) -> None:
    assert lateness.in_words(age) == words
