"""Events: snapshots of objects at a change (https://docs.stripe.com/api/events)."""

import json
from typing import Any, Final

from sandbox.stripe import ids, pagination, serialization
from sandbox.stripe.errors import ApiError, mutually_exclusive, no_such
from sandbox.stripe.parameters import Array, Boolean, Parameters, Text, TimeRange
from sandbox.stripe.store import StripeObject, Transaction

API_VERSION: Final = "2026-10-28.endive"  # the one the SDK sends; a test compares them
KEPT_SECONDS: Final = 30 * 24 * 3600  # https://docs.stripe.com/api/events
LIST: Final = Parameters(
    {
        **pagination.PAGING,
        "created": TimeRange(),
        "delivery_success": Boolean(),
        "type": Text(),
        "types": Array(Text(), maximum=20),
    }
)


def record(
    tx: Transaction, kind: str, obj: StripeObject, before: StripeObject | None = None
) -> None:
    """Store an event about an object, and a delivery for each endpoint that gets this type.

    `before` holds the former values of what an update changed. Both are stored in the caller's
    transaction, so that each committed change has its event, and no other has.
    """
    data: StripeObject = {"object": obj}
    if before is not None:
        data["previous_attributes"] = before
    endpoint_settings = tx.endpoint_settings
    heard = endpoint_settings["enabled"] and {"*", kind} & set(endpoint_settings["enabled_events"])
    endpoints: list[str] = tx.setting("endpoints", []) if heard else []
    event = {
        "id": ids.new("evt_1", 22),
        "object": "event",
        "api_version": API_VERSION,
        "created": tx.now,
        "data": data,
        "livemode": False,
        "pending_webhooks": len(endpoints),
        "request": tx.cause,
        "type": kind,
    }
    tx.add(event)
    for endpoint in endpoints:
        tx.db.execute(
            "INSERT INTO deliveries (event, endpoint, state, due) VALUES (?, ?, 'pending', ?)",
            (event["id"], endpoint, tx.time),
        )


def payload(tx: Transaction, id: str) -> bytes | None:  # noqa: A002 # as the API calls it
    """Return the request body of a webhook: the event as recorded; None when it was deleted.

    Its `api_version` is the endpoint's, else the account's; the object inside always has the newest
    version's form (https://docs.stripe.com/webhooks/versioning).
    """
    live = tx.live_of(id)
    if live is None:
        return None
    tx.live = live  # whatever the mode is now
    event = tx.get("event", id)
    version = tx.endpoint_settings["api_version"] or event["api_version"]
    return json.dumps(
        serialization.serialized({**event, "api_version": version}), indent=2
    ).encode()


def retrieve(tx: Transaction, id: str, _given: dict[str, Any]) -> StripeObject:  # noqa: A002
    """Return an event, with its number of pending deliveries."""
    event = tx.require("event", id, "id")
    if event["created"] <= tx.now - KEPT_SECONDS:
        raise no_such("event", id, "id")
    return _with_pending_webhooks(tx, event)


def index(tx: Transaction, given: dict[str, Any]) -> StripeObject:
    """Return the events of 30 days, newest first, filtered by type, time and delivery."""
    if "type" in given and "types" in given:
        raise mutually_exclusive("type", "types")
    conditions: list[tuple[str, Any]] = [("created > ?", tx.now - KEPT_SECONDS)]
    if "types" in given:
        conditions.append(
            (
                "json_extract(body, '$.type') IN (SELECT value FROM json_each(?))",
                json.dumps(given["types"]),
            )
        )
    if "type" in given:
        if any(sign in given["type"].replace("*", "") for sign in "?[]"):
            raise ApiError(f"Invalid type: {given['type']}", param="type")
        conditions.append(("json_extract(body, '$.type') GLOB ?", given["type"]))
    if "delivery_success" in given:
        waiting = "id IN (SELECT event FROM deliveries WHERE state != 'delivered')"
        conditions.append((f"({waiting}) = ?", 0 if given["delivery_success"] else 1))
    page = pagination.page(tx, "event", "/v1/events", given, conditions=conditions)
    return {**page, "data": [_with_pending_webhooks(tx, event) for event in page["data"]]}


def _with_pending_webhooks(tx: Transaction, event: StripeObject) -> StripeObject:
    row = tx.db.execute(
        "SELECT count(*) AS waiting FROM deliveries WHERE event = ? AND state = 'pending'",
        (event["id"],),
    ).fetchone()
    return {**event, "pending_webhooks": row["waiting"]}
