"""Logs: one JSON object per line, traceable to its request and without personal data."""

import json
import logging
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import structlog
from flask import Flask, url_for
from flask.testing import FlaskClient
from sqlalchemy import insert

from crossroads.logs import mask_email
from models import Lead, db, now
from models.lead import new_token
from tests.support.desk_visits import send
from tests.support.production import PRODUCTION

ADDRESS = "maria.lopez@example.org"
Said = Callable[[], str]
Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Said:
    """Return what was logged since the last call."""
    return lambda: capsys.readouterr().err


@pytest.fixture
def lines(said: Said) -> Lines:
    """Return the lines logged since the last call: each must be a JSON object."""
    return lambda: [json.loads(line) for line in said().splitlines()]


@pytest.fixture
def app(make_app: Any) -> Flask:
    """The site with production settings."""
    built: Flask = make_app(**PRODUCTION)
    return built


def test_request_is_logged_as_one_line_with_its_response_id(
    client: FlaskClient, lines: Lines
) -> None:
    answer = client.get("/signup?utm_source=mail")
    (line,) = lines()
    assert line["request_id"] == answer.headers["X-Request-ID"]
    assert (line["event"], line["level"]) == ("request", "info")
    assert (line["method"], line["route"], line["status"]) == ("GET", "/signup", 200)
    assert line["ms"] >= 0
    assert line["timestamp"].endswith("Z")


def test_two_requests_have_two_ids(client: FlaskClient, lines: Lines) -> None:
    client.get("/signup")
    client.get("/signup")
    first, second = lines()
    assert first["request_id"] != second["request_id"]


def test_error_page_shows_the_request_id_of_its_log_lines(app: Flask, lines: Lines) -> None:
    @app.get("/break")
    def break_down() -> str:
        raise RuntimeError("a fuse blew")

    answer = app.test_client().get("/break")
    assert answer.status_code == 500
    told, request = lines()
    assert told["request_id"] == request["request_id"] == answer.headers["X-Request-ID"]
    assert answer.headers["X-Request-ID"] in answer.text
    assert "a fuse blew" in told["exception"]
    assert "fuse" not in answer.text


def test_rate_limited_request_is_logged_with_its_id(app: Flask, lines: Lines) -> None:
    client = app.test_client()
    refused = {"base_url": "https://localhost"}
    for _ in range(10):
        assert send(client, "/admin/login", {"email": "a@b.c"}, **refused).status_code == 422
    lines()
    answer = send(client, "/admin/login", {"email": "a@b.c"}, **refused)
    assert answer.status_code == 429
    assert lines()[-1]["request_id"] == answer.headers["X-Request-ID"]


def test_request_id_header_is_accepted_only_from_a_trusted_proxy(make_app: Any) -> None:
    given = {"X-Request-ID": "edge-0123456789"}
    direct = make_app().test_client().get("/signup", headers=given)
    assert direct.headers["X-Request-ID"] != given["X-Request-ID"]
    behind = make_app(trusted_proxies=1).test_client()
    assert behind.get("/signup", headers=given).headers["X-Request-ID"] == given["X-Request-ID"]
    for bad in ("short", "x" * 65, "with space", "<script>"):
        answer = behind.get("/signup", headers={"X-Request-ID": bad})
        assert answer.headers["X-Request-ID"] != bad


def test_path_with_a_token_is_logged_as_its_route(client: FlaskClient, said: Said) -> None:
    token = new_token()
    pages = ("confirm", "unsubscribe", "waiting-list", "nowhere")
    for path in (f"/{page}/{token}" for page in pages):
        client.get(path)
        client.post(path)
    text = said()
    assert '"route": "/confirm/<token>"' in text
    assert '"route": "unknown"' in text
    assert token not in text


def test_sign_up_leaves_no_address_in_the_logs(client: FlaskClient, said: Said) -> None:
    form = {"email": ADDRESS, "name": "Maria Lopez", "consent": "yes"}
    assert client.post("/signup", data=form).status_code == 200
    text = said()
    assert '"route": "/signup"' in text
    assert "maria" not in text.lower()


def test_traceback_names_no_address_and_no_token(app: Flask, said: Said) -> None:
    token = new_token()

    @app.post("/confirm/<token>/again")
    def again(token: str) -> str:
        try:
            raise LookupError(f"<{ADDRESS}> asked for {url_for('signup.confirm', token=token)}")
        except LookupError as error:
            raise RuntimeError("cannot mail", ADDRESS, {"to": ADDRESS}) from error

    assert app.test_client().post(f"/confirm/{token}/again").status_code == 500
    text = said()
    assert "m***@example.org" in text
    assert "/confirm/***" in text
    assert ADDRESS not in text
    assert token not in text


def test_token_in_any_url_is_masked(app: Flask, said: Said) -> None:
    keys = {rule.rule for rule in app.url_map.iter_rules() if "<token>" in rule.rule}
    assert len(keys) >= 6
    token = new_token()
    for rule in keys:
        structlog.get_logger().info(f"at {rule.replace('<token>', token)}")
    assert token not in said()


def test_database_error_shows_no_values(said: Said, make_app: Any, database_url: str) -> None:
    app: Flask = make_app(**PRODUCTION, database_url=database_url)
    token = new_token()

    @app.get("/twice")
    def twice() -> str:
        for _ in range(2):
            row = {
                "email": ADDRESS,
                "email_key": ADDRESS,
                "address_hash": "",
                "confirm_until": now(),
            }
            others = {
                "name": "Maria Lopez",
                "state": "pending",
                "created_at": now(),
                "last_signup_at": now(),
            }
            tokens = {"confirm_token": token, "unsubscribe_token": token}
            db.session.execute(insert(Lead).values(**row, **others, **tokens))
        return "never"

    assert app.test_client().get("/twice").status_code == 500
    text = said()
    assert "IntegrityError" in text
    assert ADDRESS not in text
    assert "Lopez" not in text


def test_values_of_secret_fields_are_masked(app: Flask, lines: Lines) -> None:
    structlog.get_logger().info(
        "settings",
        password="hunter2",
        smtp_password="hunter2",
        access_token="hunter2",
        Authorization="Bearer hunter2",
        cookies={"session": "hunter2"},
        client_secret=["hunter2"],
        note=[f"from {ADDRESS}"],
        count=3,
    )
    (line,) = lines()
    assert "hunter2" not in json.dumps(line)
    assert line["password"] == "***"
    assert line["note"] == "['from m***@example.org']"
    assert line["count"] == 3


def test_library_logs_have_the_same_format_and_masking(app: Flask, lines: Lines) -> None:
    log = logging.getLogger("some.library")
    log.warning("mail to %s bounced", ADDRESS)
    log.info("not worth a line")
    try:
        raise ValueError(ADDRESS)
    except ValueError:
        log.exception("it broke")
    warned, broke = lines()
    assert (warned["event"], warned["level"]) == ("mail to m***@example.org bounced", "warning")
    assert "ValueError: m***@example.org" in broke["exception"]
    assert ADDRESS not in json.dumps(broke)


def test_page_served_from_memory_writes_no_log_line(client: FlaskClient, lines: Lines) -> None:
    for _ in range(3):
        assert client.get("/").status_code == 200
    assert lines() == []


def test_health_checks_and_metrics_write_no_log_line(client: FlaskClient, lines: Lines) -> None:
    for address in ("/healthz", "/readyz", "/metrics"):
        client.get(address)
    assert lines() == []


def test_development_log_masks_addresses_too(said: Said, make_app: Any) -> None:
    app: Flask = make_app()

    @app.get("/break")
    def break_down() -> str:
        raise RuntimeError(f"no mail for {ADDRESS}")

    assert app.test_client().get("/break").status_code == 500
    text = said()
    assert "RuntimeError: no mail for m***@example.org" in text
    assert ADDRESS not in text


def test_request_succeeds_when_the_log_cannot_be_written(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Path("/dev/full").open("w", buffering=1) as full:
        monkeypatch.setattr(sys, "stderr", full)
        assert client.get("/signup").status_code == 200
        logging.getLogger("some.library").warning("nobody reads this")
        with pytest.raises(OSError, match="No space left"):
            full.write("the disk is full\n")
        monkeypatch.undo()
        with suppress(OSError):
            full.close()


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("maria@example.org", "m***@example.org"),
        ("<maria@example.org>, bo@sub.example.org", "<m***@example.org>, b***@sub.example.org"),
        ("maria+news@münchen.example", "m***@münchen.example"),
        ('"maria lopez"@example.org', "m***@example.org"),
        ("maria@[192.0.2.1]", "m***@[192.0.2.1]"),
        ("?email=maria%40example.org&x=1", "?email=m***%40example.org&x=1"),
        ("Key (email_key)=(maria@example.org) exists", "Key (email_key)=(m***@example.org) exists"),
        ("mailto:maria@example.org", "mailto:m***@example.org"),
        ("three @ signs @ large", "three @ signs @ large"),
    ],
)  # fmt: skip
def test_address_is_masked_after_its_first_letter(text: str, masked: str) -> None:
    assert mask_email(text) == masked
