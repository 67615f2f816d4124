"""Deliveries: a stored queue of events for endpoints, sent signed and at least once.

Source: https://docs.stripe.com/webhooks (delivery behaviors, signature verification).
"""

import hashlib
import hmac
import time
from collections.abc import Sequence
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any, Final
from urllib.parse import urlsplit

from sandbox.stripe.errors import no_such
from sandbox.stripe.store import Transaction

TIMEOUT: Final = 10.0  # seconds
MAX_ANSWER: Final = 300  # characters of an endpoint's answer that are stored
# Seconds between attempts. Stripe's grow alike, over three days.
RETRY_DELAYS: Final = (2.0, 8.0, 30.0, 120.0, 480.0, 1800.0)
STATES: Final = ("pending", "sending", "delivered", "failed", "lost")


@dataclass(frozen=True)
class Delivery:
    """One event for one endpoint."""

    number: int
    event: str
    endpoint: str


@dataclass(frozen=True)
class Reply:
    """An endpoint's answer. Without an answer the status is None, and `text` is the error."""

    status: int | None
    text: str

    @property
    def succeeded(self) -> bool:
        """Tell whether it is a 2xx; a redirect is a failure."""
        return self.status is not None and 200 <= self.status < 300


def signature(payload: bytes, secrets: Sequence[str], at: int) -> str:
    """Return the Stripe-Signature header, with one v1 for each secret, as during a roll.

    HMAC-SHA256 over "time.payload" (https://docs.stripe.com/webhooks#verify-manually). In test
    mode there is a v0, too, which must not be accepted.
    """
    signed = f"{at}.".encode() + payload
    marks = [hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest() for secret in secrets]
    fake = hashlib.sha256(signed).hexdigest()
    return ",".join([f"t={at}", *(f"v1={mark}" for mark in marks), f"v0={fake}"])


def send(endpoint: str, payload: bytes, secrets: Sequence[str]) -> Reply:
    """Post an event, without following redirects, for at most 10 seconds."""
    parts = urlsplit(endpoint)
    kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=TIMEOUT)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    headers = {
        "Content-Type": "application/json; charset=utf-8",
        "User-Agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
        "Accept": "*/*; q=0.5, application/xml",
        "Cache-Control": "no-cache",
        "Stripe-Signature": signature(payload, secrets, int(time.time())),
    }
    try:
        connection.request("POST", path, payload, headers)
        answer = connection.getresponse()
        return Reply(
            answer.status, answer.read(4 * MAX_ANSWER).decode("utf-8", "replace")[:MAX_ANSWER]
        )
    except (OSError, HTTPException) as error:
        return Reply(None, f"{type(error).__name__}: {error}"[:MAX_ANSWER])
    finally:
        connection.close()


def claim_due(tx: Transaction, limit: int) -> list[Delivery]:
    """Return the due deliveries, now marked as sending; none while paused."""
    if limit <= 0 or tx.setting("paused", False):
        return []
    rows = tx.db.execute(
        "SELECT number, event, endpoint FROM deliveries WHERE state = 'pending' AND due <= ? "
        "ORDER BY due, number LIMIT ?",
        (tx.time, limit),
    ).fetchall()
    for row in rows:
        _set(tx, row["number"], state="sending")
    return [Delivery(row["number"], row["event"], row["endpoint"]) for row in rows]


def record_reply(tx: Transaction, number: int, reply: Reply, retry_delays: Sequence[float]) -> None:
    """Record an endpoint's reply, and schedule the next attempt if there is one."""
    row = tx.db.execute(
        "SELECT state, tries FROM deliveries WHERE number = ?", (number,)
    ).fetchone()
    if row is None:  # everything was reset meanwhile
        return
    tries, changes = row["tries"] + 1, {"status": reply.status, "answer": reply.text}
    if row["state"] == "sending":  # and was not resent, delayed or dropped meanwhile
        state = (
            "delivered"
            if reply.succeeded
            else "pending"
            if tries <= len(retry_delays)
            else "failed"
        )
        changes["state"] = state
        if state == "pending":
            changes["due"] = tx.time + retry_delays[tries - 1]
    _set(tx, number, tries=tries, **changes)


def requeue_interrupted(tx: Transaction) -> None:
    """Send again what was being sent when the process ended."""
    tx.db.execute("UPDATE deliveries SET state = 'pending' WHERE state = 'sending'")


def next_due(tx: Transaction) -> float | None:
    """Return when the next delivery is due, in seconds of the sandbox's time."""
    if tx.setting("paused", False):
        return None
    row = tx.db.execute("SELECT min(due) AS due FROM deliveries WHERE state = 'pending'").fetchone()
    due: float | None = row["due"]
    return due


def resend(tx: Transaction, number: int) -> None:
    """Send a delivery now, whatever its state."""
    _set(tx, _require(tx, number), state="pending", due=tx.time)


def delay(tx: Transaction, number: int, seconds: float) -> None:
    """Send a delivery later."""
    _set(tx, _require(tx, number), state="pending", due=tx.time + seconds)


def drop(tx: Transaction, number: int) -> None:
    """Never send a delivery, unless it is resent."""
    _set(tx, _require(tx, number), state="lost")


def duplicate(tx: Transaction, number: int) -> None:
    """Send an event to an endpoint once more."""
    tx.db.execute(
        "INSERT INTO deliveries (event, endpoint, state, due) "
        "SELECT event, endpoint, 'pending', ? FROM deliveries WHERE number = ?",
        (tx.time, _require(tx, number)),
    )


def reorder(tx: Transaction, numbers: Sequence[int], interval: float) -> None:
    """Send the pending deliveries, `interval` seconds apart, in this order or in reverse."""
    tx.set("paused", False)
    queue = list(numbers) or [one["number"] for one in waiting(tx)][::-1]
    for place, number in enumerate(queue):
        delay(tx, number, place * interval)


def waiting(tx: Transaction) -> list[dict[str, Any]]:
    """Return the pending deliveries in their order."""
    rows = tx.db.execute(
        "SELECT * FROM deliveries WHERE state = 'pending' ORDER BY due, number"
    ).fetchall()
    return [dict(row) for row in rows]


def newest(tx: Transaction, limit: int) -> list[dict[str, Any]]:
    """Return deliveries, newest first, each with the type of its event."""
    rows = tx.db.execute(
        "SELECT deliveries.*, json_extract(objects.body, '$.type') AS type FROM deliveries "
        "JOIN objects ON objects.id = deliveries.event ORDER BY deliveries.number DESC LIMIT ?",
        (limit,),
    ).fetchall()
    return [dict(row) for row in rows]


def _require(tx: Transaction, number: int) -> int:
    row = tx.db.execute("SELECT 1 FROM deliveries WHERE number = ?", (number,)).fetchone()
    if row is None:
        raise no_such("delivery", str(number), "number")
    return number


def _set(tx: Transaction, number: int, **changes: Any) -> None:
    names = ", ".join(f"{name} = ?" for name in changes)
    tx.db.execute(
        f"UPDATE deliveries SET {names} WHERE number = ?",  # noqa: S608 # names from this module
        (*changes.values(), number),
    )
