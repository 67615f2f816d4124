"""Migrations: up, down and up again on both databases, and no drift from the models."""

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from alembic.script import ScriptDirectory
from flask import Flask
from sqlalchemy import Engine, MetaData, insert, inspect, select, text
from sqlalchemy.orm import Session

from crossroads import current
from crossroads.database import schema
from crossroads.mail import addresses
from models import (
    Base,
    ConsentEvent,
    Hold,
    Lead,
    LeadImport,
    Message,
    Order,
    OrderEvent,
    Site,
    Suppression,
    db,
    now,
    writing,
)
from models.base import table_of
from models.consent import ConsentKind
from models.lead import LeadState
from models.suppression import SuppressionReason
from tests.support.databases import administering, named
from tests.support.orders import COURSE, place
from tests.support.people import hashed

NEXT = """
import sqlalchemy as sa
from alembic import op

revision = "9999"
down_revision = "{head}"
branch_labels = None
depends_on = None


def upgrade():
    with op.batch_alter_table("lead") as batch_op:
        batch_op.add_column(sa.Column("note", sa.String(length=20), nullable=True))
        batch_op.alter_column("name", existing_type=sa.String(100), type_=sa.String(120))


def downgrade():
    with op.batch_alter_table("lead") as batch_op:
        batch_op.alter_column("name", existing_type=sa.String(120), type_=sa.String(100))
        batch_op.drop_column("note")
"""


@pytest.fixture
def app(make_app: Any, empty_database_url: str) -> Flask:
    """The site on an empty database."""
    built: Flask = make_app(database_url=empty_database_url)
    return built


def flask(app: Flask, *arguments: str) -> str:
    """Run a flask command, which must succeed, and return what it said."""
    result = app.test_cli_runner().invoke(args=arguments)
    assert result.exit_code == 0, result.output
    return result.output


def engine_of(app: Flask) -> Engine:
    with app.app_context():
        return db.engine


def shape(engine: Engine) -> dict[str, Any]:
    """Return all that the database knows of its tables, but for Alembic's own."""
    found = inspect(engine)
    return {
        table: {
            "columns": sorted(  # one that was added later stands at the end
                (column["name"], str(column["type"]), column["nullable"])
                for column in found.get_columns(table)
            ),
            "key": found.get_pk_constraint(table),
            "unique": sorted(map(plain, found.get_unique_constraints(table))),
            "checks": sorted(map(plain, found.get_check_constraints(table))),
            "foreign": sorted(map(plain, found.get_foreign_keys(table))),
            "indexes": sorted(map(plain, found.get_indexes(table))),
        }
        for table in found.get_table_names()
        if table != "alembic_version"
    }


def plain(found: Any) -> str:
    """Return a constraint or an index as text that is equal when it is."""
    options = {name: str(value) for name, value in found.get("dialect_options", {}).items()}
    return str(sorted({**found, "dialect_options": options}.items()))


def test_up_down_and_up_again(app: Flask) -> None:
    engine = engine_of(app)
    flask(app, "db", "upgrade")
    first = shape(engine)
    assert set(first) == set(Base.metadata.tables)
    assert schema.mismatch(engine) is None
    flask(app, "db", "downgrade", "base")
    assert shape(engine) == {}
    flask(app, "db", "upgrade")
    assert shape(engine) == first


def test_migrations_make_what_the_models_say(app: Flask) -> None:
    engine = engine_of(app)
    flask(app, "db", "upgrade")
    flask(app, "db", "check")
    migrated = shape(engine)
    flask(app, "db", "downgrade", "base")
    Base.metadata.create_all(engine)
    assert shape(engine) == migrated


def test_head_is_the_newest_of_numbered_migrations() -> None:
    found = [one.revision for one in ScriptDirectory(str(schema.FOLDER)).walk_revisions()][::-1]
    assert found == [f"{number:04d}" for number in range(1, len(found) + 1)]
    assert found[-1] == schema.HEAD, "set HEAD in database/schema.py to the newest migration"


def test_check_finds_a_table_that_no_migration_makes(app: Flask) -> None:
    flask(app, "db", "upgrade")
    with engine_of(app).begin() as connection:
        connection.execute(text("DROP TABLE site_version"))
    result = app.test_cli_runner().invoke(args=["db", "check"])
    assert result.exit_code != 0


def test_set_up_twice_keeps_what_is_there(app: Flask) -> None:
    flask(app, "setup")
    lead = add_lead(engine_of(app))
    flask(app, "setup")
    flask(app, "db", "upgrade")
    assert leads(engine_of(app)) == [lead]


def test_table_is_rebuilt_with_its_rows_and_their_children(app: Flask, tmp_path: Path) -> None:
    """A step that alters a table keeps its rows both ways: SQLite makes the table anew for it."""
    folder = str(tmp_path / "migrations")
    shutil.copytree(schema.FOLDER, folder)
    engine = engine_of(app)
    flask(app, "db", "upgrade")
    with engine.connect() as connection:
        head = connection.scalar(text("SELECT version_num FROM alembic_version"))
    Path(folder, "versions", "9999_next.py").write_text(NEXT.format(head=head))
    lead = add_lead(engine)
    flask(app, "db", "upgrade", "--directory", folder)
    assert "note" in [column["name"] for column in inspect(engine).get_columns("lead")]
    assert leads(engine) == [lead]
    flask(app, "db", "downgrade", "--directory", folder)
    assert "note" not in [column["name"] for column in inspect(engine).get_columns("lead")]
    assert leads(engine) == [lead]
    assert schema.mismatch(engine) is None


def test_people_stored_before_they_were_hashed_are_hashed(app: Flask) -> None:
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


def test_orders_from_before_stand_where_their_events_say(app: Flask) -> None:
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
        }  # what no older version could note
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


def test_failed_step_leaves_no_half_of_it(app: Flask, tmp_path: Path) -> None:
    folder = tmp_path / "migrations"
    shutil.copytree(schema.FOLDER, folder)
    (first,) = (folder / "versions").glob("0001_*.py")
    source = first.read_text()
    first.write_text(source.replace("def downgrade", "    raise RuntimeError\n\n\ndef downgrade"))
    result = app.test_cli_runner().invoke(args=["db", "upgrade", "--directory", str(folder)])
    assert result.exit_code != 0
    assert shape(engine_of(app)) == {}
    flask(app, "db", "upgrade")


def test_a_database_that_is_not_utf_8_is_refused_before_it_has_tables(
    make_app: Any, postgres: str
) -> None:
    with administering(postgres) as connection:
        connection.execute(
            text(
                "CREATE DATABASE latin ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' "
                "TEMPLATE template0"
            )
        )
    app = make_app(database_url=named(postgres, "latin"))
    result = app.test_cli_runner().invoke(args=["setup"])
    assert result.exit_code == 1
    assert "encoded in LATIN1" in result.output
    assert "ENCODING 'UTF8'" in result.output
    assert inspect(engine_of(app)).get_table_names() == []
    ready = app.test_client().get("/readyz")
    assert ready.status_code == 503


def test_fault_says_what_to_do(app: Flask) -> None:
    engine = engine_of(app)
    assert "run flask db upgrade" in str(schema.mismatch(engine))
    flask(app, "db", "upgrade")
    assert schema.mismatch(engine) is None
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = 'a-later-one'"))
    fault = schema.mismatch(engine)
    assert fault is not None
    assert not fault.older
    assert "newer version (revision a-later-one)" in str(fault)


def add_lead(engine: Engine) -> str:
    """Add a lead with a consent, and return its address."""
    with Session(engine) as session:
        writing(session)
        lead = Lead(
            email="Maria@example.com",
            email_key="maria@example.com",
            address_hash=hashed("maria@example.com"),
            confirm_until=now(),
        )
        session.add(lead)
        session.flush()
        session.add(
            ConsentEvent(
                lead_id=lead.id,
                address_hash=lead.address_hash,
                kind=ConsentKind.GIVEN,
                form="signup",
            )
        )
        session.commit()
        return lead.email


def leads(engine: Engine) -> list[str]:
    """Return the addresses of all leads that still have their consent."""
    query = select(Lead.email).join(ConsentEvent, ConsentEvent.lead_id == Lead.id)
    with Session(engine) as session:
        return list(session.scalars(query))


def test_addresses_that_are_two_mailboxes_become_two_people(app: Flask) -> None:
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
        values = {  # of the columns that there were
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


def test_holds_of_one_address_are_merged_on_the_way_down(app: Flask) -> None:
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


def test_keys_of_erased_orders_tell_nothing_any_more(app: Flask) -> None:
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
def test_orders_from_before_have_the_mode_of_their_session(
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


def test_imports_of_people_erased_before_name_them_no_more(app: Flask) -> None:
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
