"""The session for one transaction that writes: it commits as a whole or not at all."""

import sqlite3
from contextlib import closing

import pytest
from sqlalchemy import Engine, func, make_url, select
from sqlalchemy.orm import Session

from crossroads.database.writing_session import writing_session
from models import Lead
from tests.support.databases import opened
from tests.support.desk_visits import lead


def count(engine: Engine) -> int:
    with Session(engine) as session:
        return session.scalar(select(func.count(Lead.id))) or 0


def test_block_that_returns_early_is_committed(engine: Engine) -> None:
    def add() -> str:
        with writing_session(engine, expire_on_commit=False) as session:
            person = lead("maria@example.com")
            session.add(person)
            session.flush()
            return person.email

    assert add() == "maria@example.com"
    assert count(engine) == 1


def test_exception_in_the_block_rolls_back_all_of_it(engine: Engine) -> None:
    with pytest.raises(ZeroDivisionError), writing_session(engine) as session:
        session.add(lead())
        session.flush()
        1 / 0  # noqa: B018
    assert count(engine) == 0


def test_the_write_lock_is_taken_before_the_first_statement(sqlite_url: str) -> None:
    """Otherwise a transaction that reads first would fail when another one writes in between."""
    file = make_url(sqlite_url).database
    assert file
    with (
        opened(sqlite_url) as engine,
        writing_session(engine),
        closing(sqlite3.connect(file, timeout=0)) as other,
        pytest.raises(sqlite3.OperationalError, match="database is locked"),
    ):
        other.execute("BEGIN IMMEDIATE")
