"""Health and readiness checks, and metrics."""

import re
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import create_engine, text

from models import db
from tests.support.paths import ROOT

TOKEN = "let-me-read-the-counters"


@pytest.fixture
def migrated(make_app: Any, database_url: str) -> Flask:
    """The site on a migrated database of each kind."""
    app: Flask = make_app(database_url=database_url)
    return app


def test_health_check_needs_no_database(make_app: Any) -> None:
    app = make_app(database_url="postgresql://nobody@127.0.0.1:1/nothing")
    answer = app.test_client().get("/healthz")
    assert answer.status_code == 200
    assert answer.text.splitlines()[0] == "ok"
    assert answer.headers["Cache-Control"] == "no-store"


def test_health_check_shows_the_installed_version(client: FlaskClient) -> None:
    installed = version("crossroads")
    assert client.get("/healthz").text == f"ok\ncrossroads {installed}\n"
    newest = re.findall(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.M)[0]
    assert newest == ("Unreleased" if ".dev" in installed else installed)


def test_ready_with_the_tables_of_this_version(migrated: Flask) -> None:
    answer = migrated.test_client().get("/readyz")
    assert (answer.status_code, answer.text) == (200, "ok\n")


def test_not_ready_when_the_database_does_not_answer(make_app: Any) -> None:
    app = make_app(database_url="postgresql://nobody:hunter2@127.0.0.1:1/nothing")
    answer = app.test_client().get("/readyz")
    assert (answer.status_code, answer.text) == (503, "the database cannot be used\n")


def test_not_ready_with_other_tables(make_app: Any, empty_database_url: str) -> None:
    engine = create_engine(empty_database_url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE lead (something INTEGER)"))
    engine.dispose()
    answer = make_app(database_url=empty_database_url).test_client().get("/readyz")
    assert answer.status_code == 503
    assert "run flask setup" in answer.text


def test_not_ready_with_a_newer_database(migrated: Flask) -> None:
    with migrated.app_context(), db.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = 'later'"))
    answer = migrated.test_client().get("/readyz")
    assert answer.status_code == 503
    assert "newer version" in answer.text


def test_site_is_not_ready_after_its_database_file_was_moved(make_app: Any, instance: Path) -> None:
    """A moved SQLite file stays open: sign-ups would be confirmed on screen and then lost."""
    app: Flask = make_app()
    file = instance / "crossroads.db"
    client = app.test_client()
    assert client.get("/readyz").status_code == 200
    for name in ("crossroads.db", "crossroads.db-wal", "crossroads.db-shm"):
        if (instance / name).exists():
            (instance / name).rename(instance / f"away-{name}")
    assert client.get("/readyz").status_code == 503
    form = {"email": "maria@example.org", "consent": "yes"}
    assert client.post("/signup", data=form).status_code == 503
    for name in ("crossroads.db", "crossroads.db-wal", "crossroads.db-shm"):
        (instance / name).unlink(missing_ok=True)
        if (instance / f"away-{name}").exists():
            (instance / f"away-{name}").rename(instance / name)
    assert file.exists()
    assert client.get("/readyz").status_code == 200
    assert client.post("/signup", data=form).status_code == 200


def test_site_is_ready_again_right_after_a_database_restart(
    make_app: Any, postgresql_url: str
) -> None:
    app: Flask = make_app(database_url=postgresql_url)
    client = app.test_client()
    assert client.get("/readyz").status_code == 200
    admin = create_engine(postgresql_url, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:  # ends all connections, as a restart does
        connection.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        )
    admin.dispose()
    assert client.get("/readyz").status_code == 200


def test_metrics_are_served_to_loopback_addresses(client: FlaskClient) -> None:
    client.get("/healthz")
    for address in ("127.0.0.1", "::1", "::ffff:127.0.0.1"):
        answer = client.get("/metrics", environ_base={"REMOTE_ADDR": address})
        assert answer.status_code == 200
        assert answer.content_type == "text/plain; charset=utf-8"
        assert (
            'crossroads_requests_total{method="GET",route="/healthz",status="200"}' in answer.text
        )


@pytest.mark.parametrize(
    ("address", "headers"),
    [
        ("192.0.2.1", {}),
        ("::ffff:192.0.2.1", {}),
        ("127.0.0.1", {"X-Forwarded-For": "127.0.0.1"}),
        ("127.0.0.1", {"X-Forwarded-Proto": "https"}),
        ("127.0.0.1", {"Forwarded": "for=127.0.0.1"}),
        ("127.0.0.1", {"X-Real-IP": "127.0.0.1"}),
        ("127.0.0.1", {"Via": "1.1 proxy"}),
        ("192.0.2.1", {"Authorization": f"Bearer {TOKEN}"}),  # no METRICS_TOKEN is set
        ("", {}),
    ],
)
def test_metrics_are_hidden_from_other_addresses_and_proxies(
    client: FlaskClient, address: str, headers: dict[str, str]
) -> None:
    answer = client.get("/metrics", environ_base={"REMOTE_ADDR": address}, headers=headers)
    assert answer.status_code == 404
    assert "crossroads_requests" not in answer.text


def test_metrics_token_gives_access_from_any_address(make_app: Any) -> None:
    client = make_app(metrics_token=TOKEN, trusted_proxies=1).test_client()
    far = {"environ_base": {"REMOTE_ADDR": "192.0.2.1"}}

    def status(**headers: str) -> int:
        code: int = client.get("/metrics", headers=headers, **far).status_code
        return code

    assert status(Authorization=f"Bearer {TOKEN}") == 200
    assert status(Authorization=f"Bearer {TOKEN}é") == 404
    assert status(Authorization="Bearer ") == 404
    assert status() == 404
    # A loopback address that only the proxy's header names gives no access.
    assert client.get("/metrics", headers={"X-Forwarded-For": "127.0.0.1"}).status_code == 404


def test_unknown_methods_and_paths_share_one_counter(client: FlaskClient) -> None:
    for number in range(5):
        client.open(f"/nowhere/{number}", method=f"BREW{number}")
    text = client.get("/metrics").text
    assert 'method="other",route="unknown"' in text
    assert "BREW" not in text
    assert "/nowhere" not in text
