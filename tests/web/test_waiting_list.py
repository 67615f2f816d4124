"""The waiting list of full cohorts: joining, mails, and the desk."""

import csv
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from crossroads.mail import suppressions
from crossroads.mail.eligibility import admit
from crossroads.notifications import announcements
from models import Announcement, ConsentEvent, Lead, Message, Waiting, db, now, writing
from tests.support.desk_visits import desk
from tests.support.order_mails import mails, part, unseated
from tests.support.people import hashed
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
from tests.support.workers import make_worker

pytestmark = pytest.mark.usefixtures("one_day")

LIST = f"{COURSE_PAGE}/waiting-list?cohort={JANUARY.code}"
GOOD = {"email": "maria@example.com", "name": "Maria", "consent": "yes"}
DATES = f"{COURSE.title}, January 19 to March 11, 2027"
WORDING = f"Tell me by email when a seat is free in {DATES}. I can unsubscribe in one click."
both = pytest.mark.parametrize("app", ["sqlite", "postgresql"], indirect=True)


@pytest.fixture
def app(request: pytest.FixtureRequest, make_app: Any) -> Flask:
    """The site on SQLite, or on the database that the test names."""
    database = getattr(request, "param", "sqlite")
    built: Flask = make_app(database_url=request.getfixturevalue(f"{database}_url"))
    return built


@pytest.fixture
def full(session: Session) -> None:
    leave(session, JANUARY, 0)


def join(client: FlaskClient, address: str = LIST, **changed: str) -> TestResponse:
    return client.post(address, data={**GOOD, **changed})


def waiting(session: Session) -> Waiting:
    session.rollback()
    return session.scalars(select(Waiting)).one()


def lead(session: Session) -> Lead:
    session.rollback()
    return session.scalars(select(Lead)).one()


def kinds(session: Session, model: Any) -> list[str]:
    session.rollback()
    return list(session.scalars(select(model.kind).order_by(model.id)))


def joined(client: FlaskClient, session: Session) -> Waiting:
    """Join the waiting list, and confirm with the mailed link."""
    join(client)
    assert client.post(f"/waiting-list/{waiting(session).token}").status_code == 200
    return waiting(session)


@pytest.mark.usefixtures("full")
def test_request_is_stored_with_the_shown_text_dates_and_page(
    client: FlaskClient, session: Session
) -> None:
    shown = words(client.get(ENROLL + f"?cohort={JANUARY.code}").text)
    referer = f"http://localhost{ENROLL}?utm_campaign=spring"
    answer = client.post(LIST, data=GOOD, headers={"Referer": referer})
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    one, person = waiting(session), lead(session)
    assert (one.course, one.cohort, one.lead_id) == (COURSE.slug, JANUARY.code, person.id)
    assert (person.state, person.page, person.utm_campaign) == ("waiting", ENROLL, "spring")
    event = session.scalars(select(ConsentEvent)).one()
    assert (event.kind, event.form, event.page) == ("asked-to-wait", "waiting-list", ENROLL)
    assert event.wording == WORDING
    assert event.wording in shown
    mail = session.scalars(select(Message)).one()
    assert (mail.kind, mail.waiting_id) == ("wait", one.id)


@pytest.mark.usefixtures("full")
def test_request_counts_only_after_the_mailed_link_is_confirmed(
    client: FlaskClient, session: Session
) -> None:
    said = words(join(client).text)
    assert "We sent a link to maria@example.com." in said
    assert "Open it to join the waiting list." in said
    address = f"/waiting-list/{waiting(session).token}"
    assert client.get(address).status_code == 200
    assert not waiting(session).waits
    done = client.post(address)
    assert done.headers["Referrer-Policy"] == "no-referrer"
    assert "You are on the waiting list" in words(done.text)
    assert DATES in words(done.text)
    assert waiting(session).waits
    assert client.post(address).status_code == 200
    assert kinds(session, ConsentEvent) == ["asked-to-wait", "waiting"]
    assert kinds(session, Message) == ["wait", "waiting"]


@both
def test_confirmed_lead_must_confirm_the_waiting_list_too(
    client: FlaskClient, session: Session
) -> None:
    client.post("/signup", data=GOOD)
    client.post(f"/confirm/{lead(session).confirm_token}")
    join(client)
    assert not waiting(session).waits
    assert lead(session).state == "confirmed"
    assert kinds(session, Message)[-1] == "wait"
    client.post(f"/waiting-list/{waiting(session).token}")
    assert waiting(session).waits
    assert lead(session).state == "confirmed"


def test_waiting_is_no_consent_to_updates(client: FlaskClient, session: Session) -> None:
    joined(client, session)
    assert lead(session).state == "waiting"
    client.post("/signup", data=GOOD)  # this form needs no proof of ownership
    assert lead(session).state == "pending"
    assert waiting(session).waits
    assert kinds(session, Message) == ["wait", "waiting", "confirm"]


def test_response_is_the_same_for_known_and_unknown_addresses(
    client: FlaskClient, session: Session
) -> None:
    first = join(client).text
    assert join(client).text == first
    client.post(f"/waiting-list/{waiting(session).token}")
    assert join(client).text == first
    client.post(f"/unsubscribe/{lead(session).unsubscribe_token}")
    assert join(client).text == first
    assert join(client, website="http://spam.example").text == first


def test_mails_to_one_address_are_limited_per_hour(client: FlaskClient, session: Session) -> None:
    for _ in range(6):
        join(client)
    assert kinds(session, Message) == ["wait"] * 3
    client.post(f"/waiting-list/{waiting(session).token}")
    with time_machine.travel(now() + timedelta(hours=2), tick=True):
        for _ in range(3):
            join(client)
    # The confirmed page already said it, so no fourth mail was queued in that hour.
    assert kinds(session, Message) == ["wait"] * 3 + ["waiting"]


def test_request_with_the_trap_field_gets_no_mail(client: FlaskClient, session: Session) -> None:
    join(client, website="http://spam.example")
    assert lead(session).state == "held"
    assert kinds(session, Message) == []
    join(client)
    assert lead(session).state == "waiting"
    assert kinds(session, Message) == ["wait"]


@both
def test_unsubscribing_leaves_the_waiting_list_and_undo_rejoins_it(
    client: FlaskClient, session: Session
) -> None:
    link = joined(client, session).token
    way_out = f"/unsubscribe/{lead(session).unsubscribe_token}"
    client.post(way_out)
    assert not waiting(session).waits
    assert client.post(f"/waiting-list/{link}").status_code == 404  # the old link is void
    client.post(way_out, data={"action": "undo"})
    assert waiting(session).waits
    assert lead(session).state == "waiting"


def test_waiting_list_and_updates_are_rejoined_separately(
    client: FlaskClient, session: Session
) -> None:
    client.post("/signup", data=GOOD)
    client.post(f"/confirm/{lead(session).confirm_token}")
    client.post(f"/unsubscribe/{lead(session).unsubscribe_token}")
    joined(client, session)
    assert lead(session).state == "waiting"
    client.post(f"/unsubscribe/{lead(session).unsubscribe_token}")
    assert not waiting(session).waits
    client.post("/signup", data=GOOD)
    client.post(f"/confirm/{lead(session).confirm_token}")
    assert lead(session).state == "confirmed"
    assert not waiting(session).waits  # and the reverse


def test_expired_link_can_be_renewed(client: FlaskClient, session: Session) -> None:
    join(client)
    address = f"/waiting-list/{waiting(session).token}"
    with time_machine.travel(now() + timedelta(days=8), tick=True):
        assert client.get(address).status_code == 410
        assert client.post(address).status_code == 410
        assert not waiting(session).waits
        assert "A new link is on its way" in words(
            client.post(address, data={"action": "renew"}).text
        )
        assert client.post(address).status_code == 200
        assert waiting(session).waits
    unknown = client.get("/waiting-list/no-such-token")
    assert unknown.status_code == 404
    assert "This link is not valid" in words(unknown.text)


def test_mail_that_no_longer_applies_is_held(client: FlaskClient, session: Session) -> None:
    joined(client, session)

    def goes(kind: str) -> bool:
        session.rollback()
        mail = session.scalars(select(Message).where(Message.kind == kind)).one()
        return admit(session, mail, "me") is not None

    assert (goes("wait"), goes("waiting")) == (False, True)
    client.post(f"/unsubscribe/{lead(session).unsubscribe_token}")
    assert not goes("waiting")


def test_mails_name_the_dates_of_the_waiting_list(
    app: Flask, client: FlaskClient, session: Session, instance: Path
) -> None:
    join(client, name="Maria")

    def newest() -> str:
        with app.app_context():
            assert make_worker(db.engine, instance=instance).deliver_due().sent == 1
        (file,) = sorted((instance / "mail").glob("*.eml"))[-1:]
        return re.sub(r"=\r?\n", "", file.read_text("utf-8"))

    asked = newest()
    assert "Subject: Confirm your waiting list request" in asked
    assert f"/waiting-list/{waiting(session).token}" in asked
    assert "Hello" not in asked
    assert WORDING in " ".join(asked.split())
    assert "List-Unsubscribe" not in asked
    client.post(f"/waiting-list/{waiting(session).token}")
    told = newest()
    assert "Subject: You are on the waiting list" in told
    assert f"Hello Maria, you are on the waiting list for {DATES}" in " ".join(told.split())
    assert "List-Unsubscribe" in told


def test_mistake_is_shown_and_page_and_campaign_are_kept(
    client: FlaskClient, session: Session
) -> None:
    referer = {"Referer": f"http://localhost{COURSE_PAGE}?utm_source=news"}
    answer = client.post(LIST, data={"email": "maria@example", "name": "Maria"}, headers=referer)
    assert answer.status_code == 422
    assert "Correct these 2 things" in words(answer.text)
    assert 'value="maria@example"' in answer.text
    kept = dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', answer.text))
    del kept["wording"]
    assert kept == {"page": COURSE_PAGE, "utm_source": "news"}
    join(client, **kept)
    assert (lead(session).page, lead(session).utm_source) == (COURSE_PAGE, "news")


def test_post_from_another_site_is_refused(client: FlaskClient, session: Session) -> None:
    headers = {"Sec-Fetch-Site": "cross-site"}
    assert client.post(LIST, data=GOOD, headers=headers).status_code == 403
    assert list(session.scalars(select(Waiting))) == []


def test_full_course_has_the_form_in_its_page(client: FlaskClient, session: Session) -> None:
    for cohort in COURSE.cohorts:
        leave(session, cohort, 0)
    for address in (COURSE_PAGE, ENROLL):
        html = client.get(address).text
        assert WORDING in words(html)
        assert f'action="{LIST}#waiting-list"' in html
        assert "Join the waiting list" in buttons(html)
    others = links(client.get(COURSE_PAGE).text, f"{COURSE_PAGE}/waiting-list")
    assert others == [f"{COURSE_PAGE}/waiting-list?cohort={one.code}" for one in COURSE.cohorts[1:]]
    april = words(client.get(others[0]).text)
    assert f"{COURSE.title}, April 6 to" in april


def test_enroll_form_of_a_cohort_filled_meanwhile_has_a_waiting_list(
    client: FlaskClient, session: Session
) -> None:
    form = typed(client, name="Zoë")
    leave(session, JANUARY, 0)
    html = client.post(ENROLL, data=form).text
    assert "The last seat on these dates has just been taken. Nothing was charged." in words(html)
    section = html[html.index('id="waiting-list"') :]
    assert f'action="{LIST}#waiting-list"' in section
    assert 'value="Zoë"' in section
    assert 'value="maria@example.com"' in section


def test_waiting_list_of_an_open_or_started_cohort_explains_itself(
    client: FlaskClient, session: Session
) -> None:
    html = client.get(LIST).text
    assert "24 seats are free on these dates." in words(html)
    assert f'href="{ENROLL}?cohort={JANUARY.code}"' in html
    with time_machine.travel("2027-02-01T12:00:00+00:00", tick=True):
        late = join(client)
        assert late.status_code == 404
        assert "These dates have started" in words(late.text)
    assert list(session.scalars(select(Waiting))) == []
    assert client.get(f"{COURSE_PAGE}/waiting-list").status_code == 404
    assert client.get("/courses/no-such/waiting-list?cohort=x").status_code == 404


@both
def test_desk_counts_filters_and_exports_waiting_leads(
    app: Flask, client: FlaskClient, session: Session
) -> None:
    joined(client, session)
    join(client, email="not.confirmed@example.com")
    join(client, f"{COURSE_PAGE}/waiting-list?cohort={APRIL.code}", email="april@example.com")
    session.rollback()
    token = session.scalars(select(Waiting.token).where(Waiting.cohort == APRIL.code)).one()
    client.post(f"/waiting-list/{token}")
    staff = desk(app)
    home = words(staff.get("/admin/").text)
    assert f"{DATES} 1" in home
    wanted = f"{COURSE.slug}/{JANUARY.code}"
    page = staff.get(f"/admin/leads?waiting={wanted}").text
    assert f"{DATES} (1)" in words(page)
    assert "Export 1 lead" in page
    assert "Export 2 leads" in staff.get(f"/admin/leads?waiting={COURSE.slug}").text
    token = re.findall(r'name="csrf_token" value="([^"]+)"', page)[0]
    given = {"csrf_token": token, "format": "csv", "waiting": wanted}
    with staff.post("/admin/leads/export", data=given) as answer:
        exported = list(csv.DictReader(answer.get_data(as_text=True).splitlines()))
    assert [row["waits_for"] for row in exported] == [wanted]
    session.rollback()
    number = session.scalars(select(Lead.id).where(Lead.email == GOOD["email"])).one()
    record = staff.get(f"/admin/leads/{number}").text
    assert WORDING in words(record)
    assert "Confirmed for the waiting list" in words(record)
    assert "January 19 to March 11, 2027 Waits" in words(record)


@both
def test_late_buyer_joins_the_waiting_list_automatically(
    app: Flask, client: FlaskClient, session: Session, instance: Path
) -> None:
    order = unseated(session)
    page = f"/orders/{order.token}"
    assert waiting(session).waits
    assert lead(session).state == "waiting"
    event = session.scalars(select(ConsentEvent)).one()
    assert (event.kind, event.form, event.page) == ("paid-to-wait", "order", ENROLL)
    assert event.wording.startswith(f"Paid for {order.item}, order {order.id}, when no seat")
    assert "You are on the waiting list" in words(client.get(page).text)
    staff = desk(app)
    assert links(staff.get("/admin/").text, "/admin/leads?waiting=")
    assert (
        "Paid for a seat when none was left" in staff.get(f"/admin/leads/{lead(session).id}").text
    )
    letter = Announcement(subject="x", body="x", rate=60, waiting=f"{COURSE.slug}/{JANUARY.code}")
    assert announcements.count(session, letter) == 1
    (mail,) = mails(app, instance)
    for kind in ("plain", "html"):
        assert f"/unsubscribe/{lead(session).unsubscribe_token}" in part(mail, kind)
    client.post(f"/unsubscribe/{lead(session).unsubscribe_token}")
    assert not waiting(session).waits
    assert announcements.count(session, letter) == 0
    assert "Join the waiting list" in words(client.get(page).text)


def test_late_buyer_on_the_list_keeps_waiting_time_and_subscription(
    client: FlaskClient, session: Session
) -> None:
    client.post("/signup?utm_source=x", data=GOOD)
    client.post(f"/confirm/{lead(session).confirm_token}")
    joined(client, session)
    since = waiting(session).since
    unseated(session)
    assert waiting(session).since == since
    assert (lead(session).state, lead(session).utm_source) == ("confirmed", "x")


@pytest.mark.parametrize("reason", ["erased", "bounced", "unsubscribed"])
def test_late_buyer_without_mail_consent_joins_no_list(
    client: FlaskClient, session: Session, reason: str
) -> None:
    if reason == "unsubscribed":
        client.post("/signup", data=GOOD)
        client.post(f"/unsubscribe/{lead(session).unsubscribe_token}")
    else:
        writing(session)
        suppressions.add(session, hashed(), reason)
        session.commit()
    unseated(session)
    assert session.scalars(select(Waiting)).all() == []
    assert kinds(session, Message)[-1] == "unseated"
    assert "paid-to-wait" not in kinds(session, ConsentEvent)
