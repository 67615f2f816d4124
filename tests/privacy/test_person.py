"""One person: all stored data about them in one file, and its erasure everywhere."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select
from sqlalchemy.orm import Session

from crossroads.leads import search_index
from crossroads.mail import eligibility, outbox
from crossroads.orders import lifecycle as orders
from models import Base, Enrollment, Lead, Message, Order, OrderEvent, Suppression, now, writing
from tests.support.desk_visits import desk, send
from tests.support.one_person import BROWSER, EMAIL, FORM, IP, sign_up
from tests.support.order_states import bring
from tests.support.orders import paid
from tests.support.participants import bought as seats_bought
from tests.support.participants import name as name_seat
from tests.support.people import hashed, import_
from tests.support.purchases import JANUARY

TRACES = ("zebedee", "quill", "marmalade", "203.0.113", "telltale", "cheese-letter")


pytestmark = pytest.mark.usefixtures("one_day")


@pytest.fixture
def app(make_app: Any, database_url: str) -> Flask:
    built: Flask = make_app(database_url=database_url)
    return built


@pytest.fixture
def known(client: FlaskClient, session: Session) -> Lead:
    """A lead who signed up, confirmed, bought, and has another open order."""
    sign_up(client)
    lead = session.scalars(select(Lead)).one()
    client.post(f"/confirm/{lead.confirm_token}", headers=BROWSER, environ_base=IP)
    session.rollback()
    writing(session)
    given: dict[str, Any] = {"email": EMAIL, "name": FORM["name"], "network": IP["REMOTE_ADDR"]}
    bring(session, "paid", **given)
    bring(session, "open", **given)
    search_index.index(session)
    for message in session.scalars(select(Message)):
        message.error = f"450 {message.recipient} is busy"
    session.commit()
    session.refresh(lead)
    session.expunge_all()  # keeps the values of before, whatever happens to the row
    session.rollback()
    return lead


def erase(app: Flask, *arguments: str) -> str:
    result = app.test_cli_runner().invoke(args=["leads", "erase", EMAIL, *arguments])
    assert result.exit_code == 0, result.output
    return str(result.output)


def everything(session: Session) -> str:
    """Return every value of every row of every table as text."""
    session.rollback()
    return "\n".join(
        repr(tuple(row))
        for table in Base.metadata.sorted_tables
        for row in session.execute(select(table))
    ).lower()


def files(instance: Path) -> dict[str, bytes]:
    """Return every file of the instance folder with its lower-case content."""
    return {file.name: file.read_bytes().lower() for file in instance.rglob("*") if file.is_file()}


def test_erasure_leaves_nothing_of_the_person(
    app: Flask, session: Session, known: Lead, instance: Path
) -> None:
    before = everything(session)
    assert all(trace in before for trace in TRACES)
    session.close()
    said = erase(app, "--yes")
    assert "2 orders" in said
    assert "still ahead" in said
    after = everything(session)
    assert [trace for trace in TRACES if trace in after] == []
    assert known.confirm_token not in after
    assert known.unsubscribe_token not in after
    assert hashed(EMAIL) in after
    erased = session.execute(select(Order.id, Order.request_key).where(Order.email == "")).all()
    assert len(erased) == 2
    assert {key for _, key in erased} == {f"erased-{number}" for number, _ in erased}
    session.rollback()
    found = files(instance)
    assert found
    for name, data in found.items():
        # The counters of the rate limits keep networks for an hour, without other data.
        traces = [trace for trace in TRACES if name.startswith("crossroads") or trace[0] != "2"]
        assert [trace for trace in traces if trace.encode() in data] == [], name


def test_erasure_keeps_the_sales_and_stops_all_mail(
    app: Flask, session: Session, known: Lead
) -> None:
    amounts = session.execute(select(OrderEvent.amount_total)).all()
    session.rollback()
    erase(app, "--yes")
    assert session.execute(select(OrderEvent.amount_total)).all() == amounts
    assert session.scalars(select(Enrollment.cohort)).one() == JANUARY.code
    assert set(session.scalars(select(Message.state))) == {"held"}
    # The open order is paid after the erasure.
    session.rollback()
    writing(session)
    last = session.scalars(select(Order).order_by(Order.id.desc())).first()
    assert last is not None
    orders.fulfill(session, last.id, paid(last), "sweep")
    session.commit()
    claimed = outbox.claim(session, "worker", now())
    assert claimed is not None
    assert eligibility.admit(session, claimed, "worker") is None
    assert "marmalade" not in everything(session)


def test_erased_person_becomes_a_lead_again_only_by_confirming(
    app: Flask, client: FlaskClient, session: Session, known: Lead
) -> None:
    old = known.confirm_token
    session.close()
    erase(app, "--yes")
    writing(session)
    taken = import_(session, EMAIL.upper())
    session.commit()
    assert not taken
    assert client.post(f"/confirm/{old}").status_code == 404
    mailed = len(session.scalars(select(Message)).all())
    session.rollback()
    # Three mails were sent to this address in the last hour, which is the limit.
    sign_up(client)
    assert len(session.scalars(select(Message)).all()) == mailed
    lead = session.scalars(select(Lead).where(Lead.state == "pending")).one()
    assert lead.id != known.id
    session.rollback()
    with time_machine.travel(now() + timedelta(hours=2), tick=True):
        client.post("/signup", data=FORM)
        message = session.scalars(select(Message).order_by(Message.id.desc())).first()
        assert message is not None
        message.owner = "worker"
        assert eligibility.admit(session, message, "worker") is not None
        assert session.scalars(select(Suppression.reason)).one() == "erased"
        session.rollback()
        client.post(f"/confirm/{lead.confirm_token}")
    session.rollback()
    assert lead.state == "confirmed"
    assert session.scalars(select(Suppression)).all() == []


def test_data_file_has_all_data_and_no_tokens(
    app: Flask, client: FlaskClient, session: Session, known: Lead, tmp_path: Path
) -> None:
    file = tmp_path / "person.json"
    session.close()
    run = app.test_cli_runner().invoke
    assert run(args=["leads", "data", EMAIL.upper(), "--output", str(file)]).exit_code == 0
    assert file.stat().st_mode & 0o777 == 0o600
    text = file.read_text("utf-8")
    found = json.loads(text)
    assert found["lead"]["email"] == EMAIL
    assert found["lead"]["first_touch"]["utm_source"] == "cheese-letter"
    assert found["lead"]["last_touch"]["utm_source"] is None
    assert found["lead"]["last_touch"]["utm_term"] == "zebedee"
    assert [one["kind"] for one in found["consent"]] == ["given", "asked-to-wait", "confirmed"]
    assert found["consent"][0]["wording"]
    assert found["waiting_list"][0]["cohort"] == JANUARY.code
    assert {one["kind"] for one in found["mails"]} >= {"confirm", "wait", "receipt"}
    assert [one["events"][-1]["kind"] for one in found["orders"]] == ["paid", "placed"]
    assert found["enrollments"][0]["name"] == FORM["name"]
    for key in session.scalars(select(Order.token)).all():
        assert f'"{key}"' not in text
    assert known.confirm_token not in text
    page = f"/admin/people/{hashed(EMAIL)}"
    answer = send(desk(app), f"{page}/data", {}, page=page)
    handed = json.loads(answer.data)
    assert {**handed, "made_at": ""} == {**found, "made_at": ""}


def test_command_reports_an_unknown_address(make_app: Any) -> None:
    run = make_app().test_cli_runner().invoke
    for arguments in (
        ["data", "nobody@example.com", "--output", "-"],
        ["erase", "nobody@example.com"],
    ):
        nobody = run(args=["leads", *arguments])
        assert nobody.exit_code == 1
        assert "nothing is stored of nobody@example.com" in nobody.output


def test_desk_shows_the_person_and_erases_on_a_post(
    app: Flask, session: Session, known: Lead
) -> None:
    page = f"/admin/people/{hashed(EMAIL)}"
    owner = desk(app)
    assert page in owner.get(f"/admin/leads/{known.id}").text
    before = everything(session)
    for _ in range(2):
        assert "A paid seat is still ahead" in owner.get(page).text
    assert everything(session) == before
    session.rollback()  # an erasure waits for open readers
    answer = send(owner, f"{page}/erase", {}, page=page)
    assert answer.status_code == 303
    shown = owner.get(answer.location).text
    assert "The person is erased" in shown
    assert "marmalade" not in shown.lower()
    # An erased value was known before, so the page must not call it "Not given".
    assert "Not given" not in shown and "<dt>Browser" not in shown
    assert owner.get(page).status_code == 404
    for address_ in ("/admin/leads", "/admin/orders", "/admin/enrollments", "/admin/mail"):
        listed = owner.get(address_)
        assert listed.status_code == 200
        assert "marmalade" not in listed.text.lower()


@pytest.mark.parametrize("role", ["marketer", "finance"])
def test_only_an_owner_may_open_or_erase_a_person(app: Flask, role: str) -> None:
    client = desk(app, role)
    page = f"/admin/people/{hashed(EMAIL)}"
    assert client.get(page).status_code == 403
    assert client.post(f"{page}/erase").status_code == 403


def test_participant_without_a_lead_is_found_exported_and_erased(
    app: Flask, session: Session, tmp_path: Path
) -> None:
    writing(session)
    order = seats_bought(session)
    name_seat(session, order, 2, EMAIL, called=FORM["name"])
    name_seat(session, order, 2, turn=1)
    token = name_seat(session, order, 3, EMAIL, called=FORM["name"]).token
    session.commit()
    file = tmp_path / "person.json"
    run = app.test_cli_runner().invoke
    assert run(args=["leads", "data", EMAIL, "--output", str(file)]).exit_code == 0
    found = json.loads(file.read_text("utf-8"))
    assert (found["lead"], found["orders"]) == (None, [])
    seats = found["enrollments"]
    assert [(one["seat"], one["kept"], one["ended_at"] is None) for one in seats] == [
        (2, True, False), (3, True, True)
    ]  # fmt: skip
    assert [one["kind"] for one in found["mails"]] == ["invitation", "replaced", "invitation"]
    assert token not in file.read_text("utf-8")
    page = f"/admin/people/{hashed(EMAIL)}"
    assert "A paid seat is still ahead" in desk(app).get(page).text
    erase(app, "--yes")
    assert [trace for trace in TRACES if trace in everything(session)] == []
    assert desk(app).get(page).status_code == 404
    assert app.test_client().get(f"/enrollments/{token}").status_code == 200
