"""Expanding: an id in an answer becomes the object itself (https://docs.stripe.com/api/expanding_objects)."""

from collections.abc import Callable
from typing import Any, Final

from sandbox.stripe import pagination
from sandbox.stripe.errors import Refusal, beyond_sandbox
from sandbox.stripe.store import Books, Thing

DEEPEST: Final = 4  # levels, as documented
LINKS: Final = {
    "checkout.session": {"payment_intent": "payment_intent", "invoice": "invoice"},
    "payment_intent": {"latest_charge": "charge"},
    "charge": {"payment_intent": "payment_intent"},
    "refund": {"charge": "charge", "payment_intent": "payment_intent"},
    "dispute": {"charge": "charge", "payment_intent": "payment_intent"},
}
# Stripe expands these too, and the sandbox has only their ids.
BEYOND: Final = {
    "checkout.session": {"customer"},
    "payment_intent": {"customer", "payment_method"},
    "charge": {"customer", "balance_transaction"},
    "price": {"product"},
    "refund": {"balance_transaction", "failure_balance_transaction", "payment_method"},
}


def line_items(books: Books, session: Thing) -> Thing:
    """Return a session's line items, the first ten of them, as a list object."""
    items = books.hidden(session["id"])["line_items"]
    return pagination.whole(items, f"/v1/checkout/sessions/{session['id']}/line_items", {})


def refunds(books: Books, charge: Thing) -> Thing:
    """Return a charge's refunds, the first ten of them, as a list object."""
    return pagination.page(
        books,
        "refund",
        f"/v1/charges/{charge['id']}/refunds",
        {},
        where={"$.charge": charge["id"]},
    )


# Fields that are there only when asked for.
PARTS: Final[dict[str, dict[str, Callable[[Books, Thing], Thing]]]] = {
    "checkout.session": {"line_items": line_items},
    "charge": {"refunds": refunds},
}


def expand(books: Books, thing: Thing, paths: list[str]) -> Thing:
    """Return an answer with everything expanded that the call asked for.

    Raises Refusal for what cannot be expanded, naming it as it was asked for.
    """
    for path in paths:
        steps = path.split(".")
        if len(steps) > DEEPEST + (steps[0] == "data"):
            raise Refusal(
                f"You cannot expand more than {DEEPEST} levels of a property. Property: {path}",
                param="expand",
            )
        thing = _expanded(books, thing, steps, path)
    return thing


def _expanded(books: Books, thing: Any, steps: list[str], path: str) -> Any:
    if not steps or thing is None:
        return thing
    first, rest = steps[0], steps[1:]
    kind = thing.get("object") if isinstance(thing, dict) else None
    if kind == "list" and first == "data":
        return {**thing, "data": [_expanded(books, one, rest, path) for one in thing["data"]]}
    if first in BEYOND.get(kind or "", set()):
        raise beyond_sandbox("expand")
    if first in PARTS.get(kind or "", {}):
        part = thing.get(first) or PARTS[kind or ""][first](books, thing)
        return {**thing, first: _expanded(books, part, rest, path)}
    if first in LINKS.get(kind or "", {}):
        value = thing[first]
        if isinstance(value, str):
            value = books.get(LINKS[kind or ""][first], value)
        return {**thing, first: _expanded(books, value, rest, path)}
    if rest and kind and isinstance(thing.get(first), dict):  # already whole, and more inside it
        return {**thing, first: _expanded(books, thing[first], rest, path)}
    hint = f" You may want to try expanding 'data.{path}' instead." if kind == "list" else ""
    raise Refusal(f"This property cannot be expanded ({path}).{hint}", param="expand")
