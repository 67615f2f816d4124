"""List objects: newest first, paginated by cursors (https://docs.stripe.com/api/pagination)."""

from collections.abc import Sequence
from typing import Any, Final

from sandbox.stripe.errors import ApiError, no_such
from sandbox.stripe.parameters import Array, Field, Integer, Text
from sandbox.stripe.store import StripeObject, Transaction

PAGING: Final[dict[str, Field]] = {
    "limit": Integer(minimum=1, maximum=100),
    "starting_after": Text(),
    "ending_before": Text(),
    "expand": Array(Text()),
}
SIGNS: Final = {"eq": "=", "gt": ">", "gte": ">=", "lt": "<", "lte": "<="}


def page(
    tx: Transaction,
    kind: str,
    url: str,
    given: dict[str, Any],
    *,
    where: dict[str, Any] | None = None,
    conditions: Sequence[tuple[str, Any]] = (),
) -> StripeObject:
    """Return one page of the stored objects of a kind.

    `given` are the call's parsed parameters: limit (default 10), cursors, created.
    Raises ApiError for a cursor or a filter by an object that does not exist.
    """
    _check_filters(tx, given)
    terms = list(conditions)
    terms += [(f"created {SIGNS[key]} ?", value) for key, value in given.get("created", {}).items()]
    terms += _cursor(tx, kind, given)
    limit, backwards = given.get("limit", 10), "ending_before" in given
    found = tx.newest(kind, limit + 1, where=where, conditions=tuple(terms), backwards=backwards)
    more = len(found) > limit
    if more:
        found = found[1:] if backwards else found[:limit]
    return list_object(found, url, more)


def page_of_parts(objects: list[StripeObject], url: str, given: dict[str, Any]) -> StripeObject:
    """Return one page of the parts of an object, in their own order."""
    ids = [obj["id"] for obj in objects]
    _no_two_cursors(given)
    limit, first, last = given.get("limit", 10), 0, len(objects)
    for name in ("starting_after", "ending_before"):
        if name in given and given[name] not in ids:
            raise no_such("item", given[name], name, status=400)
    if "starting_after" in given:
        first = ids.index(given["starting_after"]) + 1
    if "ending_before" in given:
        last = ids.index(given["ending_before"])
        return list_object(objects[max(0, last - limit) : last], url, last > limit)
    return list_object(objects[first : first + limit], url, first + limit < last)


def list_object(data: list[StripeObject], url: str, more: bool) -> StripeObject:
    """Return a list object."""
    return {"object": "list", "data": data, "has_more": more, "url": url}


def _cursor(tx: Transaction, kind: str, given: dict[str, Any]) -> list[tuple[str, Any]]:
    _no_two_cursors(given)
    for name, sign in (("starting_after", "<"), ("ending_before", ">")):
        if name in given:
            number = tx.position(kind, given[name])
            if number is None:
                raise no_such(kind, given[name], name, status=400, live=tx.live_of(given[name]))
            return [(f"number {sign} ?", number)]
    return []


def _check_filters(tx: Transaction, given: dict[str, Any]) -> None:
    """Raise ApiError for a filter by an object that does not exist.

    Stripe documents it for the charge of refunds (https://docs.stripe.com/api/refunds/list). For
    the other filters, and for the status 400, this is believed and was not seen.
    """
    for name in ("charge", "payment_intent", "coupon"):
        if name in given:
            tx.require(name, given[name], name, status=400)
    if "customer" in given and not tx.newest(
        "checkout.session", 1, where={"$.customer": given["customer"]}
    ):
        raise no_such("customer", given["customer"], "customer", status=400)


def _no_two_cursors(given: dict[str, Any]) -> None:
    if "starting_after" in given and "ending_before" in given:
        raise ApiError(
            "Received both starting_after and ending_before parameters. Please pass in only one."
        )
