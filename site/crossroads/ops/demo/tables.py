"""Bulk inserts of demo rows."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from sqlalchemy import (
    Column,
    Connection,
    Constraint,
    Engine,
    ForeignKeyConstraint,
    MetaData,
    Table,
    UniqueConstraint,
    func,
    insert,
    select,
    text,
)
from sqlalchemy.schema import AddConstraint, DropConstraint

from models import ConsentEvent, Enrollment, Lead, LeadWord, Order, OrderEvent
from models.base import scrub, table_of

FILLED: Final = (Lead, ConsentEvent, Order, OrderEvent, Enrollment, LeadWord)
WORD = ("word", "lead_id")

Values = tuple[Any, ...]
# Sorted and inserted at the end, like the index entries.
WORDS: Final = Table(
    "demo_word",
    MetaData(),
    *(Column(name, table_of(LeadWord).c[name].type) for name in WORD),
    prefixes=["TEMPORARY"],
)


@contextmanager
def deferred_indexes(connection: Connection) -> Iterator[Table]:
    """Have rows added that are checked and indexed together; yields the table that takes words.

    One sort at the end costs half of what finding a place for each row does.
    """
    tables = [table_of(model) for model in FILLED]
    indexes = [index for table in tables for index in table.indexes]
    with (_sqlite if connection.dialect.name == "sqlite" else _postgresql)(connection) as words:
        for index in indexes:
            index.drop(connection)
        yield words
        for index in indexes:
            index.create(connection)


def load(
    connection: Connection, into: Table, columns: Sequence[str], rows: Sequence[Values]
) -> None:
    """Insert rows in the fastest way of the database."""
    names = ", ".join(columns)
    table = f'"{into.name}"'
    if connection.dialect.name == "sqlite":
        marks = ", ".join("?" * len(columns))
        # Values are strings and numbers, as SQLAlchemy would store them.
        connection.exec_driver_sql(f"INSERT INTO {table} ({names}) VALUES ({marks})", rows)  # noqa: S608
        return
    driver = connection.connection.driver_connection
    assert driver is not None  # noqa: S101, it was opened just now
    with driver.cursor() as cursor, cursor.copy(f"COPY {table} ({names}) FROM STDIN") as copy:
        for row in rows:
            copy.write_row(row)


def highest(connection: Connection, model: type[Lead] | type[Order]) -> int:
    """Return the highest id in use, 0 without rows."""
    return connection.scalar(select(func.max(model.id))) or 0


def number_on(connection: Connection) -> None:
    """Set PostgreSQL's sequences to continue after the inserted ids."""
    if connection.dialect.name == "sqlite":  # which looks itself
        return
    for model in (Lead, Order):
        name = f'"{model.__tablename__}"'
        connection.execute(
            text("SELECT setval(pg_get_serial_sequence(:name, 'id'), :highest)"),
            {"name": name, "highest": max(highest(connection, model), 1)},
        )


def tidy(engine: Engine) -> None:
    """Do the housekeeping that the database would otherwise do later.

    SQLite's write-ahead log holds all of it once more, and the next process that opens the
    database reads that from end to end: with 10,000,000 leads it took more than a minute.
    PostgreSQL has no statistics yet, and the first read of a row has to write its page.
    """
    if engine.dialect.name == "sqlite":
        scrub(engine)
        return
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for model in FILLED:
            connection.execute(text(f'VACUUM (ANALYZE) "{model.__tablename__}"'))


@contextmanager
def _sqlite(connection: Connection) -> Iterator[Table]:
    """Have words put aside: a table without row numbers is its own index."""
    # A quarter of a GB: the pages of the unique indexes need not be read again and again.
    connection.exec_driver_sql("PRAGMA cache_size = -262144")
    WORDS.create(connection)
    yield WORDS
    in_order = select(WORDS).order_by(WORDS.c.word, WORDS.c.lead_id)
    connection.execute(insert(table_of(LeadWord)).from_select(WORD, in_order))
    WORDS.drop(connection)


@contextmanager
def _postgresql(connection: Connection) -> Iterator[Table]:
    """Have constraints hold from the end on, but for those that others rely on."""
    connection.execute(text("SET LOCAL timezone = 'UTC'"))
    connection.execute(text("SET LOCAL maintenance_work_mem = '256MB'"))
    kinds = (UniqueConstraint, ForeignKeyConstraint)
    later: list[Constraint] = [table_of(LeadWord).primary_key]
    for model in FILLED:
        later += [one for one in table_of(model).constraints if isinstance(one, kinds)]
    for constraint in later:
        connection.execute(DropConstraint(constraint))
    yield table_of(LeadWord)
    for constraint in later:
        connection.execute(AddConstraint(constraint, isolate_from_table=False))
