"""Lists as the API gives them: newest first, cut by cursors (https://docs.stripe.com/api/pagination)."""

from collections.abc import Sequence
from typing import Any, Final

from sandbox.stripe.errors import Refusal, no_such
from sandbox.stripe.parameters import Array, Field, Integer, Text
from sandbox.stripe.store import Books, Thing

PAGING: Final[dict[str, Field]] = {
    "limit": Integer(least=1, most=100),
    "starting_after": Text(),
    "ending_before": Text(),
    "expand": Array(Text()),
}
SIGNS: Final = {"eq": "=", "gt": ">", "gte": ">=", "lt": "<", "lte": "<="}


def page(
    books: Books,
    kind: str,
    url: str,
    given: dict[str, Any],
    *,
    where: dict[str, Any] | None = None,
    conditions: Sequence[tuple[str, Any]] = (),
) -> Thing:
    """Return one page of the stored objects of a kind.

    `given` are the call's checked parameters: limit (10 when not given), cursors, created.
    Raises Refusal for a cursor or a filter that names an object which does not exist.
    """
    _check_filters(books, given)
    terms = list(conditions)
    terms += [(f"created {SIGNS[key]} ?", value) for key, value in given.get("created", {}).items()]
    terms += _cursor(books, kind, given)
    limit, backwards = given.get("limit", 10), "ending_before" in given
    found = books.newest(kind, limit + 1, where=where, conditions=tuple(terms), backwards=backwards)
    more = len(found) > limit
    if more:
        found = found[1:] if backwards else found[:limit]
    return listed(found, url, more)


def whole(things: list[Thing], url: str, given: dict[str, Any]) -> Thing:
    """Return one page of things that are parts of an object, in their own order."""
    ids = [thing["id"] for thing in things]
    _no_two_cursors(given)
    limit, first, last = given.get("limit", 10), 0, len(things)
    for name in ("starting_after", "ending_before"):
        if name in given and given[name] not in ids:
            raise no_such("item", given[name], name, status=400)
    if "starting_after" in given:
        first = ids.index(given["starting_after"]) + 1
    if "ending_before" in given:
        last = ids.index(given["ending_before"])
        return listed(things[max(0, last - limit) : last], url, last > limit)
    return listed(things[first : first + limit], url, first + limit < last)


def listed(data: list[Thing], url: str, more: bool) -> Thing:
    """Return a list object."""
    return {"object": "list", "data": data, "has_more": more, "url": url}


def _cursor(books: Books, kind: str, given: dict[str, Any]) -> list[tuple[str, Any]]:
    _no_two_cursors(given)
    for name, sign in (("starting_after", "<"), ("ending_before", ">")):
        if name in given:
            number = books.number(kind, given[name])
            if number is None:
                raise no_such(kind, given[name], name, status=400, live=books.live_of(given[name]))
            return [(f"number {sign} ?", number)]
    return []


def _check_filters(books: Books, given: dict[str, Any]) -> None:
    """Refuse a list that is filtered by an object which does not exist.

    Stripe documents it for the charge of refunds (https://docs.stripe.com/api/refunds/list). For
    the other filters, and for the status 400, it is believed and was not seen.
    """
    for name in ("charge", "payment_intent", "coupon"):
        if name in given:
            books.require(name, given[name], name, status=400)
    if "customer" in given and not books.newest(
        "checkout.session", 1, where={"$.customer": given["customer"]}
    ):
        raise no_such("customer", given["customer"], "customer", status=400)


def _no_two_cursors(given: dict[str, Any]) -> None:
    if "starting_after" in given and "ending_before" in given:
        raise Refusal(
            "Received both starting_after and ending_before parameters. Please pass in only one."
        )
