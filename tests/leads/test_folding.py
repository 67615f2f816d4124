"""Search finds names without their accents and special letters, on both databases.

In leads, orders and seats, and in leads that were indexed before accents were folded.
"""

from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import Engine, insert, literal, select, update
from sqlalchemy.orm import Session

from crossroads.leads import search_index
from crossroads.leads.listing import LEADS, LeadFilter
from crossroads.orders.enrollment_listing import ENROLLMENTS, EnrollmentFilter
from crossroads.orders.listing import ORDERS, OrderFilter
from crossroads.worker.search_indexer import SearchIndexer
from models import Enrollment, Lead, LeadWord, Order, db, writing
from models.folding import fold, folded
from tests.support.desk_visits import lead
from tests.support.order_states import bring

# A name, and a search term that must find it.
NAMES = [
    ("José Núñez", "nunez"),
    ("José Núñez", "Núñez"),
    ("Jose Nunez", "núñez"),
    ("NÚÑEZ, JOSÉ", "jose"),
    ("Nu\u0301n\u0303ez", "nunez"),
    ("Søren Ørsted", "orsted"),
    ("Wałęsa Łódź", "lodz"),
    ("Groß", "gross"),
    ("Gross", "GROß"),
    ("Ægir Þór", "aegir"),
    ("Ægir Þór", "thor"),
    ("Đorđe", "djordje".replace("j", "")),
    ("Kılıç İlkay", "kilic"),
    ("Kılıç İlkay", "ilkay"),
    ("Cœur", "coeur"),
    ("Ｍａｒｉａ", "maria"),
    ("Ёлкин", "елкин"),
    ("Ώρα", "ωρα"),
    ("Đặng Thị", "dang thi"),
    ("김민준", "김민준"),
    ("किरण", "किरण"),
]


@pytest.fixture
def session(engine: Engine) -> Iterator[Session]:
    with Session(engine) as session:
        writing(session)
        yield session


@pytest.mark.parametrize("indexed", [True, False])
def test_lead_is_found_by_a_name_without_its_accents(session: Session, indexed: bool) -> None:
    people = {name: lead(name=name) for name, _ in NAMES}
    session.add_all([*people.values(), lead(name="Somebody Else"), lead("müller@bücher.example")])
    session.flush()
    if indexed:
        search_index.index(session)

    def found(term: str) -> set[str]:
        return {one.name or one.email for one in LEADS.page(session, LeadFilter.of(q=term)).rows}

    for name, term in NAMES:
        assert name in found(term), (name, term)
        assert "Somebody Else" not in found(term)
    assert found("muller") == found("bucher") == {"müller@bücher.example"}


def test_order_and_seat_are_found_by_a_name_without_its_accents(session: Session) -> None:
    numbers = {}
    for name, _ in NAMES:
        numbers[name] = bring(session, "paid").id
        session.execute(update(Order).where(Order.id == numbers[name]).values(name=name))
    # The first order's participant has another name than its buyer.
    seat = update(Enrollment).where(Enrollment.order_id == numbers["José Núñez"])
    session.execute(seat.values(name="Zażółć Gęślą"))
    session.flush()
    for name, term in NAMES:
        orders = ORDERS.page(session, OrderFilter.of(q=term)).rows
        assert numbers[name] in {order.id for order in orders}, (name, term)
        assert len(orders) < len(numbers)
        seats = ENROLLMENTS.page(session, EnrollmentFilter.of(q=term)).rows
        assert numbers[name] in {seat.order_id for seat in seats}, (name, term)
    (seat_of_first,) = ENROLLMENTS.page(session, EnrollmentFilter.of(q="gesla")).rows
    assert seat_of_first.order_id == numbers["José Núñez"]


def test_database_and_python_fold_letters_in_the_same_way(session: Session) -> None:
    letters = "".join(map(chr, [*range(0x20, 0x250), *range(0x370, 0x400), *range(0x1E00, 0x1EFF)]))
    single = [one for one in letters if one.isprintable() and len(fold(one)) == 1]
    for one in [*single, "ß", "ẞ", "æ", "Æ", "Œ", "Þ", "O'Neill", "100%"]:
        said = session.scalar(select(folded(literal(one))))
        assert said == fold(one), f"{one}: {said}"


@pytest.fixture
def app(make_app: Any, empty_database_url: str) -> Flask:
    built: Flask = make_app(database_url=empty_database_url)
    return built


def test_migration_marks_leads_with_accents_for_indexing(app: Flask) -> None:
    runner = app.test_cli_runner()
    assert runner.invoke(args=["db", "upgrade"]).exit_code == 0
    with app.app_context(), Session(db.engine) as session:
        writing(session)
        people = [lead("jose@example.com", name="José Núñez"), lead("ana@example.com", name="Ana")]
        session.add_all(people)
        session.flush()
        words = ["\x1fjose@\x1fexample.\x1fcom\n\x1fjosé \x1fnúñez", "\x1fana@\x1fex.\n\x1fana"]
        for one, text in zip(people, words, strict=True):  # the index before folding
            session.execute(update(Lead).where(Lead.id == one.id).values(words=text))
            rows = [{"word": word, "lead_id": one.id} for word in search_index.tokens(text)]
            session.execute(insert(LeadWord), rows)
        session.commit()
    for step in (["db", "downgrade", "0014"], ["db", "upgrade"]):
        assert runner.invoke(args=step).exit_code == 0
    with app.app_context(), Session(db.engine) as session:
        words_now = session.scalars(select(Lead.words).order_by(Lead.id)).all()
        assert words_now == [None, words[1]]  # ASCII text is unchanged

        def found() -> list[str]:
            rows = LEADS.page(session, LeadFilter.of(q="nunez")).rows
            return [one.name for one in rows]

        assert found() == ["José Núñez"]
        session.rollback()
        assert SearchIndexer(db.engine).index() == 1
        assert found() == ["José Núñez"]
        known = set(session.scalars(select(LeadWord.word)))
        assert {"jose", "nunez", "ana"} <= known
        assert not {"josé", "núñez"} & known
