"""The pages behind mailed links: opening a link changes nothing, its button does."""

from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select
from sqlalchemy.orm import Session

from models import Base, ConsentEvent, Lead, now
from tests.support.signups import GOOD, shown


@pytest.fixture
def lead(client: FlaskClient, session: Session) -> Lead:
    client.post("/signup", data=GOOD)
    lead = session.scalars(select(Lead)).one()
    session.commit()  # ends the transaction, so that the next read sees the app's changes
    return lead


def everything(session: Session) -> list[object]:
    """Return every row of every table."""
    session.rollback()
    return [
        tuple(row)
        for table in Base.metadata.sorted_tables
        for row in session.execute(select(table))
    ]


def test_opening_a_link_changes_nothing(client: FlaskClient, session: Session, lead: Lead) -> None:
    before = everything(session)
    for address in (f"/confirm/{lead.confirm_token}", f"/unsubscribe/{lead.unsubscribe_token}"):
        for _ in range(2):
            assert client.head(address).status_code == 200
            assert client.get(address).status_code == 200
    assert everything(session) == before


def test_page_has_one_button_and_does_not_reveal_its_address(
    client: FlaskClient, lead: Lead
) -> None:
    for address in (f"/confirm/{lead.confirm_token}", f"/unsubscribe/{lead.unsubscribe_token}"):
        answer = client.get(address)
        main = answer.text[answer.text.index("<main") : answer.text.index("</main>")]
        assert main.count("<button") == 1
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert answer.headers["Cache-Control"] == "no-store"
        assert "noindex" in answer.text
        assert "Set-Cookie" not in answer.headers


def test_button_confirms_and_a_second_click_changes_nothing(
    client: FlaskClient, session: Session, lead: Lead
) -> None:
    for _ in range(2):
        answer = client.post(f"/confirm/{lead.confirm_token}")
        assert answer.status_code == 200
    session.refresh(lead)
    assert lead.state == "confirmed"
    kinds = [event.kind for event in session.scalars(select(ConsentEvent))]
    assert kinds == ["given", "confirmed"]


def test_expired_link_can_be_renewed(client: FlaskClient, session: Session, lead: Lead) -> None:
    lead.confirm_until = now() - timedelta(days=1)
    session.commit()
    address = f"/confirm/{lead.confirm_token}"
    assert client.get(address).status_code == 410
    assert client.post(address).status_code == 410
    session.refresh(lead)
    assert lead.state == "pending"
    renewed = client.post(address, data={"action": "renew"})
    assert renewed.status_code == 200
    assert client.get(address).status_code == 200


@pytest.mark.parametrize(("kind", "way_out"), [("confirm", "/signup"), ("unsubscribe", "mailto:")])
def test_unknown_link_offers_a_way_on(client: FlaskClient, kind: str, way_out: str) -> None:
    for answer in (client.get(f"/{kind}/nonsense"), client.post(f"/{kind}/nonsense")):
        main = answer.text[answer.text.index("<main") : answer.text.index("</main>")]
        assert answer.status_code == 404
        assert way_out in main


@pytest.mark.parametrize("kind", ["confirm", "unsubscribe"])
def test_link_with_a_null_character_is_unknown(make_app: Any, database_url: str, kind: str) -> None:
    app: Flask = make_app(database_url=database_url)
    for answer in (app.test_client().get(f"/{kind}/%00"), app.test_client().post(f"/{kind}/%00")):
        assert answer.status_code == 404


def test_one_click_unsubscribe_needs_no_cookie_and_no_origin(
    client: FlaskClient, session: Session, lead: Lead
) -> None:
    answer = client.post(
        f"/unsubscribe/{lead.unsubscribe_token}",
        data={"List-Unsubscribe": "One-Click"},
        headers={"Origin": "https://mail.example", "Sec-Fetch-Site": "cross-site"},
    )
    assert answer.status_code == 200
    session.refresh(lead)
    assert lead.state == "unsubscribed"
    assert session.scalars(select(ConsentEvent)).all()[-1].form == "one-click"


def test_one_click_unsubscribe_accepts_multipart_form_data(
    client: FlaskClient, session: Session, lead: Lead
) -> None:
    client.post(
        f"/unsubscribe/{lead.unsubscribe_token}",
        data={"List-Unsubscribe": "One-Click"},
        content_type="multipart/form-data",
    )
    session.refresh(lead)
    assert lead.state == "unsubscribed"


def test_unsubscribed_person_can_undo(client: FlaskClient, session: Session, lead: Lead) -> None:
    client.post(f"/confirm/{lead.confirm_token}")
    address = f"/unsubscribe/{lead.unsubscribe_token}"
    assert "Undo" in shown(client.post(address).text)
    client.post(address, data={"action": "undo"})
    session.refresh(lead)
    assert lead.state == "confirmed"
