"""Flask commands: their output, its stream, and their exit codes."""

import csv
import io
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import time_machine
from click.testing import Result
from flask import Flask
from granian.server import Server
from prometheus_client import values
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from crossroads import metrics
from crossroads.ops.supervisor import Supervisor
from crossroads.staff import accounts
from crossroads.worker.delivery import Worker
from models import User, db
from tests.support.commands import run
from tests.support.desk_visits import add_leads, lead
from tests.support.paths import ROOT
from tests.support.ports import free_port
from tests.support.production import PRODUCTION

AWAY = "postgresql://nobody:hunter2@127.0.0.1:1/nothing"


@pytest.fixture
def app(make_app: Any) -> Flask:
    """The site on a database with its tables."""
    built: Flask = make_app()
    return built


@pytest.fixture(autouse=True)
def nothing_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail at once where a command starts something that it should have refused."""

    def started(*_: object) -> None:
        raise AssertionError("it started")

    monkeypatch.setattr(Server, "serve", started)
    monkeypatch.setattr(Supervisor, "run", started)
    monkeypatch.setattr(Worker, "run", started)
    # A starting server changes how this process counts: undone after the test.
    monkeypatch.setattr(values, "ValueClass", values.ValueClass)
    monkeypatch.setenv(metrics.VARIABLE, "")
    monkeypatch.delenv(metrics.VARIABLE)


@pytest.fixture
def busy_port() -> Iterator[int]:
    """A port in use by a listener that allows others to share it, as web servers do."""
    with socket.create_server(("127.0.0.1", 0), reuse_port=True) as server:
        yield server.getsockname()[1]


def flask(app: Flask, *arguments: str, typed: str | None = None) -> Result:
    return app.test_cli_runner().invoke(args=arguments, input=typed)


def refusal(result: Result) -> str:
    """Return the one error line of a command that refused."""
    assert isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code == 1
    assert result.stdout == ""
    # The server thread of an earlier test may still write to stderr: only the command's line
    # counts.
    lines = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    assert len(lines) == 1, result.stderr
    assert "hunter2" not in result.stderr
    return lines[0].removeprefix("Error: ")


# Reasons not to start


def test_each_invalid_setting_is_one_line_and_stops_the_start(instance: Path) -> None:
    given = {**PRODUCTION, "instance": str(instance), "base_url": "example", "smtp_url": ""}
    ended = run(ROOT, "serve", **given, port="many", database_url=AWAY)
    assert ended.returncode == 1
    assert ended.stdout == ""
    assert sorted(line.partition(":")[0] for line in ended.stderr.splitlines()) == [
        "BASE_URL",
        "PORT",
        "SMTP_URL",
    ]


@pytest.mark.parametrize("command", ["serve", "up"])
def test_busy_port_stops_every_start(make_app: Any, command: str, busy_port: int) -> None:
    told = refusal(flask(make_app(port=busy_port), command))
    assert told.startswith(f"port {busy_port} is in use: ")
    assert "set PORT to another" in told


@pytest.mark.parametrize("command", ["sandbox", "up"])
def test_busy_sandbox_port_stops_the_start(make_app: Any, command: str, busy_port: int) -> None:
    told = refusal(flask(make_app(sandbox_port=busy_port, port=free_port()), command))
    assert told.startswith(f"port {busy_port} is in use: ")
    assert "set SANDBOX_PORT to another" in told


def test_sandbox_is_refused_in_production(make_app: Any, busy_port: int) -> None:
    app = make_app(**PRODUCTION, sandbox_port=busy_port)
    assert refusal(flask(app, "sandbox")) == (
        "the sandbox is for development: it runs from the source tree, not in production"
    )


def test_up_does_not_start_the_sandbox_in_production(
    make_app: Any, busy_port: int, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[str] = []
    monkeypatch.setattr(Supervisor, "run", lambda run: started.extend(run._commands))
    app = make_app(
        **PRODUCTION, database_url=database_url, sandbox_port=busy_port, port=free_port()
    )
    told = flask(app, "up").output
    assert started == ["web", "worker"]
    assert "  Desk " in told and "Mailbox" not in told


def test_foreign_listen_address_is_refused_in_one_line(make_app: Any) -> None:
    told = refusal(flask(make_app(host="192.0.2.1", port=18123), "serve"))
    assert told == "cannot listen on 192.0.2.1 port 18123: Cannot assign requested address"


DATABASE_COMMANDS = [
    ["serve"],
    ["worker"],
    ["deliver"],
    ["leads", "export", "--output", "-"],
    ["users", "add", "maria@example.org", "--role", "owner", "--password-stdin"],
    ["seats", "reserve", "ai-pm-bootcamp", "2027-january", "1"],
]


@pytest.mark.parametrize("command", [*DATABASE_COMMANDS, ["setup"], ["up"]])
def test_unreachable_database_is_reported_in_one_line(make_app: Any, command: list[str]) -> None:
    app = make_app(database_url=AWAY, port=free_port(), sandbox_port=free_port())
    told = refusal(flask(app, *command, typed="a long password\n"))
    assert told.startswith("the database cannot be used: connection failed: ")
    assert told.endswith("; check DATABASE_URL")


@pytest.mark.parametrize("command", [["serve"], ["worker"], ["setup"]])
def test_file_that_is_not_a_database_is_reported_in_one_line(
    make_app: Any, command: list[str], empty_sqlite_url: str, instance: Path
) -> None:
    (instance / "crossroads.db").write_bytes(b"a letter to my aunt" * 500)
    told = refusal(flask(make_app(database_url=empty_sqlite_url, port=free_port()), *command))
    assert told == "the database cannot be used: file is not a database; check DATABASE_URL"


@pytest.mark.parametrize("command", DATABASE_COMMANDS)
def test_database_without_tables_is_reported_with_the_fix(
    make_app: Any, command: list[str], empty_sqlite_url: str
) -> None:
    app = make_app(database_url=empty_sqlite_url, port=free_port())
    told = refusal(flask(app, *command, typed="a long password\n"))
    assert told == "the database has no tables yet: run flask setup"


@pytest.mark.parametrize("command", [*DATABASE_COMMANDS, ["setup"], ["up"]])
def test_database_from_a_newer_version_is_refused(
    make_app: Any, command: list[str], database_url: str
) -> None:
    app = make_app(database_url=database_url, port=free_port(), sandbox_port=free_port())
    with app.app_context(), db.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = 'later'"))
    told = refusal(flask(app, *command, typed="a long password\n"))
    assert told.startswith("the database is from a newer version (revision later): ")


def test_setup_refuses_a_foreign_table_of_the_same_name(
    make_app: Any, empty_sqlite_url: str
) -> None:
    app = make_app(database_url=empty_sqlite_url)
    with app.app_context(), db.engine.begin() as connection:
        connection.execute(text("CREATE TABLE lead (something INTEGER)"))
    told = refusal(flask(app, "setup"))
    assert told == "the tables cannot be made: table lead already exists; check DATABASE_URL"


def test_serve_and_worker_start_with_a_ready_database(app: Flask) -> None:
    for command in ("serve", "worker"):
        assert "it started" in str(flask(app, command).exception)


# flask content check


def test_content_check_prints_notes_and_passes(app: Flask) -> None:
    result = flask(app, "content", "check")
    assert result.exit_code == 0
    assert result.stderr == ""
    *notes, last = result.stdout.splitlines()
    assert re.fullmatch(r"no mistakes in (1 comparison|[\d,]+ comparisons) and \d+ courses?", last)
    assert all(line.startswith("note: ") for line in notes)
    assert any("has figures and no source" in line for line in notes)
    assert any("The price of AI PM Bootcamp & Certification is a sample" in line for line in notes)


def test_content_check_fails_on_an_expired_claim(make_app: Any, site_root: Path) -> None:
    slug = "ai-product-manager-vs-traditional-product-manager"
    file = site_root / "site" / "content" / "comparisons" / f"{slug}.yaml"
    whole = file.read_text()
    row = "  - label: Median Salary (US)\n"
    assert row in whole
    file.write_text(whole.replace(row, f"{row}    expires: 2027-03-01\n", 1))
    app = make_app(root=site_root)
    with time_machine.travel("2027-03-01T23:00:00Z"):
        assert flask(app, "content", "check").exit_code == 0
    with time_machine.travel("2027-03-02T01:00:00Z"):
        result = flask(app, "content", "check")
    assert result.exit_code == 1
    line = whole[: whole.index(row)].count("\n") + 2
    assert f"{slug}.yaml:{line}: rows[0].expires: Median Salary (US): expired on 2027-03-01" in (
        result.stderr
    )
    assert "no mistakes" not in result.stdout


# flask users add


def add_user(app: Flask, *arguments: str, typed: str = "a long password\n") -> Result:
    return flask(app, "users", "add", *arguments, "--password-stdin", typed=typed)


def test_account_is_added_with_the_password_typed(app: Flask) -> None:
    result = add_user(app, "Maria@example.org", "--role", "marketer")
    assert result.exit_code == 0
    assert "Maria@example.org can sign in as marketer" in result.stdout
    assert "a long password" not in result.output
    with app.app_context(), Session(db.engine) as session:
        user = session.scalars(select(User)).one()
        assert accounts.check_password(user, "a long password")
        assert not user.must_change_password


@pytest.mark.parametrize(
    ("arguments", "typed", "told"),
    [
        (["maria", "--role", "owner"], "a long password\n", "enter an email address"),
        (["maria@example.org", "--role", "owner"], "short\n", "Use a password of 12 to 200"),
        (["maria@example.org", "--role", "owner"], "", "Use a password of 12 to 200"),
        (["taken@example.org", "--role", "owner"], "a long password\n", "has an account already"),
        (["TAKEN@example.org", "--role", "owner"], "a long password\n", "has an account already"),
    ],
)
def test_invalid_account_is_refused(
    app: Flask, arguments: list[str], typed: str, told: str
) -> None:
    add_user(app, "taken@example.org", "--role", "owner")
    assert told in refusal(add_user(app, *arguments, typed=typed))


def test_unknown_or_missing_role_is_refused(app: Flask) -> None:
    result = add_user(app, "maria@example.org", "--role", "king")
    assert result.exit_code == 2
    assert "'owner', 'marketer', 'finance'" in result.stderr
    assert add_user(app, "maria@example.org").exit_code == 2


# flask leads export


def export(app: Flask, output: str, *arguments: str) -> Result:
    return flask(app, "leads", "export", "--output", output, *arguments)


def emails(data: bytes) -> list[str]:
    return [row["email"] for row in csv.DictReader(io.StringIO(data.decode(), newline=""))]


@pytest.fixture
def filled(app: Flask) -> Flask:
    """The site with three leads."""
    campaign = {"utm_campaign": "spring", "page": "/signup"}
    add_leads(
        app,
        lead("anna@example.org", name="Anna", state="confirmed"),
        lead("bo@example.org", name="Bo", **campaign),
        lead("cy@example.org", name="Cy", state="confirmed", **campaign),
    )
    return app


def test_export_file_is_complete_and_readable_only_by_its_owner(
    filled: Flask, tmp_path: Path
) -> None:
    target = tmp_path / "leads.csv"
    result = export(filled, str(target))
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr.endswith(f"3 leads written to {target}\n")
    assert emails(target.read_bytes()) == ["anna@example.org", "bo@example.org", "cy@example.org"]
    assert target.stat().st_mode & 0o077 == 0
    assert [file.name for file in tmp_path.iterdir() if "leads" in file.name] == ["leads.csv"]


def test_export_to_stdout_prints_only_the_file(filled: Flask, tmp_path: Path) -> None:
    export(filled, str(tmp_path / "leads.csv"))
    result = export(filled, "-")
    file = (tmp_path / "leads.csv").read_bytes()
    # Only files begin with a byte order mark, for Excel: programs behind a pipe do not expect it.
    assert file == b"\xef\xbb\xbf" + result.stdout_bytes
    assert result.stderr == ""


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--state", "confirmed"], ["anna@example.org", "cy@example.org"]),
        (["--campaign", "spring"], ["bo@example.org", "cy@example.org"]),
        (["--campaign", "spring", "--state", "confirmed"], ["cy@example.org"]),
        (["--page", "/signup", "--search", "bo"], ["bo@example.org"]),
        (["--search", "nobody"], []),
    ],
)
def test_export_accepts_the_filters_of_the_list(
    filled: Flask, arguments: list[str], expected: list[str]
) -> None:
    assert emails(export(filled, "-", *arguments).stdout_bytes) == expected


def test_export_that_cannot_be_written_changes_no_file(filled: Flask, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("old")
    for output in ("folder", "missing/leads.csv", "file/leads.csv"):
        told = refusal(export(filled, str(tmp_path / output)))
        assert told.startswith(f"{tmp_path / output}: cannot be written: ")
    assert (tmp_path / "file").read_text() == "old"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["file", "folder", "instance"]


def test_export_that_fails_midway_keeps_the_old_file(filled: Flask, tmp_path: Path) -> None:
    target = tmp_path / "leads.csv"
    target.write_text("the export of yesterday")
    with filled.app_context(), db.engine.begin() as connection:
        connection.execute(text("ALTER TABLE lead RENAME COLUMN utm_term TO something"))
    told = refusal(export(filled, str(target)))
    assert told.startswith("the database cannot be used: no such column: lead.utm_term")
    assert target.read_text() == "the export of yesterday"
    assert [file.name for file in tmp_path.iterdir() if "leads" in file.name] == ["leads.csv"]
