"""The store: one SQLite file that survives a restart and a kill."""

import json
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Lock
from typing import Any

from sandbox.stripe import ids
from sandbox.stripe.errors import no_such

StripeObject = dict[str, Any]  # an object as the API shows it

TABLES = """
CREATE TABLE IF NOT EXISTS objects (
    number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, kind TEXT NOT NULL,
    created INTEGER NOT NULL, body TEXT NOT NULL, hidden TEXT NOT NULL DEFAULT '{}',
    live INTEGER NOT NULL DEFAULT 0);
CREATE INDEX IF NOT EXISTS objects_by_kind ON objects (kind, number);
CREATE INDEX IF NOT EXISTS objects_by_payment
    ON objects (kind, json_extract(body, '$.payment_intent'));
CREATE TABLE IF NOT EXISTS deliveries (
    number INTEGER PRIMARY KEY AUTOINCREMENT, event TEXT NOT NULL, endpoint TEXT NOT NULL,
    state TEXT NOT NULL, tries INTEGER NOT NULL DEFAULT 0, due REAL NOT NULL,
    status INTEGER, answer TEXT NOT NULL DEFAULT '');
CREATE INDEX IF NOT EXISTS deliveries_due ON deliveries (state, due);
CREATE INDEX IF NOT EXISTS deliveries_by_event ON deliveries (event);
CREATE TABLE IF NOT EXISTS jobs (
    number INTEGER PRIMARY KEY AUTOINCREMENT, verb TEXT NOT NULL, target TEXT NOT NULL,
    due REAL NOT NULL, UNIQUE (verb, target));
CREATE TABLE IF NOT EXISTS answers (
    account TEXT NOT NULL, key TEXT NOT NULL, request TEXT NOT NULL, question TEXT NOT NULL,
    status INTEGER NOT NULL, body TEXT NOT NULL, saved REAL NOT NULL,
    PRIMARY KEY (account, key));
CREATE TABLE IF NOT EXISTS faults (
    number INTEGER PRIMARY KEY AUTOINCREMENT, method TEXT NOT NULL, path TEXT NOT NULL,
    kind TEXT NOT NULL, seconds REAL NOT NULL, after INTEGER NOT NULL, times INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS calls (
    number INTEGER PRIMARY KEY AUTOINCREMENT, request TEXT NOT NULL, at INTEGER NOT NULL,
    method TEXT NOT NULL, path TEXT NOT NULL, key TEXT, status INTEGER, note TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS settings (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""


class Transaction:
    """One database transaction, in one mode and at one moment."""

    def __init__(self, db: sqlite3.Connection, url: str) -> None:
        self.db, self.url = db, url
        self.time = time.time() + float(self.setting("clock", 0))
        self.now = int(self.time)
        # It sees and creates objects of this mode only, as an API key does.
        # https://docs.stripe.com/keys#test-live-modes
        self.live = bool(self.setting("live", False))
        # `request` of the events recorded here: the API call, or none for the sandbox itself.
        self.cause: StripeObject = {"id": None, "idempotency_key": None}

    @property
    def endpoint_settings(self) -> StripeObject:
        """Which events every webhook endpoint gets, in which API version, and whether it is on."""
        heard: StripeObject = self.setting("endpoint_settings", {})
        return {"enabled_events": ["*"], "api_version": None, "enabled": True, **heard}

    def add(self, obj: StripeObject, **hidden: Any) -> None:
        """Store a new object; `hidden` is stored with it and never sent."""
        if "livemode" in obj:
            obj["livemode"] = self.live
        self.db.execute(
            "INSERT INTO objects (id, kind, created, body, hidden, live) VALUES (?, ?, ?, ?, ?, ?)",
            (
                obj["id"],
                obj["object"],
                obj["created"],
                json.dumps(obj),
                json.dumps(hidden),
                self.live,
            ),
        )

    def update(self, obj: StripeObject, **hidden: Any) -> None:
        """Store an object's new state; merge `hidden` into what is stored with it."""
        self.db.execute(
            "UPDATE objects SET body = ?, hidden = json_patch(hidden, ?) WHERE id = ?",
            (json.dumps(obj), json.dumps(hidden), obj["id"]),
        )

    def find(self, kind: str, id: str) -> StripeObject | None:  # noqa: A002 # as the API calls it
        """Return the object of this kind, id and mode, None when there is none."""
        row = self.db.execute(
            "SELECT body FROM objects WHERE kind = ? AND id = ? AND live = ?", (kind, id, self.live)
        ).fetchone()
        found: StripeObject | None = json.loads(row["body"]) if row else None
        return found

    def require(
        self,
        kind: str,
        id: str,  # noqa: A002
        param: str,
        *,
        status: int = 404,
    ) -> StripeObject:
        """Return the object that a call names in `param`. Raises ApiError when there is none.

        `status` is 404 for an id in the path, 400 for one in a parameter. The message names the
        other mode when the object is there.
        """
        found = self.find(kind, id)
        if found is None:
            raise no_such(kind, id, param, status=status, live=self.live_of(id))
        return found

    def live_of(self, id: str) -> bool | None:  # noqa: A002
        """Return whether the object with this id is live, None when no mode has it."""
        row = self.db.execute("SELECT live FROM objects WHERE id = ?", (id,)).fetchone()
        return bool(row["live"]) if row else None

    def get(self, kind: str, id: str) -> StripeObject:  # noqa: A002
        """Return an object that another object refers to. Raises KeyError when there is none."""
        found = self.find(kind, id)
        if found is None:
            raise KeyError(id)
        return found

    def hidden(self, id: str) -> StripeObject:  # noqa: A002
        """Return what is stored with an object and never sent."""
        row = self.db.execute("SELECT hidden FROM objects WHERE id = ?", (id,)).fetchone()
        found: StripeObject = json.loads(row["hidden"])
        return found

    def newest(
        self,
        kind: str,
        limit: int,
        *,
        where: Mapping[str, Any] | None = None,
        conditions: tuple[tuple[str, Any], ...] = (),
        backwards: bool = False,
    ) -> list[StripeObject]:
        """Return objects newest first; `backwards` takes the oldest ones, still newest first.

        `where` compares fields of the object, given by path: `{"$.status": "open"}`.
        `conditions` are SQL terms with one value each.
        """
        terms = [("kind = ?", kind), ("live = ?", self.live), *conditions]
        terms += [
            (f"json_extract(body, '{path}') = ?", value) for path, value in (where or {}).items()
        ]
        rows = self.db.execute(
            f"SELECT body FROM objects WHERE {' AND '.join(term for term, _ in terms)} "  # noqa: S608
            f"ORDER BY number {'ASC' if backwards else 'DESC'} LIMIT ?",
            (*(value for _, value in terms), limit),
        ).fetchall()
        found = [json.loads(row["body"]) for row in rows]
        return found[::-1] if backwards else found

    def position(self, kind: str, id: str) -> int | None:  # noqa: A002
        """Return an object's position in the order of creation, which lists and cursors follow."""
        row = self.db.execute(
            "SELECT number FROM objects WHERE kind = ? AND id = ? AND live = ?",
            (kind, id, self.live),
        ).fetchone()
        return row["number"] if row else None

    def schedule(self, verb: str, target: str, due: float) -> None:
        """Schedule a job on an object; scheduling it again replaces its time."""
        self.db.execute(
            "INSERT INTO jobs (verb, target, due) VALUES (?, ?, ?) "
            "ON CONFLICT (verb, target) DO UPDATE SET due = excluded.due",
            (verb, target, due),
        )

    def unschedule(self, verb: str, target: str) -> bool:
        """Cancel a job; return whether it was scheduled."""
        gone = self.db.execute("DELETE FROM jobs WHERE verb = ? AND target = ?", (verb, target))
        return gone.rowcount > 0

    def setting(self, name: str, default: Any) -> Any:
        """Return a setting, `default` when it is not set."""
        row = self.db.execute("SELECT value FROM settings WHERE name = ?", (name,)).fetchone()
        return json.loads(row["value"]) if row else default

    def set(self, name: str, value: Any) -> None:
        """Store a setting until it is set again or everything is reset."""
        self.db.execute(
            "INSERT INTO settings VALUES (?, ?) "
            "ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            (name, json.dumps(value)),
        )


class Store:
    """The file and the sandbox's own address.

    `changed` is set after every commit. `released` ends the waits of calls that are in progress.
    """

    def __init__(self, file: Path, url: str) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        self.url = url
        self._file, self._writer = file, Lock()
        self.changed, self.released = Event(), Event()
        self._idle: list[sqlite3.Connection] = []
        with self._connected() as db:
            db.execute("PRAGMA journal_mode = WAL")
            db.executescript(TABLES)
            _upgrade(db)
            # Each file is an account of its own; the id survives restarts and resets.
            db.execute(
                "INSERT OR IGNORE INTO settings VALUES ('account', ?)",
                (json.dumps(ids.new("acct_1", 15)),),
            )

    @contextmanager
    def writing(self) -> Iterator[Transaction]:
        """Open the one transaction that may write, and commit it unless it raises."""
        with self._writer, self._connected() as db:
            db.execute("BEGIN IMMEDIATE")
            try:
                yield Transaction(db, self.url)
                db.execute("COMMIT")
            except BaseException:
                db.execute("ROLLBACK")
                raise
        self.changed.set()

    @contextmanager
    def reading(self) -> Iterator[Transaction]:
        """Open a read-only transaction: one snapshot, never blocked by a writer."""
        with self._connected() as db:
            db.execute("BEGIN")
            try:
                yield Transaction(db, self.url)
            finally:
                db.execute("ROLLBACK")

    def release(self) -> None:
        """End the waits of the calls in progress, but not of later ones."""
        released, self.released = self.released, Event()
        released.set()

    def close(self) -> None:
        """Close the idle connections and end every wait."""
        self.released.set()
        while self._idle:
            self._idle.pop().close()

    def reset(self) -> None:
        """Delete everything except the account id and the webhook endpoints."""
        with self.writing() as tx:
            for table in ("objects", "deliveries", "jobs", "answers", "faults", "calls"):
                tx.db.execute(f"DELETE FROM {table}")  # noqa: S608 # names from this line
            tx.db.execute(
                "DELETE FROM settings "
                "WHERE name NOT IN ('account', 'endpoints', 'secrets', 'endpoint_settings')"
            )

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        """Yield a connection for exclusive use; reused, as opening one parses the schema."""
        try:
            db = self._idle.pop()
        except IndexError:
            db = sqlite3.connect(
                self._file, timeout=30, isolation_level=None, check_same_thread=False
            )
            db.row_factory = sqlite3.Row
            db.execute("PRAGMA synchronous = NORMAL")
        yield db
        self._idle.append(db)  # not after an exception: it may have an open transaction


def _upgrade(db: sqlite3.Connection) -> None:
    """Add the mode of each object to a file of an earlier version."""
    columns = {row["name"] for row in db.execute("PRAGMA table_info(objects)")}
    if "live" in columns:
        return
    db.execute("ALTER TABLE objects ADD COLUMN live INTEGER NOT NULL DEFAULT 0")
    db.execute("UPDATE objects SET live = 1 WHERE json_extract(body, '$.livemode')")
    # A refund has no `livemode`: it has the mode of its charge.
    db.execute(
        "UPDATE objects SET live = 1 WHERE kind = 'refund' AND "
        "json_extract(body, '$.charge') IN (SELECT id FROM objects WHERE live)"
    )
