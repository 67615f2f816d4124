"""Sign-in to the admin area: who gets in, who does not, and when a session ends."""

import re
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient

from models import now
from tests.support.desk_visits import PASSWORD, TOKEN, add_user, desk, send, sign_in, token

NEW = "a new password of mine"


def rules(app: Flask) -> list[tuple[str, str]]:
    return [
        (method, re.sub(r"<int:[^>]+>", "1", rule.rule))
        for rule in app.url_map.iter_rules()
        if rule.rule.startswith("/admin")
        for method in sorted((rule.methods or set()) - {"OPTIONS"})
    ]


def test_every_address_of_the_desk_asks_for_sign_in(app: Flask, client: FlaskClient) -> None:
    asked = rules(app)
    assert {("GET", "/admin/"), ("GET", "/admin/leads"), ("POST", "/admin/leads/export")} <= {
        *asked
    }
    for method, path in asked:
        answer = client.open(path, method=method)
        if path == "/admin/login":
            assert answer.status_code == (400 if method == "POST" else 200)
        else:
            assert answer.status_code == 303, (method, path)
            assert answer.location.startswith("/admin/login"), (method, path)


def test_no_address_of_the_desk_accepts_a_form_without_its_token(app: Flask) -> None:
    client = desk(app)
    for method, path in rules(app):
        if method == "POST":
            answer = client.post(path, data={"format": "csv"})
            assert answer.status_code in (303, 400), path
            assert answer.mimetype == "text/html"
    assert client.get("/admin/").status_code == 200  # the sign-out had no effect either


def test_the_right_password_opens_the_desk(app: Flask, client: FlaskClient) -> None:
    add_user(app)
    answer = sign_in(client)
    assert (answer.status_code, answer.location) == (303, "/admin/")
    page = client.get("/admin/")
    assert page.status_code == 200
    assert "owner@example.com" in page.text
    assert page.headers["Cache-Control"] == "no-store"


def test_cookie_is_limited_to_admin_and_hidden_from_scripts(
    app: Flask, client: FlaskClient
) -> None:
    add_user(app)
    cookie = sign_in(client).headers["Set-Cookie"]
    assert cookie.startswith("crossroads_desk=")
    assert {"HttpOnly", "Path=/admin", "SameSite=Lax"} <= {*cookie.split("; ")}


def test_in_https_the_cookie_is_secure(make_app: Any) -> None:
    app = make_app(base_url="https://desk.example")
    add_user(app)
    with app.test_client() as client:
        answer = sign_in(client, base_url="https://desk.example")
    assert "Secure" in answer.headers["Set-Cookie"].split("; ")


def test_a_public_page_sets_no_cookie_even_for_staff(app: Flask) -> None:
    client = desk(app)
    answer = client.get("/privacy")
    assert "Set-Cookie" not in answer.headers
    assert "Cookie" not in answer.headers.get("Vary", "")


def test_wrong_password_and_unknown_address_get_the_same_answer(
    app: Flask, client: FlaskClient
) -> None:
    add_user(app)
    wrong = sign_in(client, "owner@example.com", "not the password")
    unknown = sign_in(client, "nobody@example.com", "not the password")
    assert wrong.status_code == unknown.status_code == 422
    blank = TOKEN.sub("", wrong.text).replace("owner@", "nobody@")
    assert blank == TOKEN.sub("", unknown.text)
    assert "is not right" in wrong.text
    assert "<title>Error: Sign in" in wrong.text
    assert "not the password" not in wrong.text
    assert client.get("/admin/").status_code == 303


def test_an_empty_form_is_answered_field_by_field(app: Flask, client: FlaskClient) -> None:
    answer = sign_in(client, "", "")
    assert answer.status_code == 422
    assert answer.text.count('aria-invalid="true"') == 2
    assert "Correct 2 things to sign in" in answer.text


def test_address_ignores_case_and_spaces_but_the_password_does_not(
    app: Flask, client: FlaskClient
) -> None:
    add_user(app)
    assert sign_in(client, "owner@example.com", f" {PASSWORD}").status_code == 422
    assert sign_in(client, " OWNER@example.com ", PASSWORD).status_code == 303


@pytest.mark.parametrize("typed", ["\x00", "a@b@c", "x" * 5000, "é@exämple.com", "' OR 1=1 --"])
def test_hostile_input_is_treated_as_a_wrong_password(client: FlaskClient, typed: str) -> None:
    assert sign_in(client, typed, typed).status_code == 422


def test_signing_in_starts_a_new_session(app: Flask, client: FlaskClient) -> None:
    add_user(app)
    old = token(client.get("/admin/login"))
    planted = client.get_cookie("crossroads_desk", path="/admin")
    sign_in(client)
    first = client.get_cookie("crossroads_desk", path="/admin")
    assert planted and first and planted.value != first.value
    thief = app.test_client()
    thief.set_cookie("crossroads_desk", planted.value, path="/admin")
    assert thief.get("/admin/").status_code == 303
    client.post("/admin/logout", data={"csrf_token": old})
    assert client.get("/admin/").status_code == 200


def test_second_sign_in_ends_the_first_session(app: Flask) -> None:
    client = desk(app)
    add_user(app, "other@example.com")
    cookie = client.get_cookie("crossroads_desk", path="/admin")
    assert cookie
    form = {"email": "other@example.com", "password": PASSWORD}
    assert send(client, "/admin/login", form, page="/admin/password").status_code == 303
    copy = app.test_client()
    copy.set_cookie("crossroads_desk", cookie.value, path="/admin")
    assert copy.get("/admin/").status_code == 303
    assert "other@example.com" in client.get("/admin/").text


def test_copied_cookie_is_useless_after_sign_out(app: Flask) -> None:
    client = desk(app)
    cookie = client.get_cookie("crossroads_desk", path="/admin")
    assert cookie
    copy = app.test_client()
    copy.set_cookie("crossroads_desk", cookie.value, path="/admin")
    assert copy.get("/admin/").status_code == 200
    answer = send(client, "/admin/logout", {}, page="/admin/")
    assert (answer.status_code, answer.location) == (303, "/admin/login")
    assert "You are signed out" in client.get("/admin/login").text
    assert client.get("/admin/").status_code == 303
    assert copy.get("/admin/").status_code == 303


def test_get_request_does_not_sign_out(app: Flask) -> None:
    client = desk(app)
    assert client.get("/admin/logout").status_code == 405
    assert client.get("/admin/").status_code == 200


def test_idle_session_expires_and_an_active_one_does_not(app: Flask) -> None:
    client = desk(app)
    at = now()
    for hours in (8, 16, 24):
        with time_machine.travel(at + timedelta(hours=hours)):
            assert client.get("/admin/").status_code == 200
    with time_machine.travel(at + timedelta(hours=24 + 13)):
        assert client.get("/admin/").status_code == 303


def test_sign_in_returns_to_the_requested_page(app: Flask, client: FlaskClient) -> None:
    add_user(app)
    asked = client.get("/admin/leads?state=pending&q=a%20b")
    form = client.get(asked.location)
    wanted = re.search(r'name="next" value="([^"]*)"', form.text)
    assert wanted
    data = {"csrf_token": token(form), "email": "owner@example.com", "password": PASSWORD}
    answer = client.post("/admin/login", data={**data, "next": wanted[1].replace("&amp;", "&")})
    assert answer.location == "/admin/leads?state=pending&q=a%20b"


@pytest.mark.parametrize(
    "address",
    [
        "https://evil.example/admin/",
        "//evil.example/admin/",
        "/\\evil.example",
        "/admin/\\evil.example",
        "/admin/../compare",
        "/admin/%2e%2e/compare",
        "/admin/\r\nSet-Cookie: a=b",
        "/compare",
        "javascript:alert(1)",
    ],
)
def test_sign_in_redirects_only_within_the_desk(
    app: Flask, client: FlaskClient, address: str
) -> None:
    add_user(app)
    assert sign_in(client, going=address).location == "/admin/"
    assert client.get("/admin/login", query_string={"next": address}).location == "/admin/"


def test_ten_failures_block_the_account_from_every_network(app: Flask) -> None:
    add_user(app)
    spellings = ("Owner@example.com", " owner@EXAMPLE.com ", "ｏwner@example.com")
    for number in range(10):
        client = app.test_client()
        given: dict[str, Any] = {"environ_base": {"REMOTE_ADDR": f"192.0.2.{number}"}}
        assert sign_in(client, spellings[number % 3], "wrong", **given).status_code == 422
    client = app.test_client()
    answer = sign_in(client, environ_base={"REMOTE_ADDR": "192.0.2.99"})
    assert answer.status_code == 429
    assert 0 < int(answer.headers["Retry-After"]) <= 300
    assert re.search(r"Wait \d minutes?, then try again", answer.text)
    assert 'value="owner@example.com"' in answer.text
    assert PASSWORD not in answer.text
    add_user(app, "other@example.com")
    other = app.test_client()
    assert sign_in(other, "other@example.com").status_code == 303


def test_ten_failures_block_the_network_for_every_account(app: Flask) -> None:
    add_user(app)
    for number in range(10):
        client = app.test_client()
        assert sign_in(client, f"guess{number}@example.com", "wrong").status_code == 422
    assert sign_in(app.test_client()).status_code == 429
    elsewhere = sign_in(app.test_client(), environ_base={"REMOTE_ADDR": "192.0.2.1"})
    assert elsewhere.status_code == 303


def test_block_ends_after_five_minutes(app: Flask, client: FlaskClient) -> None:
    add_user(app)
    for _ in range(10):
        sign_in(client, password="wrong")
    assert sign_in(client).status_code == 429
    with time_machine.travel(now() + timedelta(minutes=6)):
        assert sign_in(client).status_code == 303


def test_successful_sign_ins_are_not_limited(app: Flask) -> None:
    add_user(app)
    for _ in range(12):
        assert sign_in(app.test_client()).status_code == 303


def test_expired_form_can_be_sent_again(app: Flask, client: FlaskClient) -> None:
    add_user(app)
    data = {"csrf_token": "old", "email": "owner@example.com", "password": PASSWORD}
    answer = client.post("/admin/login", data=data)
    assert answer.status_code == 400
    assert "This page was open too long" in answer.text
    assert client.post("/admin/login", data={**data, "csrf_token": token(answer)}).location


def test_one_time_password_must_be_changed_first(app: Flask, client: FlaskClient) -> None:
    add_user(app, must_change=True)
    sign_in(client)
    for path in ("/admin/", "/admin/leads", "/admin/leads/1"):
        assert client.get(path).location == "/admin/password"
    page = client.get("/admin/password")
    assert "one-time password" in page.text
    assert "/admin/leads" not in page.text
    form = {"current": PASSWORD, "new": NEW, "repeat": NEW}
    answer = send(client, "/admin/password", form)
    assert answer.location == "/admin/"
    assert "Your password is changed" in client.get("/admin/").text
    assert sign_in(app.test_client(), password=NEW).status_code == 303
    assert sign_in(app.test_client(), password=PASSWORD).status_code == 422


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ({"current": "wrong"}, "not your current password"),
        ({"current": ""}, "Enter the password you signed in with"),
        ({"new": "short", "repeat": "short"}, "Use a password of 12 to 200 characters"),
        ({"new": PASSWORD, "repeat": PASSWORD}, "Use a password other"),
        ({"repeat": "something else"}, "Type the same new password twice"),
    ],
)
def test_invalid_new_password_is_refused_with_advice(
    app: Flask, form: dict[str, str], words: str
) -> None:
    client = desk(app)
    whole = {"current": PASSWORD, "new": NEW, "repeat": NEW, **form}
    answer = send(client, "/admin/password", whole)
    assert answer.status_code == 422
    assert words in answer.text
    assert "<title>Error: Change your password" in answer.text
    assert NEW not in answer.text


def test_new_password_ends_sessions_in_other_browsers(app: Flask) -> None:
    add_user(app)
    here, there = app.test_client(), app.test_client()
    sign_in(here)
    sign_in(there)
    send(here, "/admin/password", {"current": PASSWORD, "new": NEW, "repeat": NEW})
    assert here.get("/admin/").status_code == 200
    assert there.get("/admin/").status_code == 303


def test_guesses_of_the_current_password_are_limited(app: Flask) -> None:
    client = desk(app)
    form = {"current": "wrong", "new": NEW, "repeat": NEW}
    for _ in range(10):
        assert send(client, "/admin/password", form).status_code == 422
    answer = send(client, "/admin/password", {**form, "current": PASSWORD})
    assert answer.status_code == 429
    assert "Too many tries" in answer.text


@pytest.mark.parametrize(("role", "status"), [("owner", 200), ("marketer", 200), ("finance", 403)])
def test_leads_are_for_owners_and_marketers(app: Flask, role: str, status: int) -> None:
    client = desk(app, role)
    assert client.get("/admin/leads").status_code == status
    form = {"format": "csv"}
    with send(client, "/admin/leads/export", form, page="/admin/password") as export:
        assert export.status_code == status
    home = client.get("/admin/")
    assert home.status_code == 200
    assert ("/admin/leads" in home.text) is (status == 200)


def test_signed_in_user_skips_the_sign_in_form(app: Flask) -> None:
    answer = desk(app).get("/admin/login?next=/admin/leads")
    assert (answer.status_code, answer.location) == (303, "/admin/leads")
