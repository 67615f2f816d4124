"""The demo data of a year: plausible, reproducible, and complete on both databases."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import Engine, func, inspect, select
from sqlalchemy.orm import Session

from crossroads.content import load
from crossroads.leads import consent
from crossroads.mail import addresses
from crossroads.ops import demo
from crossroads.orders import ledger
from models import ConsentEvent, Enrollment, Lead, Order, db, now
from models.lead import LeadState
from tests.support.databases import opened
from tests.support.paths import ROOT
from tests.support.people import SUPPRESSION_KEY
from tests.support.production import PRODUCTION

CONTENT = load(ROOT / "site" / "content")


def fill(engine: Engine, leads: int, seed: int = 1, **given: Any) -> dict[str, int]:
    with engine.begin() as connection:
        return demo.fill(
            connection, CONTENT, leads=leads, seed=seed, suppression_key=SUPPRESSION_KEY, **given
        )


def people(engine: Engine) -> list[tuple[Any, ...]]:
    with Session(engine) as session:
        columns = (Lead.email, Lead.name, Lead.confirm_token, Lead.utm_source, Lead.created_at)
        return [tuple(row) for row in session.execute(select(*columns).order_by(Lead.id))]


def rules(engine: Engine) -> set[str | None]:
    """Return the names of all indexes, keys and constraints."""
    found = inspect(engine)
    kinds = (found.get_indexes, found.get_unique_constraints, found.get_foreign_keys)
    names = {found.get_pk_constraint(table)["name"] for table in found.get_table_names()}
    for table in found.get_table_names():
        names |= {one["name"] for kind in kinds for one in kind(table)}
    return names


def test_demo_rows_follow_the_rules_of_the_site(engine: Engine) -> None:
    before = rules(engine)
    made = fill(engine, 1500)
    assert rules(engine) == before
    with Session(engine) as session:
        leads = session.scalars(select(Lead)).all()
        assert len(leads) == made["lead"] == 1500
        states = Counter(lead.state for lead in leads)
        assert (
            states[LeadState.CONFIRMED] > states[LeadState.UNSUBSCRIBED] > 50
            and states[LeadState.PENDING] > 10
        )
        assert len({lead.name for lead in leads}) > 700
        assert all(lead.created_at <= now() for lead in leads)
        for lead in leads[::20]:
            assert addresses.parse(lead.email, SUPPRESSION_KEY).hash == lead.address_hash
            assert consent.state_of(consent.events_of(session, lead.id)) == lead.state
            assert (lead.confirmed_at is not None) == (
                lead.state in (LeadState.CONFIRMED, LeadState.UNSUBSCRIBED)
            )
        events = session.scalar(select(func.count()).select_from(ConsentEvent))
        assert events == made["consent_event"] > 1500


def test_demo_orders_match_their_ledger_and_leave_free_seats(engine: Engine) -> None:
    made = fill(engine, 3000)
    with Session(engine) as session:
        orders = session.scalars(select(Order)).all()
        assert len(orders) == made["order"] > 30
        for order in orders:
            found = ledger.balance_of(session, order)
            assert (order.state, order.seats_kept) == (found.state, found.seats)
        kept = Counter[str]()
        for order in orders:
            kept[order.cohort] += order.seats_kept
        assert sum(kept.values()) == session.scalar(select(func.count()).select_from(Enrollment))
        for course in CONTENT.courses:
            assert all(kept[cohort.code] < cohort.seats for cohort in course.cohorts)


def test_same_seed_makes_the_same_people_on_both_databases(
    sqlite_url: str, postgresql_url: str
) -> None:
    with opened(sqlite_url) as one, opened(postgresql_url) as other:
        fill(one, 300)
        fill(other, 300)
        assert people(one) == people(other)
        fill(one, 100)  # adds other people, not the same ones again
        assert len({email for email, *_ in people(one)}) == 400


def test_sign_up_works_after_a_fill(engine: Engine) -> None:
    fill(engine, 50)
    with Session(engine) as session:
        lead = Lead(
            email="a@b.example", email_key="a@b.example", address_hash="", confirm_until=now()
        )
        session.add(lead)
        session.commit()
        assert lead.id == 51


def test_interrupted_fill_leaves_no_rows(engine: Engine) -> None:
    def stop(_done: int) -> None:
        raise KeyboardInterrupt

    before = rules(engine)
    with pytest.raises(KeyboardInterrupt):
        fill(engine, 50, progress=stop)
    assert people(engine) == []
    assert rules(engine) == before


def test_command_reports_what_it_added(app: Flask) -> None:
    result = app.test_cli_runner().invoke(args=["demo", "fill", "--leads", "120"])
    assert result.exit_code == 0, result.output
    assert result.stderr.startswith("120 leads, ")


def test_fill_leaves_an_empty_write_ahead_log(app: Flask) -> None:
    app.test_cli_runner().invoke(args=["demo", "fill", "--leads", "120"])
    with app.app_context():
        log = Path(f"{db.engine.url.database}-wal")
    assert not log.exists() or log.stat().st_size == 0


def test_command_refuses_to_run_in_production(make_app: Any) -> None:
    app: Flask = make_app(**PRODUCTION)
    result = app.test_cli_runner().invoke(args=["demo", "fill"])
    assert result.exit_code == 1
    assert "development" in result.stderr
    with app.app_context():
        assert people(db.engine) == []
