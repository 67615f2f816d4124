"""The course page: cohorts that are open, nearly full, full and past."""

import pytest
import time_machine
from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from tests.support.purchases import (
    APRIL,
    COURSE,
    COURSE_PAGE,
    ENROLL,
    JANUARY,
    buttons,
    leave,
    links,
    typed,
    words,
)

pytestmark = pytest.mark.usefixtures("one_day")


def test_every_open_cohort_has_a_link_to_enroll(client: FlaskClient) -> None:
    html = client.get(COURSE_PAGE).text
    codes = [f"{ENROLL}?cohort={cohort.code}" for cohort in COURSE.cohorts]
    assert [link for link in links(html, ENROLL) if "?" in link] == codes
    assert f'<a class="button" href="{ENROLL}">Enroll</a>' in html
    assert "24 seats left of 24" in words(html)


def test_full_cohort_is_marked_and_the_next_start_is_named(
    client: FlaskClient, session: Session
) -> None:
    leave(session, JANUARY, 0)
    leave(session, APRIL, 3)
    html = client.get(COURSE_PAGE).text
    read = words(html)
    assert f"{ENROLL}?cohort={JANUARY.code}" not in links(html, ENROLL)
    assert '<span class="state full">Full</span>' in html
    assert links(html, f"{COURSE_PAGE}/waiting") == [
        f"{COURSE_PAGE}/waiting-list?cohort={JANUARY.code}"
    ]
    assert "3 seats left of 24" in read
    assert "Next start April 6, 2027" in read


def test_full_course_offers_only_the_waiting_list(client: FlaskClient, session: Session) -> None:
    for cohort in COURSE.cohorts:
        leave(session, cohort, 0)
    html = client.get(COURSE_PAGE).text
    assert links(html, ENROLL) == []
    assert '<a class="button" href="#waiting-list">Join the waiting list</a>' in html


def test_cohort_that_has_started_is_not_sold(client: FlaskClient) -> None:
    with time_machine.travel("2027-02-01T12:00:00+00:00", tick=True):
        html = client.get(COURSE_PAGE).text
        assert f"{ENROLL}?cohort={JANUARY.code}" not in links(html, ENROLL)
        assert "Already started" in words(html)
        assert JANUARY.code not in client.get(ENROLL).text
        with_past = client.post(ENROLL, data=typed(client, cohort=JANUARY.code))
        assert with_past.status_code == 422


def test_course_with_only_past_dates_sells_nothing(client: FlaskClient) -> None:
    with time_machine.travel("2028-02-01T12:00:00+00:00", tick=True):
        html = client.get(COURSE_PAGE).text
        assert links(html, ENROLL) == []
        assert "The next dates are not set yet." in words(html)
        assert buttons(client.get(ENROLL).text) == []
