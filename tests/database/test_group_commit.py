"""Group commit: concurrent writes share a commit, and each succeeds or fails alone."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from sqlalchemy import Engine, event, select
from sqlalchemy.orm import Session

from crossroads.database import group_commit
from crossroads.database.group_commit import GroupCommit, Store
from crossroads.leads import lifecycle as leads
from crossroads.leads.lifecycle import Touch
from crossroads.logs import first_line
from models import Suppression, base, now
from models.base import AnySession
from models.lead import LeadState
from models.suppression import SuppressionReason
from tests.support.databases import opened
from tests.support.people import address
from tests.support.sandbox_server import eventually
from tests.support.turns import another_turn


@pytest.fixture
def group(instance: Path) -> GroupCommit:
    return GroupCommit(instance / "writer.lock")


@pytest.fixture
def sqlite_engine(sqlite_url: str) -> Iterator[Engine]:
    with opened(sqlite_url) as engine:
        yield engine


def store(session: AnySession, names: Sequence[str]) -> None:
    """Write a row for each name. Raises ValueError for a "bad" name, and database errors."""
    for name in names:
        session.add(Suppression(address_hash=name, reason=SuppressionReason.BOUNCED, since=now()))
        session.flush()
        if name.startswith("bad"):
            raise ValueError(name)


def stored(engine: Engine) -> set[str]:
    with Session(engine) as session:
        return set(session.scalars(select(Suppression.address_hash)))


def bring(engine: Engine, group: GroupCommit, name: str, how: Store = store) -> str:
    """Commit a name as a request does; return the result."""
    with Session(engine) as session:
        try:
            group.commit(lambda: session, how, name)
        except Exception as error:
            return f"{type(error).__name__}: {first_line(error)}"
        if how is store:  # others see it as soon as commit returns
            assert name in stored(engine)
        return "stored"


@contextmanager
def commits(engine: Engine) -> Iterator[list[int]]:
    """Count the commits of an engine."""
    found: list[int] = []

    def count(_: object) -> None:
        found.append(1)

    event.listen(engine, "commit", count)
    yield found
    event.remove(engine, "commit", count)


def at_once(
    engine: Engine, group: GroupCommit, names: Sequence[str], how: Store = store
) -> tuple[list[str], int]:
    """Commit all names while another commit runs; return results and the number of commits."""
    begun, go_on = Event(), Event()

    def slowly(session: AnySession, items: Sequence[str]) -> None:
        begun.set()
        go_on.wait(10)
        store(session, items)

    def first() -> None:
        with Session(engine) as session:
            group.commit(lambda: session, slowly, "first")

    with commits(engine) as found, ThreadPoolExecutor(len(names) + 1) as pool:
        leading = pool.submit(first)
        assert begun.wait(10)
        coming = []
        for name in names:
            coming.append(pool.submit(bring, engine, group, name, how))
            eventually(lambda: group.queued >= len(coming))
        go_on.set()
        leading.result()
        return [one.result() for one in coming], len(found) - 1


def test_writes_queued_during_a_commit_share_the_next_commit(
    sqlite_engine: Engine, group: GroupCommit
) -> None:
    names = [f"n{number}" for number in range(20)]
    said, number = at_once(sqlite_engine, group, names)
    assert said == ["stored"] * 20
    assert number == 1
    assert stored(sqlite_engine) == {"first", *names}


def test_failed_write_does_not_affect_the_others(sqlite_engine: Engine, group: GroupCommit) -> None:
    said, _ = at_once(sqlite_engine, group, ["a", "bad one", "b", "bad two"])
    assert said == ["stored", "ValueError: bad one", "stored", "ValueError: bad two"]
    assert stored(sqlite_engine) == {"first", "a", "b"}


def test_concurrent_threads_lose_no_write(engine: Engine, instance: Path) -> None:
    sqlite = engine.dialect.name == "sqlite"
    group = GroupCommit(instance / "writer.lock" if sqlite else None)
    names = [f"n{number}" for number in range(200)]
    with ThreadPoolExecutor(8) as pool:
        said = list(pool.map(lambda name: bring(engine, group, name), names))
    assert said == ["stored"] * 200
    assert stored(engine) == set(names)


def test_lock_file_is_used_only_with_sqlite(
    make_app: Any, instance: Path, database_url: str
) -> None:
    form = {"email": "maria@example.com", "consent": "yes"}
    answer = make_app(database_url=database_url).test_client().post("/signup", data=form)
    assert answer.status_code == 200
    assert (instance / "writer.lock").exists() == database_url.startswith("sqlite")


def test_failure_to_open_a_session_does_not_block_later_writes(
    sqlite_engine: Engine, group: GroupCommit
) -> None:
    def away() -> Session:
        raise ConnectionError("no session")

    with pytest.raises(ConnectionError):
        group.commit(away, store, "refused")
    assert bring(sqlite_engine, group, "taken") == "stored"
    assert stored(sqlite_engine) == {"taken"}


def test_queued_writes_share_one_wait_for_a_locked_database(
    sqlite_engine: Engine, group: GroupCommit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that are queued during the wait fail with it, without a wait of their own."""
    monkeypatch.setattr(base, "LOCK_SECONDS", 0)
    begun = Event()
    waits = []

    def wait(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if statement == "BEGIN IMMEDIATE":
            waits.append(statement)
            begun.set()
            eventually(lambda: group.queued == 7)

    with (
        sqlite_engine.connect().execution_options(begin="IMMEDIATE") as holder,
        holder.begin(),
        ThreadPoolExecutor(8) as pool,
    ):
        event.listen(sqlite_engine, "before_cursor_execute", wait)
        coming = [pool.submit(bring, sqlite_engine, group, "a")]
        assert begun.wait(10)
        coming += [pool.submit(bring, sqlite_engine, group, name) for name in "bcdefgh"]
        said = [one.result() for one in coming]
        event.remove(sqlite_engine, "before_cursor_execute", wait)
    assert said == ["OperationalError: database is locked"] * 8
    assert len(waits) == 1
    assert bring(sqlite_engine, group, "later") == "stored"
    assert stored(sqlite_engine) == {"later"}


def test_killed_process_releases_the_lock(
    sqlite_engine: Engine, group: GroupCommit, instance: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_commit, "TURN_SECONDS", 60)
    without_lock = GroupCommit(None)
    with another_turn(instance / "writer.lock") as other, ThreadPoolExecutor(1) as pool:
        coming = pool.submit(bring, sqlite_engine, group, "n")
        eventually(lambda: group.queued == 1)
        for name in "abcde":
            assert bring(sqlite_engine, without_lock, name) == "stored"
        assert group.queued == 1, "it waits, while others commit"
        other.kill()
        assert coming.result() == "stored"


def test_wait_for_the_lock_has_a_timeout(
    sqlite_engine: Engine, group: GroupCommit, instance: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_commit, "TURN_SECONDS", 0.05)
    with another_turn(instance / "writer.lock") as other:
        assert bring(sqlite_engine, group, "n") == "stored"
        assert other.poll() is None, "it still holds the lock"


def test_write_succeeds_when_the_lock_file_cannot_be_opened(
    sqlite_engine: Engine, instance: Path
) -> None:
    assert bring(sqlite_engine, GroupCommit(instance / "no folder" / "lock"), "n") == "stored"


def test_id_of_a_rolled_back_row_may_be_reused_in_the_same_commit(
    sqlite_engine: Engine, group: GroupCommit
) -> None:
    def join(session: AnySession, names: Sequence[str]) -> None:
        for name in names:
            leads.find_or_add(
                session, address=address(name), name="", touch=Touch(), state=LeadState.WAITING
            )
            if name.startswith("bad"):
                raise ValueError(name)

    said, _ = at_once(sqlite_engine, group, ["bad@x.example", "good@x.example"], join)
    assert said == ["ValueError: b***@x.example", "stored"]
