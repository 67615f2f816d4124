"""The flask command with a fuse: its process is killed at a chosen step of a purchase.

`python -m tests.faults.fuse serve` is `flask serve`. While there is a file at FUSE with a number,
every step lowers the number; with a name after the number, only steps of that name do. At the step
that would lower it to 0, the file is deleted, the name of the step is written beside it, and the
process ends as by kill -9. Then the command is started again, as a service manager would.

Steps are: before and after each commit that has written something, and before and after each call
to Stripe. No other moment leaves anything that another process could see.
"""

import os
import signal
import sys
from importlib import import_module
from pathlib import Path
from threading import Lock, local
from typing import Any
from urllib.parse import urlsplit

import stripe
from flask.cli import main
from sqlalchemy import Connection, Engine, event
from sqlalchemy.orm import Session

FUSE = Path(os.environ["FUSE"])

_burning = Lock()  # for the threads of this process; only one process at a time has a fuse
_thread = local()


def step(name: str) -> None:
    """Count a step of the fuse, if there is one, and kill the process at the last one."""
    with _burning:
        try:
            number, _, only = FUSE.read_text().partition(" ")
        except FileNotFoundError:
            return
        if only not in ("", name):
            return
        if int(number) > 1:
            FUSE.write_text(f"{int(number) - 1} {only}")
            return
        FUSE.with_suffix(".burnt").write_text(name)
        FUSE.unlink()
        os.kill(os.getpid(), signal.SIGKILL)


@event.listens_for(Engine, "begin")
def begun(connection: Connection) -> None:
    connection.info["changes"] = _changes(connection)


@event.listens_for(Engine, "after_cursor_execute")
def executed(
    connection: Connection, cursor: Any, _statement: str, _values: Any, context: Any, _many: bool
) -> None:
    # For databases that do not count changes. (SQLite does; its driver knows too late how many rows
    # a statement with RETURNING has changed.)
    if (context.isinsert or context.isupdate or context.isdelete) and cursor.rowcount > 0:
        connection.info["changes"] = None


@event.listens_for(Engine, "commit")
def committing(connection: Connection) -> None:
    _thread.wrote = _changes(connection) != connection.info["changes"]
    if _thread.wrote:
        step("before a commit")


@event.listens_for(Session, "after_commit")
def committed(_session: Session) -> None:
    if getattr(_thread, "wrote", False):
        step("after a commit")


def _changes(connection: Connection) -> int:
    """Return the number of rows that the connection has changed, where it counts them."""
    return getattr(connection.connection.dbapi_connection, "total_changes", 0)


class Client(stripe.RequestsClient):
    """The SDK's own client, with a step before and after each call."""

    def request(self, method: str, url: str, *args: Any, **more: Any) -> Any:
        parts = urlsplit(url).path.split("/")
        name = "/".join("ID" if part.startswith("cs_") else part for part in parts)
        step(f"before {method.upper()} {name}")
        answer = super().request(method, url, *args, **more)
        step(f"after {method.upper()} {name}")
        return answer


def keep_up() -> None:
    """Run the command, again and again until it succeeds."""
    import_module("wsgi")  # once, so that each start is quick
    while True:
        child = os.fork()
        if child == 0:
            sys.argv[0] = "flask"
            main()
        if os.waitpid(child, 0)[1] == 0:
            return


if __name__ == "__main__":
    stripe.RequestsClient = Client  # type: ignore[misc]
    keep_up()
