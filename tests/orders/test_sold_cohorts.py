"""Content against orders: a cohort that differs from the sold one is reported with its orders."""

from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy.orm import Session

from crossroads import current
from crossroads.orders import seats, sold_cohorts
from models import Lead, Order, Waiting, db, now, writing
from tests.support.databases import opened, plans
from tests.support.desk_visits import desk, lead
from tests.support.order_states import bring
from tests.support.orders import COURSE
from tests.support.workers import WORDS

FILE = "site/content/courses/ai-pm-bootcamp.yaml"
JANUARY, APRIL, SEPTEMBER = COURSE.cohorts
TODAY = date(2026, 12, 1)
GONE = "course ai-pm-bootcamp, cohort 2027-january: is not in the content any more"

Open = Callable[..., Flask]


@pytest.fixture
def open_site(make_app: Any, site_root: Path, database_url: str) -> Open:
    """Open the site with edits of the course's file, each an old and a new text."""

    def open_one(*edits: tuple[str, str]) -> Flask:
        file = site_root / FILE
        text = file.read_text("utf-8")
        for old, new in edits:
            assert old in text
            text = text.replace(old, new, 1)
        file.write_text(text, "utf-8")
        app: Flask = make_app(root=site_root, database_url=database_url)
        return app

    return open_one


def sell(app: Flask) -> list[int]:
    """Sell January to two buyers, one of them unpaid, and refund a third one."""
    with app.app_context(), Session(db.engine) as session:
        writing(session)
        sold = [
            bring(session, "paid", cohort=JANUARY, number=2),
            bring(session, "open", cohort=JANUARY),
        ]
        bring(session, "refunded", cohort=JANUARY)
        bring(session, "expired", cohort=JANUARY)
        person = lead("waits@example.com", state="confirmed")
        session.add(person)
        session.flush()
        waiting: dict[str, Any] = {
            "course": COURSE.slug,
            "cohort": JANUARY.code,
            "confirm_until": now(),
        }
        session.add(Waiting(lead_id=person.id, since=now(), **waiting))
        numbers = [one.id for one in sold]
        session.commit()
        return numbers


def check(app: Flask) -> tuple[int, str]:
    result = app.test_cli_runner().invoke(args=["content", "check"])
    return result.exit_code, result.output


def doctor(app: Flask) -> str:
    return str(app.test_cli_runner().invoke(args=["doctor"]).output)


RENAMED = ("code: 2027-january", "code: winter")
LEFT = (
    """  - code: 2027-january
    title: January 2027
    starts: 2027-01-19
    ends: 2027-03-11
    timezone: America/New_York
    meets: Tuesdays and Thursdays, 6:00 to 7:30 pm New York time
    weekly:
      - {day: Tuesday, starts: "18:00", ends: "19:30"}
      - {day: Thursday, starts: "18:00", ends: "19:30"}
    seats: 24
""",
    "",
)
MOVED = ("starts: 2027-01-19", "starts: 2027-01-26")
SHRUNK = ("seats: 24", "seats: 2")
MOVED_SAYS = (
    "was sold for 2027-01-19 to 2027-03-11 (America/New_York), "
    "and is now 2027-01-26 to 2027-03-11 (America/New_York)"
)


@pytest.mark.parametrize(
    ("edits", "says", "code"),
    [
        ([RENAMED], "is not in the content any more (renamed to winter?", 1),
        ([RENAMED, MOVED], "is not in the content any more (renamed to winter?", 1),
        ([LEFT], "is not in the content any more. Affected", 1),
        ([MOVED], MOVED_SAYS, 0),
        ([SHRUNK], "has 2 seats, and 3 are taken", 1),
    ],
    ids=["renamed", "renamed and moved", "left", "moved", "shrank"],
)
def test_changed_cohort_is_reported_with_the_affected_orders(
    open_site: Open, edits: list[tuple[str, str]], says: str, code: int
) -> None:
    first = open_site()
    paid, held = sell(first)
    assert check(first)[0] == 0
    assert "fine: cohorts are as they were sold" in doctor(first)
    app = open_site(*edits)
    exit_code, said = check(app)
    assert exit_code == code
    assert f"course ai-pm-bootcamp, cohort 2027-january: {says}" in said
    who = f"Affected: 3 seats, 2 orders ({paid}, {held}), 1 on the waiting list"
    assert who in said
    assert "@" not in said, "addresses are shown to staff alone"
    examined = doctor(app)
    assert says in examined and who in examined
    page = desk(app).get("/admin/").text
    if edits == [SHRUNK]:
        assert "1 seat more taken than there are" in page
        assert "no longer as sold" not in page
    else:
        assert "1 cohort is no longer as sold" in page
        assert says.split(". ")[0] in page
        assert f'href="/admin/orders?course={COURSE.slug}/{JANUARY.code}">2 orders</a>' in page
    client = desk(app, "finance")
    listed = client.get(f"/admin/orders?course={COURSE.slug}/{JANUARY.code}").text
    assert f'href="/admin/orders/{paid}"' in listed and f'href="/admin/orders/{held}"' in listed
    assert "no longer as sold" not in desk(app, "marketer").get("/admin/").text


def test_only_orders_for_the_old_dates_are_affected_by_a_move(open_site: Open) -> None:
    paid, held = sell(open_site())
    app = open_site(MOVED)
    moved = JANUARY.model_copy(update={"starts": JANUARY.starts + timedelta(days=7)})
    with app.app_context(), Session(db.engine) as session:
        writing(session)
        bring(session, "paid", cohort=moved)
        session.commit()
    assert f"Affected: 3 seats, 2 orders ({paid}, {held}), 1 on" in check(app)[1]


def test_renamed_course_is_distinguished_from_a_removed_one(open_site: Open) -> None:
    app = open_site()
    sell(app)
    renamed = COURSE.model_copy(update={"slug": "ai-pm-course"})
    with app.app_context(), Session(db.engine) as session:
        words = WORDS.model_copy(update={"courses": (renamed,)})
        (found,) = sold_cohorts.compare(session, words, TODAY)
        assert "renamed to ai-pm-course/2027-january?" in str(found)
        (found,) = sold_cohorts.compare(session, WORDS.model_copy(update={"courses": ()}), TODAY)
        assert "renamed" not in str(found)


def test_orders_without_stored_dates_are_not_reported_as_moved(open_site: Open) -> None:
    app = open_site(MOVED)
    sell(app)
    with app.app_context(), Session(db.engine) as session:
        writing(session)
        for order in session.query(Order):
            order.cohort_starts = order.cohort_ends = order.cohort_timezone = None
        session.commit()
        content = current.of(app).store.content
        assert sold_cohorts.compare(session, content, TODAY) == []
    app = open_site(("code: 2027-january", "code: winter"))
    assert "2027-january: is not in the content any more. Affected: 3 seats" in check(app)[1]


def test_cohort_may_be_removed_only_after_the_dates_that_were_sold(
    open_site: Open,
) -> None:
    sell(open_site())
    app = open_site(LEFT)
    after = JANUARY.ends + timedelta(days=1)
    with app.app_context(), Session(db.engine) as session:
        content = current.of(app).store.content
        assert len(sold_cohorts.compare(session, content, JANUARY.ends)) == 1
        assert sold_cohorts.compare(session, content, after) == []


def test_cohort_with_only_reserved_or_waiting_people_is_reported(open_site: Open) -> None:
    app = open_site()
    with app.app_context(), Session(db.engine) as session:
        writing(session)
        seats.reserve(session, COURSE, JANUARY, 4)
        person = lead("waits@example.com", state="confirmed")
        session.add(person)
        session.flush()
        waiting: dict[str, Any] = {"course": COURSE.slug, "confirm_until": now()}
        session.add(Waiting(lead_id=person.id, since=now(), cohort=APRIL.code, **waiting))
        session.add(Waiting(lead_id=person.id, cohort=SEPTEMBER.code, **waiting))  # unconfirmed
        session.commit()
        assert session.query(Lead).count() == 1
    app = open_site(*((f"code: {one.code}", f"code: x-{one.code}") for one in COURSE.cohorts))
    code, said = check(app)
    assert code == 1
    lines = [line for line in said.splitlines() if line.startswith("course ")]
    assert [line.rpartition("Affected: ")[2] for line in lines] == [
        "0 seats, 1 on the waiting list",
        "4 seats",
    ]


def test_content_is_checked_without_a_database(make_app: Any, tmp_path: Path) -> None:
    for url in ("postgresql://nobody@127.0.0.1:1/nothing", f"sqlite:///{tmp_path / 'none.db'}"):
        code, said = check(make_app(database_url=url))
        assert code == 0
        assert "the content was not compared with orders: there is no database to read\n" in said
        assert "no mistakes in" in said
    assert not (tmp_path / "none.db").exists()


def test_content_is_checked_before_the_first_setup(make_app: Any, empty_database_url: str) -> None:
    app = make_app(database_url=empty_database_url)
    with app.app_context(), db.engine.connect():  # the file, which settings create at the start
        pass
    code, said = check(app)
    assert code == 0
    assert (
        "note: the content was not compared with orders: the database has no tables yet: "
        "run flask setup\n"
    ) in said


def test_sold_cohorts_are_summed_from_an_index(sqlite_url: str) -> None:
    with opened(sqlite_url) as engine, Session(engine) as session:
        looked = plans(session, lambda: sold_cohorts.compare(session, WORDS, TODAY))
    assert "COVERING INDEX ix_order_course_cohort" in looked[0]
