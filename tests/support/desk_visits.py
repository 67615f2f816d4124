"""Helpers for tests of the desk: an account, a lead, a signed-in browser."""

import re
from datetime import timedelta
from itertools import count
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from crossroads.staff import accounts
from models import Lead, User, db, now, writing
from tests.support.people import hashed

PASSWORD = "correct horse battery"
TOKEN = re.compile(r'name="csrf_token" value="([^"]+)"')

_numbers = count(1)


def add_user(
    app: Flask, email: str = "owner@example.com", role: str = "owner", **given: Any
) -> User:
    """Add an account whose password is PASSWORD."""
    with app.app_context(), Session(db.engine, expire_on_commit=False) as session:
        writing(session)
        user = accounts.add(session, email, role, PASSWORD, **given)
        session.commit()
        return user


def lead(email: str = "", **given: Any) -> Lead:
    """Return a lead with valid defaults, not added to a session."""
    email = email or f"person{next(_numbers)}@example.com"
    given.setdefault("created_at", now())
    given.setdefault("confirm_until", given["created_at"] + timedelta(days=7))
    return Lead(email=email, email_key=email.casefold(), address_hash=hashed(email), **given)


def add_leads(app: Flask, *leads: Lead) -> list[int]:
    """Store leads and return their ids."""
    with app.app_context(), Session(db.engine) as session:
        writing(session)
        session.add_all(leads)
        session.flush()
        numbers = [one.id for one in leads]
        session.commit()
        return numbers


def token(answer: TestResponse) -> str:
    """Return the CSRF token of a page's form."""
    found = TOKEN.search(answer.text)
    assert found, answer.text
    return found[1]


def send(
    client: FlaskClient, path: str, data: dict[str, str], *, page: str = "", **given: Any
) -> TestResponse:
    """Open the page of a form (`path` itself by default), and send the form with its token."""
    form = client.get(page or path, **given)
    return client.post(path, data={"csrf_token": token(form), **data}, **given)


def sign_in(
    client: FlaskClient,
    email: str = "owner@example.com",
    password: str = PASSWORD,
    going: str = "",
    **given: Any,
) -> TestResponse:
    """Sign in with the form."""
    data = {"email": email, "password": password, "next": going}
    return send(client, "/admin/login", data, **given)


def desk(app: Flask, role: str = "owner") -> FlaskClient:
    """Return a browser that is signed in with this role, without a visit to the sign-in page."""
    with app.app_context(), Session(db.engine) as session:
        writing(session)
        email = f"{role}{next(_numbers)}@example.com"
        user = accounts.add(session, email, role, PASSWORD)
        session.flush()
        staff = accounts.open_session(
            session, accounts.CheckedPassword(user.id, user.password_hash)
        )
        session.commit()
    assert staff is not None
    client = app.test_client()
    with client.session_transaction("/admin/") as cookie:
        cookie["_user_id"] = staff.get_id()
    return client
