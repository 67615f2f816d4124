"""The search index of leads, on both databases: its matches, and the removal of deleted leads."""

import re
import unicodedata
from collections.abc import Iterator
from datetime import timedelta
from typing import Final

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, func, select, update
from sqlalchemy.orm import Session

from crossroads.database import pagination
from crossroads.leads import search_index
from crossroads.leads.listing import LEADS, LeadFilter
from crossroads.privacy import retention
from crossroads.worker.search_indexer import SearchIndexer
from models import Lead, LeadWord, folding, now, writing
from models.lead_word import WORD_LENGTH
from tests.support.desk_visits import lead
from tests.support.walks import examples, walk

PEOPLE: Final = [
    ("Maria.Silva@acme-labs.example", "Maria Silva"),
    ("silva_maria@example.com", "SILVA, Maria"),
    ("o'brien@example.com", "Zoë O'Brien"),
    ("100%@example.com", "100% sure"),
    ("a_b@example.com", '"a" \\ b'),
    ("axb@example.com", ""),
    ("jürgen@bücher.example", "Jürgen Groß"),
    ("e@xn--bcher-kva.example", "E\u0301lodie  \u00d6stberg"),
    ("kiran@example.com", "किरण शर्मा"),
    ("ilk@example.com", "İlkay Ağaoğlu"),
    ("li@example.com", "李小龍"),
    ("ligature@example.com", "ﬁona ﷺ"),
    (f"{'long' * 12}@example.com", "long" * 25),
    (f"{'long' * 11}er@example.com", "x"),
    ("m@example.com", "m m m"),
]
TEXTS: Final = [text for person in PEOPLE for text in person if text]


@pytest.fixture
def session(engine: Engine) -> Iterator[Session]:
    with Session(engine) as session:
        yield session


@pytest.fixture
def known(session: Session) -> list[Lead]:
    """People in the index."""
    people = [lead(email, name=name) for email, name in PEOPLE]
    session.add_all(people)
    session.flush()
    assert search_index.index(session) == len(people)
    session.commit()
    return people


def found(session: Session, term: str, **given: str) -> set[int]:
    return {one.id for one in LEADS.page(session, LeadFilter.of(q=term, **given)).rows}


def plain(text: str) -> str:
    """Return the text as search compares it, computed without the code under test."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    apart = re.sub("[\u0300-\u036f]", "", unicodedata.normalize("NFD", folded))
    for letter, other in folding.OTHERS.items():
        apart = apart.replace(letter, other)
    return " ".join(unicodedata.normalize("NFC", apart).split())


def in_word(letter: str) -> bool:
    return unicodedata.category(letter)[0] in "LMN"


def stands_in(text: str, term: str) -> bool:
    """Return whether a plain text has the term at the start of a word."""
    return any(
        in_word(letter) and not in_word((" " + text)[place]) and text.startswith(term, place)
        for place, letter in enumerate(text)
    )


def expected(people: list[Lead], term: str) -> set[int]:
    meant = plain(LeadFilter.of(q=term).q)
    while meant and not in_word(meant[0]):
        meant = meant[1:]
    return {
        one.id
        for one in people
        for text in (one.email, one.email_key, one.name)
        if meant and stands_in(plain(text), meant)
    }


@st.composite
def parts(draw: st.DrawFn) -> str:
    """Draw a part of a stored text, in any case."""
    text = draw(st.sampled_from(TEXTS))
    start = draw(st.integers(0, len(text) - 1))
    piece = text[start : draw(st.integers(start + 1, len(text)))]
    return draw(st.sampled_from([piece, piece.upper(), piece.lower(), piece.title()]))


def lower_row_limits(patch: pytest.MonkeyPatch, most: int) -> None:
    """Treat more than `most` rows like a very large number of rows."""
    patch.setattr(pagination, "COUNTED", min(most, pagination.COUNTED))
    for module in (pagination, search_index):
        patch.setattr(module, "MANY", most)


@walk
@pytest.mark.parametrize("most", [pagination.MANY, 4, 1])
@settings(
    max_examples=examples(100, 25),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    term=parts() | st.text(st.characters(codec=None), max_size=6) | st.sampled_from("%_'\\\"@m1")
)
def test_search_matches_exactly_at_the_start_of_words(
    session: Session, known: list[Lead], most: int, term: str
) -> None:
    assume(LeadFilter.of(q=term).q)
    with pytest.MonkeyPatch.context() as patch:
        # With 1, small results count as large: a scan in order of three rows, then a new query.
        lower_row_limits(patch, most)
        patch.setattr(pagination, "WALK", 3)
        assert found(session, term) == expected(known, term)


def test_new_lead_is_found_before_it_is_indexed(session: Session, known: list[Lead]) -> None:
    fresh = lead("fresh.silva@example.com", name="Ana Silva")
    session.add(fresh)
    session.commit()
    assert fresh.id in found(session, "silva") & found(session, "FRESH.silva@ex")
    assert fresh.id not in found(session, "maria")
    before = found(session, "silva")
    search_index.index(session)
    assert found(session, "silva") == before


def test_filtered_search_is_right_for_every_query_plan(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    people = [
        lead(f"{'maria' if number % 3 else 'rare'}{number}@example.com", name="Ana Silva",
             state="held" if number % 20 == 0 else "confirmed",
             page="/signup" if number % 2 else "/compare",
             utm_campaign="spring" if number % 5 == 0 else None,
             created_at=now() - timedelta(hours=number % 7))
        for number in range(60)
    ]  # fmt: skip
    session.add_all(people)
    session.flush()
    search_index.index(session)
    for most in (100, 4, 1):
        lower_row_limits(monkeypatch, most)
        monkeypatch.setattr(pagination, "WALK", 5)
        held = found(session, "maria", state="held", page="/compare", campaign="spring")
        assert held == {people[20].id, people[40].id}
        assert found(session, "rare", state="held") == {people[0].id}
        assert found(session, "silva", page="/signup", state="held") == set()
        which = LeadFilter.of(page="/signup", campaign="spring")
        rows = LEADS.page(session, which, sort="oldest").rows
        assert {one.id for one in rows} == {one.id for one in people[5::10]}
        assert [one.created_at for one in rows] == sorted(one.created_at for one in rows)
    assert LEADS.count(session, LeadFilter.of(q="silva", state="held")) == 3


def test_many_matches_are_paged_without_a_total(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    session.add_all(lead(f"many{number}@example.com") for number in range(130))
    session.flush()
    search_index.index(session)
    lower_row_limits(monkeypatch, 100)
    which = LeadFilter.of(q="many")
    first = LEADS.page(session, which, sort="email")
    assert (first.total, first.first, first.last, first.before) == (None, 1, 50, None)
    second = LEADS.page(session, which, sort="email", after=first.after)
    third = LEADS.page(session, which, sort="email", after=second.after)
    assert (third.total, third.first, len(third.rows), third.after) == (None, None, 30, None)
    back = LEADS.page(session, which, sort="email", before=third.before)
    assert [one.id for one in back.rows] == [one.id for one in second.rows]
    emails = [one.email for page in (first, second, third) for one in page.rows]
    assert emails == sorted(f"many{number}@example.com" for number in range(130))
    assert LEADS.count(session, which) == 130


def test_indexer_indexes_each_lead_once(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    with Session(engine) as session:
        session.add_all(lead(name=f"Number {number}") for number in range(1, 8))
        session.commit()
    monkeypatch.setattr(search_index, "AT_ONCE", 3)
    indexer = SearchIndexer(engine)
    assert indexer.index() == 7
    assert indexer.index() == 0
    with Session(engine) as session:
        assert not search_index.any_waiting(session)
        words = session.scalars(select(LeadWord.lead_id).where(LeadWord.word == "number")).all()
        assert sorted(words) == sorted(session.scalars(select(Lead.id)))


def test_deleted_leads_leave_no_words_in_the_index(engine: Engine, known: list[Lead]) -> None:
    kept = known[0].id
    with Session(engine) as session:
        writing(session)
        long_ago = now() - timedelta(days=40)
        session.execute(update(Lead).where(Lead.id != kept).values(last_signup_at=long_ago))
        assert retention.purge(session, now() - timedelta(days=30)) == len(known) - 1
        session.commit()
        assert set(session.scalars(select(LeadWord.lead_id))) == {kept}


def test_indexed_words_are_cut_at_the_maximum_length(session: Session, known: list[Lead]) -> None:
    longest = session.scalar(select(func.max(func.length(LeadWord.word))))
    assert longest == WORD_LENGTH
