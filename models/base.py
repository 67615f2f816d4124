"""The declarative base, the time type, and how a transaction begins on each database."""

import os
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import DateTime, Dialect, Engine, Index, Table, event, make_url, text
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.orm import DeclarativeBase, MappedAsDataclass, Session, scoped_session
from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection
from sqlalchemy.types import TypeDecorator

from models import folding

if TYPE_CHECKING:
    from sqlalchemy.dialects import postgresql, sqlite

# Alembic drops and renames constraints by name, so every constraint has a predictable one.
NAMING = {
    "ix": "ix_%(column_0_N_label)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}

CONNECT_SECONDS = 5  # a PostgreSQL server that takes longer counts as away
LOCK_SECONDS = 10  # a longer wait for a lock ends with an error
# What PostgreSQL is told at the start of each connection. The first only shows that it arrived.
ARRIVED = "crossroads.session"
SESSION = {
    ARRIVED: "1",
    "lock_timeout": f"{LOCK_SECONDS}s",
    "random_page_cost": "1.1",  # rows lie in memory, or on a disk that has no arm to move
    "jit": "off",  # no query here is worth compiling, however dear it looks
}


class Base(MappedAsDataclass, DeclarativeBase, kw_only=True, repr=False, eq=False):
    """Base of every table. A row is itself alone, and not shown: what it holds is personal."""


Base.metadata.naming_convention = NAMING

# The metadata is handed over instead of the class: Flask-SQLAlchemy refuses a dataclass base as
# model_class, and mypy cannot see through db.Model.
db = SQLAlchemy(metadata=Base.metadata)


# A session, or Flask-SQLAlchemy's stand-in that finds the one of the request.
AnySession = Session | scoped_session[Any]


class UTCDateTime(TypeDecorator[datetime]):
    """An aware time in UTC, in and out, on databases with and without time zones.

    Raises ValueError on a naive time: which moment it means cannot be known.
    """

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"a time without a zone cannot be stored: {value!r}")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, _dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def now() -> datetime:
    """Return the present moment, aware, in UTC."""
    return datetime.now(UTC)


def moment(at: int | None = None) -> bytes:
    """Return the present millisecond, or a second since 1970, in six bytes for names to begin with.

    Names made one after the other are then next to each other in an index. At random places in an
    index of a million, each would change a page of its own, and a sign-up has three such names.
    https://www.rfc-editor.org/rfc/rfc9562#section-6.13
    """
    milliseconds = time.time_ns() // 1_000_000 if at is None else 1000 * at
    return milliseconds.to_bytes(6, "big")


def writing(session: AnySession) -> None:
    """Begin the session's transaction as one that writes. Call before the first statement.

    On SQLite a transaction that reads first and writes later fails at once when another
    connection wrote in between, whatever the busy timeout; BEGIN IMMEDIATE queues up instead.
    https://www.sqlite.org/lang_transaction.html
    """
    session.connection(execution_options={"begin": "IMMEDIATE"})


def partial_index(name: str, *columns: str, where: str, unique: bool = False) -> Index:
    """Return an index of those rows alone for which the SQL condition holds.

    PostgreSQL's is given it when an engine for it is prepared: to do so here would load that
    dialect, for a fortieth of every start.
    """
    condition = {"where": text(where)}
    return Index(name, *columns, unique=unique, sqlite_where=condition["where"], info=condition)


def table_of(model: type[Base]) -> Table:
    """Return a model's table: a statement of it goes past the ORM, in a fraction of its time."""
    return cast(Table, model.__table__)


def insert_for(
    session: AnySession, model: type[Base] | Table
) -> "sqlite.Insert | postgresql.Insert":
    """Return an INSERT for the session's database that knows ON CONFLICT."""
    return insert_on(session.get_bind().dialect.name, model)


def insert_on(dialect: str, model: type[Base] | Table) -> "sqlite.Insert | postgresql.Insert":
    """Return an INSERT for a database of this kind that knows ON CONFLICT."""
    # Only the dialect that is in use is imported: the other costs a tenth of the start.
    if dialect == "sqlite":
        from sqlalchemy.dialects import sqlite

        return sqlite.insert(model)
    from sqlalchemy.dialects import postgresql

    return postgresql.insert(model)


def engine_options(url: str, threads: int) -> dict[str, Any]:
    """Return the engine options for this address and number of threads."""
    # A connection for each stays open. Values of parameters are addresses and tokens.
    options: dict[str, Any] = {"pool_size": threads, "hide_parameters": True}
    if url.startswith("postgresql"):
        # What the address itself asks for comes last, and wins.
        asked = make_url(url).query.get("options", "")
        wanted = [f"-c {name}={value}" for name, value in SESSION.items()]
        connect = {
            "connect_timeout": CONNECT_SECONDS,
            "options": " ".join(
                [*wanted, *((asked,) if isinstance(asked, str) else asked)]
            ).strip(),
        }
        # A server that was started again, or is gone, costs one short look and no request.
        options |= {"pool_pre_ping": True, "connect_args": connect}
    return options


def prepare_engine(engine: Engine) -> None:
    """Set what each connection needs: durable, patient, with foreign keys enforced."""
    if engine.dialect.name == "postgresql":
        for table in Base.metadata.tables.values():
            for index in table.indexes:
                index.dialect_options["postgresql"].update(index.info)
        _behind_a_pooler(engine)
    if engine.dialect.name != "sqlite":
        return

    @event.listens_for(engine, "checkout")
    def checkout(
        _connection: DBAPIConnection, record: ConnectionPoolEntry, _proxy: PoolProxiedConnection
    ) -> None:
        # A file that was moved or replaced stays open, and what is written there is lost. The
        # pool answers this error with a new connection.
        if _file_of(engine) != record.info["file"]:
            raise DisconnectionError("the database file was moved or replaced")

    @event.listens_for(engine, "connect")
    def connect(connection: DBAPIConnection, record: ConnectionPoolEntry) -> None:
        # The driver's own implicit BEGIN is turned off; the listener below begins.
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in (
            f"busy_timeout = {LOCK_SECONDS}000",
            "journal_mode = WAL",
            "synchronous = FULL",  # an acknowledged sign-up survives a power cut
            "foreign_keys = ON",
            # 16 MB of changes before they are put in their places, which a million leads have all
            # over the file: after every 4 MB, as is usual, it takes a tenth of a sign-up's time.
            "wal_autocheckpoint = 4000",
            "secure_delete = ON",  # who was erased is not found in the file either
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()
        folding.teach(connection)
        record.info["file"] = _file_of(engine)

    @event.listens_for(engine, "begin")
    def begin(connection: Any) -> None:
        mode = connection.get_execution_options().get("begin", "DEFERRED")
        connection.exec_driver_sql(f"BEGIN {mode}")


def _behind_a_pooler(engine: Engine) -> None:
    """Make PostgreSQL behind PgBouncer right, which may give each transaction another server.

    By default it refuses `options` at the start of a connection; told to, it drops them. Prepared
    statements are then at another server than the one that is asked, and what holds for a session
    has to be said in each transaction.
    https://www.pgbouncer.org/features.html#sql-feature-map-for-pooling-modes
    """

    @event.listens_for(engine, "do_connect")
    def start(
        dialect: Dialect, _record: Any, arguments: Any, given: dict[str, Any]
    ) -> DBAPIConnection | None:
        try:
            return dialect.connect(*arguments, **given)
        except engine.dialect.loaded_dbapi.OperationalError as error:
            if "unsupported startup parameter" not in str(error):
                raise
        asked = engine.url.query.get("options", "")
        given["options"] = asked if isinstance(asked, str) else " ".join(asked)
        return dialect.connect(*arguments, **given)

    @event.listens_for(engine, "connect")
    def connect(connection: Any, record: ConnectionPoolEntry) -> None:
        found = connection.execute(f"SELECT current_setting('{ARRIVED}', true)").fetchone()
        connection.rollback()
        record.info["pooler"] = not found[0]
        if record.info["pooler"]:
            connection.prepare_threshold = None

    said = ", ".join(f"set_config('{name}', '{value}', true)" for name, value in SESSION.items())

    @event.listens_for(engine, "begin")
    def begin(connection: Any) -> None:
        if connection.info["pooler"]:
            connection.exec_driver_sql(f"SELECT {said}")


def scrub(engine: Engine) -> None:
    """Take out of SQLite's write-ahead log what it still holds of rows that are gone.

    What other connections are reading at this moment stays until the next time.
    https://www.sqlite.org/pragma.html#pragma_wal_checkpoint
    """
    if engine.dialect.name == "sqlite":
        with engine.connect() as connection:
            driver = connection.connection.dbapi_connection
            assert driver is not None  # noqa: S101 - it was opened just now
            cursor = driver.cursor()  # past SQLAlchemy, which would begin a transaction
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            cursor.close()


def _file_of(engine: Engine) -> tuple[int, int] | None:
    """Return what tells the engine's SQLite file from any other that may stand at its path."""
    try:
        state = os.stat(engine.url.database or "")  # noqa: PTH116 - as quick as can be
    except OSError:
        return None
    return state.st_dev, state.st_ino
