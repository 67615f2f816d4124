"""What happens by itself when its time has come: sessions expire, banks answer."""

from collections.abc import Callable
from typing import Final

from sandbox.stripe.objects.checkout import payment_attempt, sessions
from sandbox.stripe.objects.payments import disputes, refunds
from sandbox.stripe.store import Books, Store

VERBS: Final[dict[str, Callable[[Books, str], object]]] = {
    "expire": lambda books, target: sessions.expire(books, target, {}),
    "settle": payment_attempt.settle,
    "refund": refunds.succeed,
    "fail_refund": refunds.fail,
    "dispute": lambda books, target: disputes.open_one(books, {"id": target}),
}


def catch_up(store: Store) -> None:
    """Do all that is due. Called by the clock, and before anything is read or asked for."""
    with store.reading() as books:
        if not _due(books):
            return
    with store.writing() as books:
        for verb, target in _due(books):
            books.live = bool(books.live_of(target))  # time goes on in both modes
            VERBS[verb](books, target)


def next_due(books: Books) -> float | None:
    """Return when the next thing is due, in seconds of the sandbox's time."""
    due: float | None = books.db.execute("SELECT min(due) AS due FROM jobs").fetchone()["due"]
    return due


def _due(books: Books) -> list[tuple[str, str]]:
    rows = books.db.execute(
        "SELECT verb, target FROM jobs WHERE due <= ? ORDER BY due, number", (books.time,)
    )
    return [(row["verb"], row["target"]) for row in rows.fetchall()]
