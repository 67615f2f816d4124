"""A session for one writing transaction outside of a request."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from models.base import writing


@contextmanager
def writing_session(engine: Engine, *, expire_on_commit: bool = True) -> Iterator[Session]:
    """Open a session in a writing transaction, and commit it at the end of the block.

    Leaving the block commits, also by `return`; an exception in it rolls back. The commit expires
    rows unless `expire_on_commit` is False. Raises SQLAlchemy's errors. On SQLite the block
    holds the only write lock: it must not call anything outside the database.
    """
    with Session(engine, expire_on_commit=expire_on_commit) as session:
        writing(session)
        yield session
        session.commit()
