"""Every address that takes a form accepts only form data."""

import json
from io import BytesIO

import pytest
from flask import Flask
from sqlalchemy import select
from sqlalchemy.orm import Session

from models import Base, db
from tests.support.desk_visits import add_user, sign_in

OTHER = {"/webhooks/stripe"}  # addresses that accept other bodies
BODIES = [
    ("application/json", json.dumps({"email": 1})),
    ("application/json", json.dumps([1])),
    ("application/json; charset=utf-8", json.dumps({"email": "a@example.org", "consent": "yes"})),
    ("application/vnd.api+json", "{}"),
    ("application/json", "{"),
    ("text/plain", "email=a@example.org&consent=yes"),
    ("application/xml", "<email>a@example.org</email>"),
    ("nonsense", "email=a@example.org"),
    (None, "email=a@example.org"),
]


def posts(app: Flask) -> list[str]:
    """Return a path for each route that accepts POST."""
    values = {"slug": "ai-pm-bootcamp", "token": "a" * 32, "address_hash": "a" * 64}
    routes = app.url_map.bind("localhost")
    found = []
    for rule in app.url_map.iter_rules():
        if "POST" in (rule.methods or ()):
            given = {name: values.get(name, 1) for name in rule.arguments}
            found.append(routes.build(rule.endpoint, given, method="POST"))
    return found


def stored(app: Flask) -> list[object]:
    tables = [one for one in Base.metadata.sorted_tables if not one.name.startswith("staff")]
    with app.app_context(), Session(db.engine) as session:
        return [tuple(row) for one in tables for row in session.execute(select(one))]


@pytest.mark.usefixtures("one_day")
def test_body_that_is_not_form_data_is_refused_by_every_form(app: Flask) -> None:
    add_user(app)
    visitor, staff = app.test_client(), app.test_client()
    sign_in(staff)
    addresses = posts(app)
    assert len(addresses) > 25
    assert addresses.count("/signup") == 1
    before = stored(app)
    for address in addresses:
        if address in OTHER:
            continue
        for kind, body in BODIES:
            answer = visitor.post(address, data=body, content_type=kind)
            assert answer.status_code == 415, (address, kind)
            assert "This address takes forms only" in answer.text
        assert staff.post(address, json={"email": 1}).status_code == 415, address
    assert stored(app) == before


@pytest.mark.usefixtures("one_day")
def test_every_form_accepts_both_encodings_of_form_data(app: Flask) -> None:
    client = app.test_client()
    for address in posts(app):
        for kind in ("application/x-www-form-urlencoded; charset=UTF-8", "multipart/form-data"):
            answer = client.post(address, data={"List-Unsubscribe": "One-Click"}, content_type=kind)
            assert answer.status_code not in (415, 500), address
        assert client.post(address).status_code not in (415, 500), address  # an empty body


def test_only_the_webhook_accepts_other_bodies(app: Flask) -> None:
    client = app.test_client()
    taken = {
        address
        for address in posts(app)
        if client.post(address, data="{}", content_type="application/json").status_code != 415
    }
    assert taken == OTHER


def test_unknown_address_and_wrong_method_come_before_the_body_check(app: Flask) -> None:
    client = app.test_client()
    assert client.post("/nothing", json={}).status_code == 404
    assert client.put("/signup", json={}).status_code == 405


def test_file_instead_of_a_field_is_refused(app: Flask) -> None:
    for address in ("/signup", "/courses/ai-pm-bootcamp/enroll", "/admin/login"):
        data = {"email": (BytesIO(b"a@example.org"), "email.txt"), "consent": "yes"}
        answer = app.test_client().post(
            address, data=data, content_type="multipart/form-data", headers={"Accept": "*/*"}
        )
        assert answer.status_code in (400, 422), address
