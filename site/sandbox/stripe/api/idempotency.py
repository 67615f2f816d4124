"""Answers saved under idempotency keys (https://docs.stripe.com/api/idempotent_requests)."""

import hashlib
import json
from dataclasses import dataclass
from typing import Any, Final

from sandbox.stripe.errors import ApiError
from sandbox.stripe.store import Transaction

SAVED_SECONDS: Final = 24 * 3600
MAX_KEY_LENGTH: Final = 255


@dataclass(frozen=True)
class IdempotentRequest:
    """A call with a key: a hash of its method, path and parameters, by API key."""

    account: str
    key: str
    text: str


@dataclass(frozen=True)
class SavedAnswer:
    """The answer to the first call with a key."""

    request: str
    status: int
    body: str


def idempotent_request(
    account: str, key: str, method: str, path: str, given: dict[str, Any]
) -> IdempotentRequest:
    """Return a call's key and hash. Raises ApiError for a key that is too long."""
    if len(key) > MAX_KEY_LENGTH:
        raise ApiError(f"Idempotency keys can be up to {MAX_KEY_LENGTH} characters long.")
    wanted = json.dumps([method, path, given], sort_keys=True)
    return IdempotentRequest(account, key, hashlib.sha256(wanted.encode()).hexdigest())


def saved_answer(tx: Transaction, wanted: IdempotentRequest) -> SavedAnswer | None:
    """Return the answer to the first call with this key in 24 hours, None when there is none.

    Raises ApiError when that call was different.
    """
    row = tx.db.execute(
        "SELECT * FROM answers WHERE account = ? AND key = ? AND saved > ?",
        (wanted.account, wanted.key, tx.time - SAVED_SECONDS),
    ).fetchone()
    if row is None:
        return None
    if row["question"] != wanted.text:
        raise ApiError(
            "Keys for idempotent requests can only be used with the same parameters they were "
            f"first used with. Try using a key other than '{wanted.key}' if you meant to execute "
            "a different request.",
            kind="idempotency_error",
        )
    return SavedAnswer(row["request"], row["status"], row["body"])


def save(tx: Transaction, wanted: IdempotentRequest, answer: SavedAnswer) -> None:
    """Save an answer for further calls with the key."""
    tx.db.execute(
        "INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            wanted.account,
            wanted.key,
            answer.request,
            wanted.text,
            answer.status,
            answer.body,
            tx.time,
        ),
    )


def key_in_use(key: str) -> ApiError:
    """Return the error for a key that a call in progress uses."""
    return ApiError(
        "There is currently another in-progress request using this Idempotent Key (that probably "
        "means you submitted twice, and the other request is still going through): "
        f"{key}. Please try again later.",
        status=409,
        code="idempotency_key_in_use",
        kind="idempotency_error",
    )
