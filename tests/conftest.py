"""What tests share: an app of its own for each test, on a real database of its own."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import time_machine
from argon2 import PasswordHasher, profiles
from flask import Flask
from flask.testing import FlaskClient
from jinja2 import FileSystemBytecodeCache
from sqlalchemy.orm import Session

from crossroads import create_app, current, settings
from crossroads.settings import Settings
from crossroads.staff import accounts
from models import db
from tests.support.compiled import keep
from tests.support.databases import ROOT as ROOT
from tests.support.databases import database_url as database_url
from tests.support.databases import empty_database_url as empty_database_url
from tests.support.databases import empty_postgresql_url as empty_postgresql_url
from tests.support.databases import empty_sqlite_url as empty_sqlite_url
from tests.support.databases import engine as engine
from tests.support.databases import instance as instance
from tests.support.databases import migrate as migrate
from tests.support.databases import postgres as postgres
from tests.support.databases import postgresql_url as postgresql_url
from tests.support.databases import sqlite_template as sqlite_template
from tests.support.databases import sqlite_url as sqlite_url
from tests.support.databases import stock as stock
from tests.support.mailed_links import apps as apps
from tests.support.mailed_links import nothing_comes_of_looking as nothing_comes_of_looking
from tests.support.people import SUPPRESSION_KEY

if TYPE_CHECKING:
    from tests.support.mail_server import MailServer
    from tests.support.sandbox_server import SandboxServer

# Nothing of the machine's environment may steer a test.
for name in Settings.model_fields:
    os.environ.pop(name.upper(), None)
# Hashing is slow on purpose. Most tests sign in for what is behind the door: for them it is quick.
SLOW_HASHER = accounts.hasher
accounts.hasher = PasswordHasher.from_parameters(profiles.CHEAPEST)
keep()


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Run one test process more than there are processors: each waits at times, as for a browser.

    https://pytest-xdist.readthedocs.io/en/stable/distribution.html
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return (cores or 1) + 1


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> FileSystemBytecodeCache:
    """Templates as the first app of the test process compiled them, for those after it."""
    return FileSystemBytecodeCache(str(tmp_path_factory.mktemp("compiled")))


@pytest.fixture
def make_app(
    request: pytest.FixtureRequest,
    instance: Path,
    compiled: FileSystemBytecodeCache,
    apps: list[Flask],
) -> Iterator[Any]:
    """Builds apps with given settings on an instance folder of their own; closes them after."""

    def make(*, root: Path = ROOT, **given: Any) -> Flask:
        if "database_url" not in given:
            given["database_url"] = request.getfixturevalue("sqlite_url")
        given.setdefault("base_url", "http://localhost")
        given.setdefault("signup_limit", "100000/minute")
        given.setdefault("address_limit", "100000/minute")
        given.setdefault("order_limit", "100000/minute")
        given.setdefault("order_address_limit", "100000/minute")
        given.setdefault("order_look_limit", "100000/minute")
        given.setdefault("suppression_key", SUPPRESSION_KEY)
        app = create_app(root, settings.load(root, instance=instance, **given))
        app.jinja_env.bytecode_cache = compiled
        apps.append(app)
        return app

    yield make
    for app in apps:
        current.of(app).pages.close()
        with app.app_context():
            db.session.remove()
            db.engine.dispose()


@pytest.fixture
def app(make_app: Any) -> Flask:
    """The site in development, on SQLite."""
    built: Flask = make_app()
    return built


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def session(app: Flask) -> Iterator[Session]:
    """A session of its own, apart from the app's requests."""
    with app.app_context():
        engine = db.engine
    with Session(engine, expire_on_commit=False) as session:
        yield session


@pytest.fixture
def slow_hashing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hash passwords as outside of tests."""
    monkeypatch.setattr(accounts, "hasher", SLOW_HASHER)


@pytest.fixture
def one_day() -> Iterator[None]:
    """A day on which every cohort lies ahead."""
    with time_machine.travel("2026-11-22T12:00:00+00:00", tick=True):
        yield


@pytest.fixture
def server() -> "Iterator[MailServer]":
    """A mail server that takes what it is sent."""
    from tests.support.mail_server import MailServer

    server = MailServer().start()
    yield server
    server.stop()


@pytest.fixture
def sandbox(tmp_path: Path) -> "Iterator[SandboxServer]":
    """A listening Stripe sandbox with its own account. It sends no webhooks."""
    from tests.support.sandbox_server import start

    server = start(tmp_path / "sandbox")
    yield server
    server.stop()


@pytest.fixture
def site_root(tmp_path: Path) -> Path:
    """A copy of what create_app reads, to be edited by a test."""
    root = tmp_path / "root"
    for name in ("site/content", "site/static", "templates"):
        shutil.copytree(ROOT / name, root / name)
    return root
