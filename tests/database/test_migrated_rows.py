"""A migration gives older rows the values that they would have if stored today."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import MetaData, insert, select, text
from sqlalchemy.orm import Session

from crossroads import current
from crossroads.mail import addresses
from models import (
    ConsentEvent,
    Hold,
    Lead,
    LeadImport,
    Message,
    Order,
    OrderEvent,
    Site,
    Suppression,
    now,
    writing,
)
from models.base import table_of
from models.consent import ConsentKind
from models.lead import LeadState
from models.suppression import SuppressionReason
from tests.support.migrated import add_lead, engine_of, flask, leads
from tests.support.orders import COURSE, place


@pytest.fixture
def app(make_app: Any, empty_database_url: str) -> Flask:
    """The site on an empty database."""
    built: Flask = make_app(database_url=empty_database_url)
    return built


def test_migration_adds_address_hashes(app: Flask) -> None:
    engine = engine_of(app)
    flask(app, "db", "upgrade", "0005")
    asked, asked_again = (datetime(2026, 3, day, 12, tzinfo=UTC) for day in (1, 9))
    person = {"email": "Maria@example.com", "email_key": "maria@example.com", "name": "Maria"}
    told = {"kind": "given", "form": "signup", "wording": "Mail me.", "wording_hash": "0" * 64}
    mail = {"kind": "confirm", "recipient": "Maria@example.com", "state": "sent", "attempts": 1}
    rows: list[tuple[str, dict[str, Any]]] = [
        ("lead", {"id": 1, **person, "state": "pending", "confirm_until": asked,
                  "confirm_token": "a", "unsubscribe_token": "b", "created_at": asked}),
        ("consent_event", {"id": 1, "lead_id": 1, **told, "created_at": asked}),
        ("consent_event", {"id": 2, "lead_id": 1, **told, "created_at": asked_again}),
        ("order", {"id": 1, **person, "course": "c", "cohort": "d", "item": "i", "seats": 1,
                   "unit_amount": 1, "currency": "usd", "session_until": asked, "attempt": 1,
                   "request_key": "k", "token": "t", "created_at": asked}),
        ("message", {"id": 1, "lead_id": 1, **mail, "reference": "r", "due_at": asked,
                     "error": "", "created_at": asked}),
        ("message", {"id": 2, "order_id": 1, **mail, "reference": "s", "due_at": asked,
                     "error": "", "created_at": asked}),
        ("message", {"id": 3, **mail, "reference": "u", "due_at": asked, "error": "",
                     "created_at": asked}),
    ]  # fmt: skip
    before = MetaData()
    before.reflect(engine)
    with engine.begin() as connection:
        for table, values in rows:
            connection.execute(before.tables[table].insert(), values)
    flask(app, "db", "upgrade")
    key = current.of(app).settings.suppression_key
    maria = addresses.parse("Maria@example.com", key).hash
    with Session(engine) as session:
        lead = session.scalars(select(Lead)).one()
        assert (lead.address_hash, lead.last_signup_at) == (maria, asked_again)
        assert session.scalars(select(Order.address_hash)).all() == [maria]
        assert session.scalars(select(ConsentEvent.address_hash)).all() == [maria, maria]
        hashes = session.scalars(select(Message.address_hash).order_by(Message.id)).all()
        assert hashes == [maria, maria, ""]
    flask(app, "db", "downgrade", "0005")
    assert set(leads(engine)) == {"Maria@example.com"}


def test_migration_computes_order_state_from_events(app: Flask) -> None:
    engine = engine_of(app)
    flask(app, "db", "upgrade", "0006")
    at = datetime(2026, 3, 1, 12, tzinfo=UTC)
    histories = {
        "open": ["placed"],
        "pending": ["placed", "pending"],
        "paid": ["placed", "pending", "paid"],
        "unseated": ["placed", "paid", "unseated"],
        "expired": ["placed", "expired"],
    }
    before = MetaData()
    before.reflect(engine)
    order, event, seat = (before.tables[name] for name in ("order", "order_event", "enrollment"))
    person = {"email": "", "email_key": "", "address_hash": "", "name": ""}
    asked = {"course": "c", "cohort": "d", "item": "i", "seats": 2, "unit_amount": 1,
             "currency": "usd", "session_until": at, "attempt": 1, "created_at": at}  # fmt: skip
    with engine.begin() as connection:
        for number, (state, kinds) in enumerate(histories.items(), 1):
            keys = {"id": number, "request_key": state, "token": state}
            connection.execute(order.insert(), {**person, **asked, **keys})
            for kind in kinds:
                happened = {"order_id": number, "kind": kind, "cause": "x", "created_at": at}
                connection.execute(event.insert(), happened)
        for place in (1, 2):
            taken = {"order_id": 3, "seat": place, "course": "c", "cohort": "d", "name": ""}
            connection.execute(seat.insert(), {**taken, "token": str(place), "created_at": at})
    flask(app, "db", "upgrade")
    with Session(engine) as session:
        orders = session.scalars(select(Order).order_by(Order.id)).all()
        assert [one.state for one in orders] == list(histories)
        assert [one.seats_kept for one in orders] == [0, 0, 2, 0, 0]
        late: dict[str, Any] = {
            "order_id": 5,
            "kind": "paid",
            "cause": "x",
        }  # older versions could not store this
        refund: dict[str, Any] = {
            "order_id": 3,
            "kind": "refund",
            "cause": "x",
            "status": "succeeded",
        }
        session.add_all([OrderEvent(**late), OrderEvent(**refund)])
        session.commit()
    flask(app, "db", "downgrade", "0006")
    with engine.connect() as connection:
        left = connection.execute(select(event.c.order_id, event.c.kind).order_by(event.c.id)).all()
    assert [kind for number, kind in left if number == 3] == histories["paid"]
    assert [kind for number, kind in left if number == 5] == ["placed", "paid"]


def test_migration_separates_addresses_of_different_mailboxes(app: Flask) -> None:
    engine = engine_of(app)
    flask(app, "setup")
    flask(app, "db", "downgrade", "0015")
    key = current.of(app).settings.suppression_key
    folded = addresses.address_hash("strasse@example.com", key)
    street = addresses.parse("straße@example.com", key)
    assert street.former == folded
    with Session(engine) as session:
        writing(session)
        email = "Straße@example.com"
        values = {  # the columns of that version
            "email": email,
            "email_key": "strasse@example.com",
            "address_hash": folded,
            "name": "",
            "state": "pending",
            "confirm_token": "a",
            "unsubscribe_token": "b",
            **dict.fromkeys(("confirm_until", "created_at", "last_signup_at"), now()),
        }
        number = session.scalar(insert(table_of(Lead)).values(values).returning(Lead.id))
        session.add(Suppression(address_hash=folded, reason=SuppressionReason.BOUNCED, since=now()))
        owed = {"kind": "confirm", "lead_id": number, "recipient": email, "reference": "a"}
        rest = {"state": "due", "attempts": 0, "error": "", "due_at": now(), "created_at": now()}
        message = insert(table_of(Message)).values(address_hash=folded, **owed, **rest)
        session.execute(message)
        session.commit()
    flask(app, "db", "upgrade")
    with Session(engine) as session:
        lead = session.execute(select(Lead.email_key, Lead.address_hash)).one()
        assert tuple(lead) == (street.key, street.hash)
        assert session.scalars(select(Message.address_hash)).all() == [street.hash]
        held = session.scalars(select(Suppression.address_hash)).all()
        assert set(held) == {folded, street.hash}
    flask(app, "db", "downgrade", "0015")
    with Session(engine) as session:
        lead = session.execute(select(Lead.email_key, Lead.address_hash)).one()
        assert tuple(lead) == ("strasse@example.com", folded)


def test_downgrade_merges_holds_of_one_address(app: Flask) -> None:
    engine = engine_of(app)
    flask(app, "db", "upgrade")
    with Session(engine) as session:
        writing(session)
        a, b, c = (place(session, number=number).id for number in (1, 2, 3))
        d = place(session, COURSE.cohorts[1], number=4).id
        e = place(session, email="other@example.com", number=4).id
        last = now() + timedelta(hours=1)
        session.get_one(Hold, a).until = last
        session.commit()
    flask(app, "db", "downgrade", "0016")
    with engine.connect() as connection:
        held = connection.execute(text("SELECT order_id, seats FROM hold ORDER BY order_id")).all()
        assert [tuple(one) for one in held] == [(c, 6), (d, 4), (e, 4)]
    flask(app, "db", "upgrade")
    with Session(engine) as session:
        assert session.get_one(Hold, c).until == last
        assert session.get(Hold, b) is None


def test_migration_replaces_request_keys_of_erased_orders(app: Flask) -> None:
    engine = engine_of(app)
    flask(app, "db", "upgrade")
    with Session(engine) as session:
        writing(session)
        kept, erased = place(session, request_key="a"), place(session, request_key="b")
        erased.email = erased.email_key = erased.name = ""
        number = erased.id
        session.commit()
        assert kept.email
    flask(app, "db", "downgrade", "0022")
    flask(app, "db", "upgrade")
    with Session(engine) as session:
        keys = session.scalars(select(Order.request_key).order_by(Order.id)).all()
        assert keys == ["a", f"erased-{number}"]


@pytest.mark.parametrize(
    ("sessions", "modes", "counting"),
    [
        (
            ["cs_test_a", "cs_live_b", None, "cs_live_c"],
            ["test", "live", "", "live"],
            "live",
        ),
        (["cs_test_a", None, "cs-test-b", "xcs_live_c"], ["test", "", "", ""], "test"),
        ([None], [""], None),
    ],
    ids=["both", "test", "none"],
)
def test_migration_reads_the_order_mode_from_its_session_id(
    app: Flask, sessions: list[str | None], modes: list[str], counting: str | None
) -> None:
    engine = engine_of(app)
    flask(app, "db", "upgrade", "0019")
    at = datetime(2026, 3, 1, 12, tzinfo=UTC)
    before = MetaData()
    before.reflect(engine, only=["order"])
    asked = {"email": "", "email_key": "", "address_hash": "", "name": "", "course": "c",
             "cohort": "d", "item": "i", "seats": 1, "unit_amount": 1, "currency": "usd",
             "session_until": at, "attempt": 1, "state": "open", "seats_kept": 0,
             "created_at": at}  # fmt: skip
    with engine.begin() as connection:
        for number, session_id in enumerate(sessions, 1):
            keys = {"id": number, "request_key": f"k{number}", "token": f"t{number}"}
            values = {**asked, **keys, "session_id": session_id}
            connection.execute(before.tables["order"].insert(), values)
    flask(app, "db", "upgrade")
    with Session(engine) as session:
        assert session.scalars(select(Order.mode).order_by(Order.id)).all() == modes
        site = session.scalars(select(Site)).one()
        assert (site.stripe_mode, len(site.site_id) >= 16) == (counting, True)
    flask(app, "db", "downgrade", "0019")
    with engine.connect() as connection:
        left = connection.execute(text('SELECT session_id FROM "order" ORDER BY id')).scalars()
        assert list(left) == sessions


def test_migration_removes_erased_people_from_imports(app: Flask) -> None:
    engine = engine_of(app)
    flask(app, "db", "upgrade", "0023")
    kept = add_lead(engine)
    with Session(engine) as session:
        writing(session)
        for file in ("f1.csv", "f2.csv"):
            session.add(LeadImport(file=file, imported_by="root", source=file, added=1))
        session.flush()
        session.scalars(select(Lead)).one().import_id = 1
        lead = Lead(email="", email_key="erased-2", address_hash="", confirm_until=now())
        lead.state, lead.import_id = LeadState.ERASED, 2
        session.add(lead)
        session.flush()
        for number in session.scalars(select(Lead.id)).all():
            event = ConsentEvent(
                lead_id=number, address_hash="", kind=ConsentKind.IMPORTED, form="import"
            )
            event.wording = "a card"
            session.add(event)
        session.commit()
    flask(app, "db", "upgrade")
    with Session(engine) as session:
        files = session.execute(select(LeadImport.file, LeadImport.source).order_by(LeadImport.id))
        assert [tuple(one) for one in files] == [("f1.csv", "f1.csv"), ("", "")]
        imports = session.execute(select(Lead.email, Lead.import_id).order_by(Lead.id)).all()
        assert [tuple(one) for one in imports] == [(kept, 1), ("", None)]
        told = select(ConsentEvent.wording).where(ConsentEvent.form == "import")
        assert session.scalars(told.order_by(ConsentEvent.lead_id)).all() == ["a card", ""]
