"""The student's page: status first, and open only to those who have its address."""

from typing import Any

import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient
from icalendar import Calendar
from sqlalchemy.orm import Session

from crossroads.orders import lifecycle as orders
from models import Enrollment, writing
from tests.support.orders import paid, with_checkout
from tests.support.purchases import COURSE, JANUARY, buttons, heading, links, words

pytestmark = pytest.mark.usefixtures("one_day")


@pytest.fixture
def app(make_app: Any) -> Flask:
    built: Flask = make_app(base_url="http://shop.example")
    return built


def enrolled(session: Session, number: int = 1, **amounts: int) -> list[Enrollment]:
    """Return the seats of a newly paid order."""
    writing(session)
    order = with_checkout(session, cohort=JANUARY, number=number)
    orders.fulfill(session, order.id, paid(order, **amounts), "test")
    found = list(orders.enrollments(session, order))
    session.commit()
    return found


def page(client: FlaskClient, enrollment: Enrollment) -> str:
    answer = client.get(f"/enrollments/{enrollment.token}")
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert "Set-Cookie" not in answer.headers
    assert '<meta name="robots" content="noindex">' in answer.text
    return answer.text


def test_page_shows_first_session_then_dates_then_payment(
    client: FlaskClient, session: Session
) -> None:
    (seat,) = enrolled(session)
    html = page(client, seat)
    read = words(html)
    assert heading(html) == COURSE.title
    said = [
        "Your seat, Maria",
        "Your first session: Tuesday, January 19, 2027, 6:00 pm to 7:30 pm, New York time.",
        "Dates January 19 to March 11, 2027",
        "Time zone New York time",
        "Before January 19, 2027 The course team emails you how to join",
        "March 11, 2027 The last day of the course.",
        "If you do not know how to join by January 18, 2027, write to us.",
        "Paid $1,200 Date November 22, 2026 Order number",
        "Email address maria@example.com",
        "Anyone with the address of this page can open it",
    ]
    places = [read.find(one) for one in said]
    assert -1 not in places
    assert places == sorted(places)
    assert "hello@example.com" in read
    assert COURSE.refund_rule in read
    assert buttons(html) == []  # the page has no buttons


@pytest.mark.parametrize(
    ("moment", "said"),
    [
        ("2027-01-19T20:00-05:00", "Your next session: Thursday, January 21, 2027, 6:00 pm"),
        ("2027-01-21T19:29-05:00", "Your next session: Thursday, January 21, 2027, 6:00 pm"),
        ("2027-03-11T20:00-05:00", "Your course runs until March 11, 2027."),
        ("2027-03-12T00:01-05:00", "This course ended on March 11, 2027."),
    ],
)
def test_status_changes_with_the_dates_of_the_course(
    client: FlaskClient, session: Session, moment: str, said: str
) -> None:
    (seat,) = enrolled(session)
    with time_machine.travel(moment, tick=True):
        read = words(page(client, seat))
    assert said in read
    assert "The course team emails you how to join" not in read
    assert ("The course team sent both by email" in read) is ("ended" not in said)


def test_receipt_shows_discount_and_tax(client: FlaskClient, session: Session) -> None:
    amounts = {"amount_discount": 20_000, "amount_tax": 19_000, "amount_total": 119_000}
    read = words(page(client, enrolled(session, **amounts)[0]))
    assert "Price $1,200 Discount -$200 Tax $190 Paid $1,190" in read


def test_receipt_shows_included_tax(client: FlaskClient, session: Session) -> None:
    read = words(page(client, enrolled(session, amount_tax=19_000)[0]))
    assert "Tax, included $190 Paid $1,200" in read


def test_page_of_another_seat_shows_no_data_of_the_buyer(
    client: FlaskClient, session: Session
) -> None:
    first, second = enrolled(session, number=2)
    assert "Your seat, Maria, 1 of 2" in words(page(client, first))
    read = words(page(client, second))
    assert "Your seat, 2 of 2" in read
    assert "Your first session: Tuesday, January 19, 2027" in read
    for private in ("Maria", "maria@example.com", "$2,400"):
        assert private not in read
    assert first.token not in page(client, second)


def test_calendar_file_comes_with_the_page(client: FlaskClient, session: Session) -> None:
    (seat,) = enrolled(session)
    address = f"/enrollments/{seat.token}/calendar.ics"
    assert links(page(client, seat), address) == [address]
    answer = client.get(address)
    assert answer.mimetype == "text/calendar"
    assert answer.headers["Cache-Control"] == "no-store"
    name = f'attachment; filename="{COURSE.slug}-{JANUARY.code}.ics"'
    assert answer.headers["Content-Disposition"] == name
    events: Any = Calendar.from_ical(answer.data).walk("VEVENT")
    assert len(events) == len(JANUARY.weekly)
    link = f"http://shop.example/enrollments/{seat.token}"
    assert all(link in event["DESCRIPTION"] for event in events)


def test_address_cannot_be_guessed(client: FlaskClient, session: Session) -> None:
    (seat,) = enrolled(session)
    assert len(seat.token) >= 22  # 128 bits in base64
    for guess in (str(seat.id), str(seat.order_id), seat.token[:-1], seat.token.swapcase()):
        for path in (f"/enrollments/{guess}", f"/enrollments/{guess}/calendar.ics"):
            answer = client.get(path)
            assert answer.status_code == 404
            assert b"Maria" not in answer.data


def test_page_works_for_a_removed_cohort(make_app: Any, site_root: Any, session: Session) -> None:
    client = make_app(root=site_root).test_client()
    (seat,) = enrolled(session)
    file = site_root / "site/content/courses/ai-pm-bootcamp.yaml"
    file.write_text(file.read_text().replace(JANUARY.code, "another-code"))
    read = words(page(client, seat))
    assert "Your seat is paid for." in read
    assert "Paid $1,200" in read
    assert client.get(f"/enrollments/{seat.token}/calendar.ics").status_code == 404
