"""Typed and pasted names: invisible characters are removed by every form and import."""

from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select
from sqlalchemy.orm import Session

from crossroads.mail.addresses import cleaned_name
from crossroads.orders import lifecycle as orders
from models import Enrollment, Lead, Order, writing
from tests.support.lead_imports import take
from tests.support.orders import paid, with_checkout
from tests.support.purchases import COURSE_PAGE, JANUARY, buy
from tests.support.sandbox_server import SandboxServer
from tests.support.signs import SHOWS_NOTHING

PASTED = "\u202eAnn\u200b\u00a0Ex\u00adample\ufeff\u202c"
NAME = "Ann Example"
# Letters that need an invisible joiner or variation selector; both must be kept.
AS_WRITTEN = ["علی\u200cرضا", "葛\U000e0100城", "Zoë O'Neil-Gruß", "李 小龍"]


@given(st.lists(st.sampled_from([*"Ann E", *SHOWS_NOTHING])).map("".join))
def test_cleaned_name_is_visible_or_empty_and_cleaning_is_stable(text: str) -> None:
    found = cleaned_name(text)
    assert cleaned_name(found) == found
    assert found == "" or any(letter in found for letter in "AnE")


@pytest.mark.parametrize("name", AS_WRITTEN)
def test_invisible_character_that_a_name_needs_is_kept(name: str) -> None:
    assert cleaned_name(f"\u200b{name} ") == name


@pytest.fixture
def app(make_app: Any, sandbox: SandboxServer) -> Flask:
    built: Flask = make_app(stripe_api_base=sandbox.url)
    return built


def test_name_in_sign_up_and_waiting_list_is_cleaned(client: FlaskClient, session: Session) -> None:
    form = {"name": PASTED, "consent": "yes"}
    client.post("/signup", data={**form, "email": "a@example.org"})
    waiting = f"{COURSE_PAGE}/waiting-list?cohort={JANUARY.code}"
    client.post(waiting, data={**form, "email": "b@example.org"})
    assert session.scalars(select(Lead.name)).all() == [NAME, NAME]


@pytest.mark.usefixtures("one_day")
def test_name_of_buyer_and_participant_is_cleaned(client: FlaskClient, session: Session) -> None:
    buy(client, name=PASTED)
    assert session.scalars(select(Order.name)).one() == NAME
    session.rollback()
    writing(session)
    order = with_checkout(session, cohort=JANUARY, number=2)
    orders.fulfill(session, order.id, paid(order), "test")
    session.commit()
    given = {"seat2-name": PASTED, "seat2-email": "c@example.org", "seat2-turn": "0"}
    client.post(f"/orders/{order.token}/participants", data=given)
    assert session.scalars(select(Enrollment.name).where(Enrollment.seat == 2)).one() == NAME


def test_invisible_name_counts_as_missing(client: FlaskClient) -> None:
    given = {"name": "\u200b\u3164\ufe0f", "email": "a@example.org"}
    answer = client.post(f"{COURSE_PAGE}/enroll", data=given)
    assert "Enter your name" in answer.text


def test_imported_names_are_cleaned(app: Flask, session: Session, tmp_path: Path) -> None:
    text = f"email,name,first_name,last_name\na@example.org,{PASTED},,\n"
    text += "b@example.org,,\u200bAnn,Ex\u00adample\u200e\n"
    result = take(app, tmp_path / "people.csv", text)
    assert result.exit_code == 0, result.stderr
    assert session.scalars(select(Lead.name)).all() == [NAME, NAME]
