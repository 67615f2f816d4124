"""The list of personal data: every column is on it or excluded, and its users follow it."""

from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import (
    JSON,
    Enum,
    LargeBinary,
    String,
    TypeDecorator,
    cast,
    inspect,
    literal,
    select,
    update,
)
from sqlalchemy.orm import Session
from sqlalchemy.types import TypeEngine
from wtforms import HiddenField, StringField

from crossroads.leads import search_index
from crossroads.leads.consent import Evidence
from crossroads.leads.imports import columns as import_columns
from crossroads.leads.listing import SHEET as LEADS
from crossroads.mail.outbox import send_again
from crossroads.ops import demo
from crossroads.orders.enrollment_listing import SHEET as ENROLLMENTS
from crossroads.orders.listing import SHEET as ORDERS
from crossroads.privacy import person, retention
from crossroads.web.forms import EnrollForm, ParticipantForm, PublicForm, SignupForm
from models import (
    Base,
    ConsentEvent,
    Enrollment,
    Lead,
    LeadImport,
    LeadWord,
    LostCheckout,
    Message,
    Order,
    now,
    personal_data,
    writing,
)
from models.consent import IMPORT, ConsentKind
from models.message import MessageState
from models.personal_data import NOBODY, PERSONAL, STAFF, Erased, Personal
from tests.support.one_person import EMAIL, FORM, IP, sign_up
from tests.support.order_states import bring
from tests.support.people import hashed

WHAT_TO_DO = (
    "put it on PERSONAL of models/personal_data.py, with what erasure leaves and what the person's "
    "file calls it, if it can name a person; else on NOBODY there"
)
# The data file leaves out deleted rows, tokens and copies of other columns.
FILED = [one for one in PERSONAL if one.label]
(WORD,) = (one for one in PERSONAL if one.model is LeadWord)
(WORDS,) = (one for one in PERSONAL if one.column is Lead.words)


def holds_text(kind: TypeEngine[Any]) -> bool:
    """Return whether a column of this type can hold a name."""
    if isinstance(kind, TypeDecorator):
        return holds_text(kind.impl_instance)
    return isinstance(kind, String | JSON | LargeBinary) and not isinstance(kind, Enum)


def text_columns() -> Iterator[str]:
    for table in Base.metadata.sorted_tables:
        for column in table.columns:
            if holds_text(column.type):
                yield f"{table.name}.{column.name}"


def name(one: Any) -> str:
    """Return the name of a column as table.column."""
    return f"{one.class_.__tablename__}.{one.key}"


def test_every_text_column_is_listed_as_personal_or_not() -> None:
    nobody = {f"{table}.{column}" for table, names in NOBODY.items() for column in names.split()}
    listed = [*(name(one.column) for one in PERSONAL), *map(name, STAFF), *nobody]
    assert len(listed) == len(set(listed)), "a column is on two lists"
    there = set(text_columns())
    for column in sorted(there - set(listed)):
        pytest.fail(f"{column} is on no list of what names a person: {WHAT_TO_DO}")
    others = {f"{table.name}.{column.name}" for table in Base.metadata.sorted_tables
              for column in table.columns}  # fmt: skip
    assert set(listed) <= others, "a column on the lists is no longer there"
    assert nobody <= there, "a column on NOBODY holds no text: take it off"


@pytest.fixture
def app(make_app: Any, database_url: str) -> Flask:
    built: Flask = make_app(database_url=database_url)
    return built


def marker(one: Personal) -> str:
    return f"marked{PERSONAL.index(one)}x"


def fill(session: Session, one: Personal) -> None:
    """Write the marker of a column into all its rows, which belong to one person."""
    if one is WORD:  # a lead has several of these
        first = select(LeadWord.word).limit(1).scalar_subquery()
        statement = update(LeadWord).where(LeadWord.word == first).values(word=marker(one))
    else:
        (key,) = inspect(one.model).primary_key
        number = "" if key.name == one.key else cast(key, String)
        value = literal(marker(one)).concat(number)
        statement = update(one.model).values({one.key: value})
    assert session.execute(statement.returning(literal(1))).first(), name(one.column)


@pytest.fixture
def known(client: FlaskClient, session: Session, one_day: None) -> Session:
    """A person for whom every listed column is filled, each text column with its own marker."""
    sign_up(client)
    lead = session.scalars(select(Lead)).one()
    session.rollback()
    writing(session)
    given: dict[str, Any] = {"email": EMAIL, "name": FORM["name"], "network": IP["REMOTE_ADDR"]}
    bring(session, "paid", **given)
    bring(session, "open", **given)
    search_index.index(session)
    record = LeadImport(file="people.csv", imported_by="root")
    session.add(record)
    session.flush()
    lead = session.get_one(Lead, lead.id)
    lead.import_id = record.id
    (told,) = [one for one in PERSONAL if one.erased is Erased.IF_IMPORTED]
    session.add(
        ConsentEvent(
            lead_id=lead.id, address_hash=lead.address_hash,
            kind=ConsentKind.IMPORTED, form=IMPORT, wording=marker(told),
        )
    )  # fmt: skip
    session.add(
        LostCheckout(
            session_id="cs_1", reference="r", number=9, course="c", cohort="d", item="i",
            quantity=1, unit_amount=1, amount=1, currency="usd", mode="test", email=EMAIL,
            name="Z", address_hash=hashed(EMAIL), made_at=now(), paid_at=now(),
        )
    )  # fmt: skip
    session.flush()
    for one in PERSONAL:
        if holds_text(one.column.type) and one.erased is not Erased.IF_IMPORTED:
            fill(session, one)
    session.execute(update(Lead).values(words=f"{marker(WORDS)} {marker(WORD)}"))
    session.commit()
    session.expunge_all()
    return session


def words(session: Session) -> str:
    """Return all text values of all tables."""
    session.rollback()
    found = []
    for table in Base.metadata.sorted_tables:
        columns = [column for column in table.columns if holds_text(column.type)]
        if columns:
            found += [repr(tuple(row)) for row in session.execute(select(*columns))]
    session.rollback()
    return "\n".join(found)


def test_each_listed_column_is_exported_and_erased(
    known: Session,
) -> None:
    before = words(known)
    texts = [one for one in PERSONAL if holds_text(one.column.type)]
    assert [name(one.column) for one in texts if marker(one) not in before] == []
    found = person.find(known, hashed(EMAIL))
    assert found is not None
    file = str(person.data(known, found))
    assert [name(one.column) for one in FILED if marker(one) not in file] == []
    tokens = [one for one in texts if one.erased is Erased.RENEWED]
    assert [name(one.column) for one in tokens if marker(one) in file] == []
    known.rollback()
    writing(known)
    found = person.find(known, hashed(EMAIL), lock=True)
    assert found is not None
    person.erase(known, found, Evidence(form="desk"))
    known.commit()
    after = words(known)
    assert [name(one.column) for one in texts if marker(one) in after] == []
    for one in PERSONAL:
        if not holds_text(one.column.type):
            assert set(known.scalars(select(one.column))) <= {None}, name(one.column)


def test_data_file_names_the_import_of_a_lead(known: Session) -> None:
    record = known.scalars(select(LeadImport)).one()
    found = person.find(known, hashed(EMAIL))
    assert found is not None
    told = person.data(known, found)["lead"]["import"]
    assert (told["id"], told["file"]) == (record.id, record.file)
    assert told["at"] == f"{record.created_at:%Y-%m-%dT%H:%M:%SZ}"


@pytest.mark.parametrize(
    ("file", "source", "left"),
    [
        ("people.csv", "Fair in Ulm", ("people.csv", "Fair in Ulm")),
        ("from-zebedee quillfeather.csv", "Fair in Ulm", ("", "")),
        ("people.csv", f"card of {EMAIL.upper()}", ("", "")),
    ],
)
def test_import_keeps_its_name_unless_it_names_the_erased_person(
    app: Flask, session: Session, file: str, source: str, left: tuple[str, str]
) -> None:
    writing(session)
    record = LeadImport(file=file, imported_by="root", source=source)
    session.add(record)
    session.flush()
    for email, called in ((EMAIL, FORM["name"]), ("other@example.com", "Other")):
        session.add(
            Lead(
                email=email, email_key=email, address_hash=hashed(email), name=called,
                confirm_until=now(), import_id=record.id,
            )
        )  # fmt: skip
    session.commit()
    for email, expected in ((EMAIL, left), ("other@example.com", ("", ""))):
        writing(session)
        found = person.find(session, hashed(email), lock=True)
        assert found is not None
        person.erase(session, found, Evidence(form="desk"))
        session.commit()
        assert (record.file, record.source) == expected
        session.rollback()
    listed = app.test_cli_runner().invoke(args=["leads", "imports"])
    assert "UTC  (name erased)  by root" in listed.stdout


def test_retention_clears_former_participants_and_settled_checkouts(
    known: Session,
) -> None:
    writing(known)
    for seat in known.scalars(select(Enrollment)):
        seat.ended_at = now()
        for message in known.scalars(select(Message)):
            message.enrollment_id = seat.id
    known.scalars(select(LostCheckout)).one().settled_at = now()
    known.flush()
    assert retention.forget_replaced(known, now()) == 1
    assert retention.forget_lost(known, now()) == 1
    known.commit()
    after = words(known)
    for model in (Enrollment, LostCheckout, Message):
        assert [name(one.column) for one in personal_data.of(model) if marker(one) in after] == []


def test_exports_imports_and_demo_data_have_the_listed_columns() -> None:
    for model, sheet in ((Lead, LEADS), (Order, ORDERS), (Enrollment, ENROLLMENTS)):
        listed = personal_data.exported(model)
        assert {named: sheet.columns.get(named) for named in listed} == listed
    assert set(personal_data.exported(Lead)) <= {"email", *import_columns.TEXTS}
    filled: dict[type[Base], str] = {
        Lead: "LEAD",
        ConsentEvent: "CONSENT",
        Order: "ORDER",
        Enrollment: "ENROLLMENT",
    }
    for made, columns in filled.items():
        for one in personal_data.of(made):
            assert not one.label or one.key in getattr(demo, columns), (
                f"demo data lacks {name(one.column)}: add it to {columns} and its row in "
                "ops/demo/__init__.py"
            )


def test_each_exported_column_is_in_the_data_file() -> None:
    for one in PERSONAL:
        assert one.label or not one.exported, (
            f"{name(one.column)} is exported and has no label: without one the person's file "
            "lacks it"
        )


@pytest.mark.parametrize(
    ("form", "model"), [(SignupForm, Lead), (EnrollForm, Order), (ParticipantForm, Enrollment)]
)
def test_each_field_for_personal_data_is_marked_as_typed(
    make_app: Any, form: type[PublicForm], model: type[Base]
) -> None:
    with make_app().test_request_context():
        fields = [one for one in form() if isinstance(one, StringField)]
    columns = {one.key for one in personal_data.of(model)}
    asked = {one.name for one in fields if not isinstance(one, HiddenField)} & columns
    assert asked == set(personal_data.typed(model)), (
        f"{form.__name__} asks for other columns than are marked with typed= on PERSONAL"
    )


def test_mail_to_an_erased_person_is_not_sent_again(known: Session) -> None:
    writing(known)
    for message in known.scalars(select(Message)):
        message.state = MessageState.DEAD
    found = person.find(known, hashed(EMAIL), lock=True)
    assert found is not None
    person.erase(known, found, Evidence(form="desk"))
    assert send_again(known) == 0
    known.rollback()
