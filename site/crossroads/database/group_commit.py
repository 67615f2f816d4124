"""Group commit: writes of concurrent requests of one process share a transaction.

SQLite takes one writer at a time, and every commit waits for the disk. A request that arrives
during a commit queues its entry; the next commit takes all queued entries. Each request continues
when its own entry is durable, as if it had been alone.
"""

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from threading import Lock
from typing import Any, Final

from crossroads.database.process_lock import hold
from models.base import AnySession, writing

TURN_SECONDS: Final = 1.0

Store = Callable[[AnySession, Sequence[Any]], None]
Entry = tuple[Store, Any, "Future[None]"]


class GroupCommit:
    """Commits entries of several threads together, in the session of one of them.

    `file` is a lock between processes. Without it each entry is committed alone: PostgreSQL groups
    commits on its own.
    """

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._entries: deque[Entry] = deque()
        self._leading = Lock()

    @property
    def queued(self) -> int:
        """Number of queued items."""
        return len(self._entries)

    def commit(self, session: Callable[[], AnySession], store: Store, item: Any) -> None:
        """Write the item with `store`, and return when it is durable.

        `store` gets a session in a writing transaction, and all items that are queued for it.
        Raises what `store` raises for this item. `session` returns a session without an open
        transaction; only the committing thread calls it.
        """
        entry = (store, item, Future[None]())
        if self._file is None:
            self._commit(session, [entry])
        else:
            self._entries.append(entry)
            with self._leading:
                if not entry[2].done():
                    with hold(self._file, patience=TURN_SECONDS):
                        self._commit(session, self._take())
        entry[2].result(timeout=0)

    def _take(self) -> list[Entry]:
        return [self._entries.popleft() for _ in range(len(self._entries))]

    def _commit(self, opened: Callable[[], AnySession], entries: Sequence[Entry]) -> None:
        """Commit all entries together, or each alone if that fails: one error fails one entry."""
        try:
            session = opened()
        except Exception as error:
            _fail(entries, error)
            return
        groups = deque([entries])
        while groups:
            group = groups.popleft()
            try:
                writing(session)
            except Exception as error:  # BEGIN failed: queued entries would wait as long again
                session.rollback()
                for one in (group, *groups, self._take()):
                    _fail(one, error)
                return
            try:
                for store, items in _by_store(group).items():
                    store(session, items)
                session.commit()
            except Exception as error:
                session.rollback()
                session.expunge_all()  # another row will get the id that was rolled back
                if len(group) == 1:
                    _fail(group, error)
                else:
                    groups.extend([entry] for entry in group)
            else:
                for _, _, done in group:
                    done.set_result(None)


def _by_store(entries: Sequence[Entry]) -> dict[Store, list[Any]]:
    items: dict[Store, list[Any]] = {}
    for store, item, _ in entries:
        items.setdefault(store, []).append(item)
    return items


def _fail(entries: Sequence[Entry], error: Exception) -> None:
    for _, _, done in entries:
        done.set_exception(error)
