"""Retention: only leads that were never confirmed and former participants are deleted."""

from datetime import timedelta

import pytest
import time_machine
from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session

from crossroads.leads import lifecycle as leads
from crossroads.leads.waiting_list import confirm as confirm_place
from crossroads.leads.waiting_list import join
from crossroads.privacy import retention
from crossroads.worker.retention_job import RetentionJob
from models import ConsentEvent, Enrollment, Lead, Message, Waiting, now, writing
from tests.support.consent import PROOF, capture
from tests.support.order_states import bring
from tests.support.orders import COURSE, SMALL
from tests.support.participants import bought as seats_bought
from tests.support.participants import name as name_seat
from tests.support.people import address


def wait(session: Session, email: str) -> Waiting:
    asked = leads.Submission(
        address=address(email), name="", touch=leads.Touch(), wording="Tell me.", evidence=PROOF
    )
    join(session, [asked], course=COURSE, cohort=SMALL)
    session.flush()
    return session.scalars(select(Waiting).order_by(Waiting.id.desc())).all()[0]


def lead(session: Session, email: str) -> Lead:
    return session.scalars(select(Lead).where(Lead.email == email)).one()


def test_only_unconfirmed_leads_are_deleted_after_thirty_days(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "AT_ONCE", 2)
    with Session(engine) as session:
        writing(session)
        with time_machine.travel(now() - timedelta(days=31), tick=True):
            for email in ("pending@x.example", "pending2@x.example", "left@x.example"):
                capture(session, email)
            capture(session, "robot@x.example", suspect=True)
            capture(session, "again@x.example")
            capture(session, "confirmed@x.example")
            capture(session, "buyer@x.example")
            wait(session, "asked@x.example")
            waits = wait(session, "waits@x.example")
            leads.confirm(session, lead(session, "confirmed@x.example").confirm_token, PROOF)
            confirm_place(session, waits.token, PROOF)
            token = lead(session, "left@x.example").unsubscribe_token
            leads.unsubscribe(session, token, PROOF)
            bring(session, "expired", email="buyer@x.example")
        capture(session, "again@x.example")
        capture(session, "recent@x.example")
        session.commit()
    assert RetentionJob(engine, pending_days=30).purge() == 4
    with Session(engine) as session:
        left = {email.partition("@")[0] for email in session.scalars(select(Lead.email))}
        assert left == {"left", "again", "confirmed", "buyer", "waits", "recent"}
        for model in (ConsentEvent, Message, Waiting):
            orphans = select(func.count()).where(
                model.lead_id.is_not(None), model.lead_id.not_in(select(Lead.id))
            )
            assert session.scalar(orphans) == 0
    assert RetentionJob(engine, pending_days=30).purge() == 0


def test_replaced_participant_is_erased_and_current_one_is_kept(
    engine: Engine,
) -> None:
    with Session(engine) as session:
        writing(session)
        with time_machine.travel("2026-11-22T12:00:00+00:00", tick=True):
            capture(session, "zoe@example.com")
            order = seats_bought(session)
            gone = name_seat(session, order, 2)
            name_seat(session, order, 2, "zoe@example.com", turn=1)
        token = gone.token
        session.commit()
    with time_machine.travel("2026-12-20T12:00:00+00:00"):
        RetentionJob(engine, pending_days=30).purge()
    with Session(engine) as session:
        assert session.scalars(select(Enrollment).where(Enrollment.token == token)).one().email
    with time_machine.travel("2026-12-23T12:00:00+00:00"):
        assert (
            RetentionJob(engine, pending_days=30).purge() == 0
        )  # Zoë signed up too, but has a seat
    with Session(engine) as session:
        gone = session.scalars(select(Enrollment).where(Enrollment.token == token)).one()
        assert (gone.email, gone.name) == (None, "")
        assert gone.ended_at is not None
        emails = set(session.scalars(select(Enrollment.email)))
        assert emails == {"maria@example.com", "zoe@example.com", None}
        assert "ben@example.com" not in set(session.scalars(select(Message.recipient)))


def test_job_runs_once_an_hour_and_logs_no_address(
    engine: Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    keeper = RetentionJob(engine, pending_days=1)
    keeper.work()
    with Session(engine) as session, time_machine.travel(now() - timedelta(days=2), tick=True):
        writing(session)
        capture(session, "zebedee@x.example")
        session.commit()
    keeper.work()
    with Session(engine) as session:
        assert session.scalar(select(func.count(Lead.id))) == 1
    assert RetentionJob(engine, pending_days=1).purge() == 1
    said = capsys.readouterr()
    assert "zebedee" not in said.out + said.err
