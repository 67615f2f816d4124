"""Answers kept under an idempotency key (https://docs.stripe.com/api/idempotent_requests)."""

import hashlib
import json
from dataclasses import dataclass
from typing import Any, Final

from sandbox.stripe.errors import ApiError
from sandbox.stripe.store import Transaction

KEPT_SECONDS: Final = 24 * 3600
LONGEST_KEY: Final = 255


@dataclass(frozen=True)
class Question:
    """A call as the key's first use fixed it: method, path and parameters, by account."""

    account: str
    key: str
    text: str


@dataclass(frozen=True)
class Answer:
    """What the first call with a key was answered."""

    request: str
    status: int
    body: str


def question(account: str, key: str, method: str, path: str, given: dict[str, Any]) -> Question:
    """Return the question of a call. Raises Refusal for a key that is too long."""
    if len(key) > LONGEST_KEY:
        raise ApiError(f"Idempotency keys can be up to {LONGEST_KEY} characters long.")
    asked = json.dumps([method, path, given], sort_keys=True)
    return Question(account, key, hashlib.sha256(asked.encode()).hexdigest())


def kept(tx: Transaction, asked: Question) -> Answer | None:
    """Return the answer to the first call with this key, None when there was none in 24 hours.

    Raises Refusal when that was another call.
    """
    row = tx.db.execute(
        "SELECT * FROM answers WHERE account = ? AND key = ? AND saved > ?",
        (asked.account, asked.key, tx.time - KEPT_SECONDS),
    ).fetchone()
    if row is None:
        return None
    if row["question"] != asked.text:
        raise ApiError(
            "Keys for idempotent requests can only be used with the same parameters they were "
            f"first used with. Try using a key other than '{asked.key}' if you meant to execute "
            "a different request.",
            kind="idempotency_error",
        )
    return Answer(row["request"], row["status"], row["body"])


def keep(tx: Transaction, asked: Question, answer: Answer) -> None:
    """Keep an answer for the next call with the key."""
    tx.db.execute(
        "INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            asked.account,
            asked.key,
            answer.request,
            asked.text,
            answer.status,
            answer.body,
            tx.time,
        ),
    )


def in_use(key: str) -> ApiError:
    """Return the refusal of a call whose key another one is using at this moment."""
    return ApiError(
        "There is currently another in-progress request using this Idempotent Key (that probably "
        "means you submitted twice, and the other request is still going through): "
        f"{key}. Please try again later.",
        status=409,
        code="idempotency_key_in_use",
        kind="idempotency_error",
    )
