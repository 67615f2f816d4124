"""Seats: how many are left, who gets the last ones, and when the course page shows a change."""

import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from crossroads import current
from crossroads.content import Cohort, Course, load
from crossroads.middleware import page_cache
from crossroads.orders import ledger, refunds, seats
from models import db, writing
from tests.support.desk_visits import desk
from tests.support.order_states import bring, refund
from tests.support.paths import ROOT
from tests.support.purchases import links, words
from tests.support.signups import shown

COURSE = load(ROOT / "site" / "content").courses[0]
JANUARY, APRIL, SEPTEMBER = COURSE.cohorts
ADDRESS = f"/courses/{COURSE.slug}"
BEFORE = datetime(2026, 11, 23, 12, tzinfo=UTC)
SOON = 30.0  # seconds, on a busy machine


@pytest.fixture
def app(make_app: Any, database_url: str) -> Flask:
    """The site on each database."""
    built: Flask = make_app(database_url=database_url)
    return built


@pytest.fixture(autouse=True)
def early() -> Iterator[None]:
    """Start every test before the first cohort."""
    with time_machine.travel(BEFORE):
        yield


def reserve(
    session: Session, number: int, cohort: Cohort = JANUARY, course: Course = COURSE
) -> int:
    writing(session)
    left = seats.reserve(session, course, cohort, number)
    session.commit()
    return left


def state(session: Session, at: datetime = BEFORE) -> list[tuple[str, int, str]]:
    found = seats.availabilities(session, COURSE, at)
    session.rollback()
    return [(place.cohort.code, place.left, place.state) for place in found]


def flask(app: Flask, *arguments: str) -> tuple[int, str]:
    result = app.test_cli_runner().invoke(args=["seats", *arguments])
    return result.exit_code, result.output


def shows(client: FlaskClient, words: str) -> bool:
    """Return whether the course page shows the words soon."""
    until = time.monotonic() + SOON
    while words not in shown(client.get(ADDRESS).text):
        if time.monotonic() > until:
            return False
        time.sleep(0.02)
    return True


def test_availability_follows_the_reserved_seats(session: Session) -> None:
    assert state(session)[0] == (JANUARY.code, 24, "open")
    assert reserve(session, 18) == 6
    assert state(session)[0] == (JANUARY.code, 6, "open")
    assert reserve(session, 1) == 5
    assert state(session)[0] == (JANUARY.code, 5, "few")
    assert reserve(session, 5) == 0
    assert state(session)[0] == (JANUARY.code, 0, "full")
    assert reserve(session, -2) == 2
    assert state(session)[0] == (JANUARY.code, 2, "few")
    assert state(session)[1] == (APRIL.code, 24, "open"), "the others are untouched"


@pytest.mark.parametrize(
    ("reserved", "number", "told"),
    [
        (0, 25, "24 seats left: reserve 24 or fewer"),
        (23, 2, "1 seat left: reserve 1 or fewer"),
        (24, 1, "no seats left: there is nothing to reserve"),
        (3, -4, "3 seats reserved: release 3 or fewer"),
        (0, -1, "no seats reserved: there is nothing to release"),
    ],
)
def test_reserving_or_releasing_too_many_seats_is_refused(
    session: Session, reserved: int, number: int, told: str
) -> None:
    if reserved:
        reserve(session, reserved)
    with pytest.raises(seats.SeatsError, match=re.escape(told)):
        reserve(session, number)
    session.rollback()
    assert state(session)[0][1] == 24 - reserved


def test_smaller_cohort_has_no_negative_seats(session: Session) -> None:
    reserve(session, 20)
    smaller = JANUARY.model_copy(update={"seats": 15})
    course = COURSE.model_copy(update={"cohorts": (smaller,)})
    (place,) = seats.availabilities(session, course, BEFORE)
    session.rollback()
    assert (place.left, place.state) == (0, "full")
    assert reserve(session, -1, smaller, course) == 0
    with pytest.raises(seats.SeatsError, match="no seats left"):
        reserve(session, 1, smaller, course)


def test_desk_reports_an_overbooked_cohort(app: Flask, session: Session) -> None:
    staff = desk(app, "finance")
    writing(session)
    order = bring(session, "paid", cohort=JANUARY)
    returned = refund(order)
    refunds.record_status(session, order, returned, "event")
    session.commit()
    reserve(session, 24)
    said = "1 seat more taken than there are"
    assert not any(said in staff.get(path).text for path in ("/admin/", "/admin/orders"))
    writing(session)
    failed = replace(returned, status="failed")
    refunds.record_status(session, ledger.lock(session, order.id), failed, "event")
    session.commit()
    for path in ("/admin/", "/admin/orders"):
        page = staff.get(path).text
        assert said in page
        (address,) = links(page, "/admin/enrollments?course")
        assert "1 more taken than there are" in words(staff.get(address).text)
    started = datetime.combine(JANUARY.starts, BEFORE.time(), UTC)
    assert seats.overbooked(session, [COURSE], BEFORE) != []
    assert seats.overbooked(session, [COURSE], started) == []


def test_concurrent_reservations_do_not_exceed_the_seats(app: Flask) -> None:
    """Twelve callers want five seats each of 24: four get them."""
    with app.app_context():
        engine = db.engine

    def want(_: int) -> bool:
        with Session(engine) as session:
            try:
                reserve(session, 5)
            except seats.SeatsError:
                return False
            return True

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(want, range(12))) == 4
    with Session(engine) as session:
        assert state(session)[0][1] == 4


def test_cohort_is_past_when_its_first_day_begins_in_its_time_zone(session: Session) -> None:
    midnight = datetime(2027, 1, 19, 5, tzinfo=UTC)  # in New York
    assert state(session, midnight.replace(hour=4, minute=59))[0][2] == "open"
    assert [one[2] for one in state(session, midnight)] == ["past", "open", "open"]
    late = datetime(2028, 1, 1, tzinfo=UTC)
    assert [one[2] for one in state(session, late)] == ["past", "past", "past"]


def test_command_prints_the_seats_left(app: Flask) -> None:
    assert flask(app, "reserve", COURSE.slug, JANUARY.code, "3") == (
        0,
        f"21 of 24 seats left in {JANUARY.code}\n",
    )
    assert flask(app, "release", COURSE.slug, JANUARY.code, "1") == (
        0,
        f"22 of 24 seats left in {JANUARY.code}\n",
    )


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["nothing", JANUARY.code, "1"], f"no course 'nothing': use {COURSE.slug}"),
        ([COURSE.slug, "2020", "1"], f"no cohort '2020': use {JANUARY.code} or {APRIL.code} or"),
        ([COURSE.slug, JANUARY.code, "25"], "24 seats left: reserve 24 or fewer"),
        ([COURSE.slug, JANUARY.code, "0"], "0 is not in the range x>=1"),
        ([COURSE.slug, JANUARY.code, "-3"], "No such option"),
    ],
)
def test_command_reports_a_wrong_argument_in_one_sentence(
    app: Flask, arguments: list[str], told: str
) -> None:
    code, said = flask(app, "reserve", *arguments)
    assert code != 0
    assert told in said
    assert "Traceback" not in said


def test_course_page_shows_a_change_within_ten_seconds(make_app: Any) -> None:
    assert 2 * page_cache.POLL_SECONDS < 10
    app = make_app()
    current.of(app).pages.poll = 0.05
    client = app.test_client()
    assert "24 seats left of 24" in shown(client.get(ADDRESS).text)
    assert flask(app, "reserve", COURSE.slug, JANUARY.code, "23")[0] == 0
    assert shows(client, "1 seat left of 24")
    assert flask(app, "reserve", COURSE.slug, JANUARY.code, "1")[0] == 0
    assert shows(client, "Full")
    assert "Starts April 6, 2027" in shown(client.get(ADDRESS).text)


def test_next_start_on_the_course_page_changes_at_midnight(make_app: Any) -> None:
    with time_machine.travel(datetime(2027, 1, 19, 4, 59, 57, tzinfo=UTC)) as clock:
        app = make_app()
        current.of(app).pages.poll = 0.05
        client = app.test_client()
        assert "Starts January 19, 2027" in shown(client.get(ADDRESS).text)
        clock.move_to(datetime(2027, 1, 19, 5, 0, 1, tzinfo=UTC))
        assert shows(client, "Starts April 6, 2027")
        assert "Already started" in shown(client.get(ADDRESS).text)
        clock.move_to(datetime(2028, 1, 1, tzinfo=UTC))
        assert shows(client, "Next dates not set yet")
