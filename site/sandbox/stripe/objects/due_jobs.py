"""Due jobs: sessions expire and banks answer at a scheduled time."""

from collections.abc import Callable
from typing import Final

from sandbox.stripe.objects.checkout import payment_attempt, sessions
from sandbox.stripe.objects.payments import disputes, refunds
from sandbox.stripe.store import Store, Transaction

JOBS: Final[dict[str, Callable[[Transaction, str], object]]] = {
    "expire": lambda tx, target: sessions.expire(tx, target, {}),
    "settle": payment_attempt.settle,
    "refund": refunds.succeed,
    "fail_refund": refunds.fail,
    "dispute": lambda tx, target: disputes.open_dispute(tx, {"id": target}),
}


def run_due(store: Store) -> None:
    """Run all due jobs. Called by the webhook thread, and before every API call and page."""
    with store.reading() as tx:
        if not _due(tx):
            return
    with store.writing() as tx:
        for job, target in _due(tx):
            tx.live = bool(tx.live_of(target))  # whatever the mode is now
            JOBS[job](tx, target)


def next_due(tx: Transaction) -> float | None:
    """Return when the next job is due, in seconds of the sandbox's time."""
    due: float | None = tx.db.execute("SELECT min(due) AS due FROM jobs").fetchone()["due"]
    return due


def _due(tx: Transaction) -> list[tuple[str, str]]:
    rows = tx.db.execute(
        "SELECT verb, target FROM jobs WHERE due <= ? ORDER BY due, number", (tx.time,)
    )
    return [(row["verb"], row["target"]) for row in rows.fetchall()]
