"""The log of calls to the API, as Stripe's dashboard keeps one."""

from typing import Any, Final

from sandbox.stripe.store import Transaction

MAX_ENTRIES: Final = 2000  # calls


def add(
    tx: Transaction,
    id: str,  # noqa: A002
    method: str,
    path: str,
    key: str | None,
    status: int | None,
    note: str,
) -> None:
    """Note a call; `status` is None when no answer left, `note` tells of faults and replays."""
    tx.db.execute(
        "INSERT INTO calls (request, at, method, path, key, status, note) VALUES (?,?,?,?,?,?,?)",
        (id, tx.now, method, path, key, status, note),
    )
    tx.db.execute(
        "DELETE FROM calls WHERE number <= (SELECT max(number) FROM calls) - ?", (MAX_ENTRIES,)
    )


def newest(tx: Transaction, limit: int) -> list[dict[str, Any]]:
    """Return the last calls, newest first."""
    rows = tx.db.execute("SELECT * FROM calls ORDER BY number DESC LIMIT ?", (limit,))
    return [dict(row) for row in rows.fetchall()]


def url_of(url: str, id: str) -> str:  # noqa: A002
    """Return where a call can be looked up: what errors carry as request_log_url."""
    return f"{url}/stripe/#{id}"
