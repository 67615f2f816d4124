"""The list of leads and the counts of the dashboard, on both databases."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, event, select
from sqlalchemy.orm import Session

from crossroads.admin import dashboard
from crossroads.database.pagination import PAGE_SIZE
from crossroads.leads import listing
from crossroads.leads.listing import LEADS, LeadFilter
from models import Lead, now
from tests.support.desk_visits import lead
from tests.support.walks import examples

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.fixture
def session(engine: Engine) -> Iterator[Session]:
    with Session(engine) as session:
        yield session


def store(session: Session, *leads: Lead) -> None:
    session.add_all(leads)
    session.commit()


def found(session: Session, **which: str) -> list[str]:
    return [one.email for one in LEADS.page(session, LeadFilter.of(**which)).rows]


def walk(session: Session, sort: str, *, back: bool = False) -> list[list[int]]:
    """Return the lead numbers on each page, forward or backward."""
    shown = LEADS.page(session, LeadFilter(), sort=sort)
    pages = [shown]
    while pages[-1].after is not None:
        pages.append(LEADS.page(session, LeadFilter(), sort=sort, after=pages[-1].after))
    if back:
        pages = [pages[-1]]
        while pages[-1].before is not None:
            before = pages[-1].before
            pages.append(LEADS.page(session, LeadFilter(), sort=sort, before=before))
    for one in pages:
        assert one.total == 130
        assert one.first is not None and one.last is not None
        assert one.last - one.first + 1 == len(one.rows) <= PAGE_SIZE
    return [[one.id for one in shown.rows] for shown in pages]


@pytest.mark.parametrize("sort", LEADS.sorts)
def test_paging_shows_every_lead_once_forward_and_backward(session: Session, sort: str) -> None:
    shuffled = random.Random(5)
    # Many have the same time, so that the time alone does not sort them.
    moments = [NOON + timedelta(seconds=shuffled.randrange(12)) for _ in range(130)]
    store(session, *(lead(created_at=moment) for moment in moments))
    descending, columns = LEADS.sorts[sort]
    rows = session.execute(select(Lead.id, *columns).order_by(*columns)).all()
    expected = [row[0] for row in (reversed(rows) if descending else rows)]
    there = walk(session, sort)
    assert [len(one) for one in there] == [50, 50, 30]
    assert list(chain(*there)) == expected
    back = walk(session, sort, back=True)
    assert list(chain(*reversed(back[:2]))) == expected[50:]
    assert back[-1] == expected[:50]


def test_page_has_its_first_and_last_position_and_the_total(session: Session) -> None:
    store(session, *(lead(created_at=NOON + timedelta(minutes=i)) for i in range(60)))
    first = LEADS.page(session, LeadFilter())
    assert (first.first, first.last, first.total, first.before) == (1, 50, 60, None)
    second = LEADS.page(session, LeadFilter(), after=first.after)
    assert (second.first, second.last, second.total, second.after) == (51, 60, 60, None)
    assert LEADS.page(session, LeadFilter.of(q="nobody")).first == 0


def test_new_lead_does_not_shift_later_pages(session: Session) -> None:
    store(session, *(lead(created_at=NOON + timedelta(minutes=i)) for i in range(60)))
    first = LEADS.page(session, LeadFilter())
    rest = LEADS.page(session, LeadFilter(), after=first.after)
    store(session, *(lead(created_at=NOON + timedelta(days=1)) for _ in range(3)))
    again = LEADS.page(session, LeadFilter(), after=first.after)
    assert [one.id for one in again.rows] == [one.id for one in rest.rows]


@pytest.mark.parametrize("place", ["after", "before"])
@pytest.mark.parametrize("number", [0, -1, 999_999, 2**31, 2**70])
def test_invalid_page_position_shows_the_first_page(
    session: Session, place: str, number: int
) -> None:
    store(session, *(lead() for _ in range(60)))
    start = LEADS.page(session, LeadFilter())
    places: dict[str, Any] = {place: number}
    shown = LEADS.page(session, LeadFilter(), **places)
    assert [one.id for one in shown.rows] == [one.id for one in start.rows]


def test_search_finds_a_part_of_address_or_name_in_any_case(session: Session) -> None:
    store(
        session,
        lead("Maria.Silva@example.com", name="Maria"),
        lead("one@example.com", name="Élodie Östberg"),
        lead("jürgen@bücher.example", name=""),
    )
    assert found(session, q="silva@EX") == ["Maria.Silva@example.com"]
    assert found(session, q="MARIA") == ["Maria.Silva@example.com"]
    assert found(session, q="élodie") == found(session, q="Östb") == ["one@example.com"]
    assert found(session, q="E\u0301LODIE ÖSTBERG".title()) == ["one@example.com"]
    assert found(session, q="JÜRGEN@bücher") == ["jürgen@bücher.example"]
    assert found(session, q="  silva ") == ["Maria.Silva@example.com"]


def test_search_treats_wildcards_as_plain_characters(session: Session) -> None:
    store(
        session,
        lead("a_b@example.com"),
        lead("axb@example.com"),
        lead("c@example.com", name="100% sure"),
        lead("d@example.com", name="100 sure"),
        lead("e@example.com", name="back\\slash"),
    )
    assert found(session, q="a_b") == ["a_b@example.com"]
    assert found(session, q="100%") == ["c@example.com"]
    assert found(session, q="back\\sl") == ["e@example.com"]
    # A term without a letter or digit matches nobody, though each address has an @.
    assert found(session, q="%") == found(session, q="_") == found(session, q="@") == []


def test_filters_are_combined(session: Session) -> None:
    store(
        session,
        lead("a@example.com", state="confirmed", page="/signup", utm_campaign="spring"),
        lead("b@example.com", state="confirmed", page="/signup", utm_campaign="fall"),
        lead("c@example.com", state="pending", page="/signup", utm_campaign="spring"),
        lead("d@example.com", state="confirmed", page="/compare", utm_campaign="spring"),
    )
    assert found(session, state="confirmed", page="/signup", campaign="spring") == ["a@example.com"]
    assert len(found(session, state="confirmed")) == 3
    assert len(found(session, state="no state")) == 4
    assert found(session, page="/elsewhere") == []


def test_more_than_a_thousand_matches_are_paged(session: Session) -> None:
    store(session, *(lead(f"many{number}@example.com") for number in range(1040)))
    shown = LEADS.page(session, LeadFilter.of(q="many"))
    later = LEADS.page(session, LeadFilter.of(q="many"), after=shown.after)
    assert (shown.total, later.total) == (1040, 1040)
    assert (later.first, later.last) == (51, 100)


def test_filter_choices_are_the_pages_and_campaigns_of_leads(session: Session) -> None:
    store(
        session,
        lead(page="/signup", utm_campaign="spring"),
        lead(page="/compare", utm_campaign=None),
        lead(page=None, utm_campaign="fall"),
        lead(page="/compare", utm_campaign="spring"),
    )
    assert listing.choices(session) == (["/compare", "/signup"], ["fall", "spring"])


@pytest.mark.walk
@settings(
    max_examples=examples(60, 20),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(text=st.text(st.characters(codec=None), max_size=300))
def test_search_accepts_any_text(session: Session, text: str) -> None:
    which = LeadFilter.of(q=text, state=text, page=text, campaign=text)
    assert LEADS.page(session, which).total == 0 or not which.active
    assert LEADS.page(session, LeadFilter.of(q=text)).rows == []


def test_figures_count_this_week_and_the_week_before(session: Session) -> None:
    ages = [0.5, 1, 6.9, 7.1, 13.9, 14.1, 40]
    store(
        session,
        *(lead(created_at=NOON - timedelta(days=age)) for age in ages),
        lead(created_at=NOON - timedelta(days=50), state="confirmed"),
    )
    figures = dashboard.figures(session, NOON)
    assert (figures.leads, figures.week, figures.week_before, figures.change) == (8, 3, 2, 1)
    assert (figures.confirmed, figures.confirmed_share) == (1, 12)


def test_days_are_utc_days_in_any_database_time_zone(engine: Engine, session: Session) -> None:
    if engine.dialect.name == "postgresql":

        @event.listens_for(engine, "connect")
        def elsewhere(connection: object, _record: object) -> None:
            connection.execute("SET TIME ZONE 'Pacific/Kiritimati'")  # type: ignore[attr-defined]

        session.close()
        engine.dispose()
    store(
        session,
        lead(created_at=datetime(2026, 11, 22, 0, 0, tzinfo=UTC)),
        lead(created_at=datetime(2026, 11, 21, 23, 59, 59, 999999, tzinfo=UTC)),
        lead(created_at=datetime(2026, 10, 24, 0, 0, tzinfo=UTC)),
        lead(created_at=datetime(2026, 10, 23, 23, 59, tzinfo=UTC)),
    )
    days = dashboard.days(session, NOON)
    assert len(days) == 30
    counted = {day.date.isoformat(): day.signups for day in days if day.signups}
    assert counted == {"2026-11-22": 1, "2026-11-21": 1, "2026-10-24": 1}
    assert [day.date for day in days] == sorted(day.date for day in days)


def test_the_newest_leads_come_first(session: Session) -> None:
    store(session, *(lead(created_at=now() - timedelta(days=i)) for i in (3, 1, 2)))
    newest = dashboard.newest(session)
    assert [one.created_at for one in newest] == sorted(
        (one.created_at for one in newest), reverse=True
    )
