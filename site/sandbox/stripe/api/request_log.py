"""The log of API calls, as in Stripe's dashboard."""

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
    """Log a call; `status` is None without an answer, `note` names faults and replays."""
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
    """Return the `request_log_url` of a call."""
    return f"{url}/stripe/#{id}"
