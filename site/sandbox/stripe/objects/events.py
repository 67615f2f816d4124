"""Events: what happened, as it was at that moment (https://docs.stripe.com/api/events)."""

import json
from typing import Any, Final

from sandbox.stripe import ids, pagination, serialization
from sandbox.stripe.errors import Refusal, exclusive, no_such
from sandbox.stripe.parameters import Array, Flag, Interval, Shape, Text
from sandbox.stripe.store import Books, Thing

API_VERSION: Final = "2026-10-28.endive"  # the one the SDK sends; a test compares them
KEPT_SECONDS: Final = 30 * 24 * 3600  # https://docs.stripe.com/api/events
LIST: Final = Shape(
    {
        **pagination.PAGING,
        "created": Interval(),
        "delivery_success": Flag(),
        "type": Text(),
        "types": Array(Text(), most=20),
    }
)


def record(books: Books, kind: str, thing: Thing, before: Thing | None = None) -> None:
    """Store that something happened to an object, and a delivery for each endpoint that hears it.

    `before` holds the former values of what an update changed. Both happen in the caller's
    transaction, so that no event is lost and none tells what did not happen.
    """
    data: Thing = {"object": thing}
    if before is not None:
        data["previous_attributes"] = before
    hears = books.hears
    heard = hears["enabled"] and {"*", kind} & set(hears["enabled_events"])
    endpoints: list[str] = books.setting("endpoints", []) if heard else []
    event = {
        "id": ids.new("evt_1", 22),
        "object": "event",
        "api_version": API_VERSION,
        "created": books.now,
        "data": data,
        "livemode": False,
        "pending_webhooks": len(endpoints),
        "request": books.cause,
        "type": kind,
    }
    books.add(event)
    for endpoint in endpoints:
        books.db.execute(
            "INSERT INTO deliveries (event, endpoint, state, due) VALUES (?, ?, 'pending', ?)",
            (event["id"], endpoint, books.time),
        )


def payload(books: Books, id: str) -> bytes | None:  # noqa: A002 # as the API calls it
    """Return the body that endpoints get: the event as it was recorded; None when it is gone.

    It names the API version of the endpoint, else the account's own; what it holds is written in
    the newest one all the same (https://docs.stripe.com/webhooks/versioning).
    """
    live = books.live_of(id)
    if live is None:
        return None
    books.live = live  # it is on its way, whichever mode is played meanwhile
    event = books.get("event", id)
    version = books.hears["api_version"] or event["api_version"]
    return json.dumps(serialization.sent({**event, "api_version": version}), indent=2).encode()


def retrieve(books: Books, id: str, _given: dict[str, Any]) -> Thing:  # noqa: A002
    """Return an event, with the number of endpoints that have yet to take it."""
    event = books.require("event", id, "id")
    if event["created"] <= books.now - KEPT_SECONDS:
        raise no_such("event", id, "id")
    return _live(books, event)


def index(books: Books, given: dict[str, Any]) -> Thing:
    """Return the events of 30 days, newest first, by type, time and whether all took them."""
    if "type" in given and "types" in given:
        raise exclusive("type", "types")
    conditions: list[tuple[str, Any]] = [("created > ?", books.now - KEPT_SECONDS)]
    if "types" in given:
        conditions.append(
            (
                "json_extract(body, '$.type') IN (SELECT value FROM json_each(?))",
                json.dumps(given["types"]),
            )
        )
    if "type" in given:
        if any(sign in given["type"].replace("*", "") for sign in "?[]"):
            raise Refusal(f"Invalid type: {given['type']}", param="type")
        conditions.append(("json_extract(body, '$.type') GLOB ?", given["type"]))
    if "delivery_success" in given:
        waiting = "id IN (SELECT event FROM deliveries WHERE state != 'delivered')"
        conditions.append((f"({waiting}) = ?", 0 if given["delivery_success"] else 1))
    page = pagination.page(books, "event", "/v1/events", given, conditions=conditions)
    return {**page, "data": [_live(books, event) for event in page["data"]]}


def _live(books: Books, event: Thing) -> Thing:
    row = books.db.execute(
        "SELECT count(*) AS waiting FROM deliveries WHERE event = ? AND state = 'pending'",
        (event["id"],),
    ).fetchone()
    return {**event, "pending_webhooks": row["waiting"]}
