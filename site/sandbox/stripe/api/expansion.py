"""Expansion of ids to objects (https://docs.stripe.com/api/expanding_objects)."""

from collections.abc import Callable
from typing import Any, Final

from sandbox.stripe import pagination
from sandbox.stripe.errors import ApiError, not_in_sandbox
from sandbox.stripe.store import StripeObject, Transaction

MAX_DEPTH: Final = 4  # levels
LINKS: Final = {
    "checkout.session": {"payment_intent": "payment_intent", "invoice": "invoice"},
    "payment_intent": {"latest_charge": "charge"},
    "charge": {"payment_intent": "payment_intent"},
    "refund": {"charge": "charge", "payment_intent": "payment_intent"},
    "dispute": {"charge": "charge", "payment_intent": "payment_intent"},
}
# Stripe expands these, too; the sandbox has only their ids.
UNSUPPORTED: Final = {
    "checkout.session": {"customer"},
    "payment_intent": {"customer", "payment_method"},
    "charge": {"customer", "balance_transaction"},
    "price": {"product"},
    "refund": {"balance_transaction", "failure_balance_transaction", "payment_method"},
}


def line_items(tx: Transaction, session: StripeObject) -> StripeObject:
    """Return the first ten line items of a session as a list object."""
    items = tx.hidden(session["id"])["line_items"]
    return pagination.page_of_parts(items, f"/v1/checkout/sessions/{session['id']}/line_items", {})


def refunds(tx: Transaction, charge: StripeObject) -> StripeObject:
    """Return the first ten refunds of a charge as a list object."""
    return pagination.page(
        tx,
        "refund",
        f"/v1/charges/{charge['id']}/refunds",
        {},
        where={"$.charge": charge["id"]},
    )


# Fields that are only sent when expanded.
PARTS: Final[dict[str, dict[str, Callable[[Transaction, StripeObject], StripeObject]]]] = {
    "checkout.session": {"line_items": line_items},
    "charge": {"refunds": refunds},
}


def expand(tx: Transaction, obj: StripeObject, paths: list[str]) -> StripeObject:
    """Return an answer with the requested paths expanded.

    Raises ApiError for a path that cannot be expanded.
    """
    for path in paths:
        steps = path.split(".")
        if len(steps) > MAX_DEPTH + (steps[0] == "data"):
            raise ApiError(
                f"You cannot expand more than {MAX_DEPTH} levels of a property. Property: {path}",
                param="expand",
            )
        obj = _expanded(tx, obj, steps, path)
    return obj


def _expanded(tx: Transaction, obj: Any, steps: list[str], path: str) -> Any:
    if not steps or obj is None:
        return obj
    first, rest = steps[0], steps[1:]
    kind = obj.get("object") if isinstance(obj, dict) else None
    if kind == "list" and first == "data":
        return {**obj, "data": [_expanded(tx, one, rest, path) for one in obj["data"]]}
    if first in UNSUPPORTED.get(kind or "", set()):
        raise not_in_sandbox("expand")
    if first in PARTS.get(kind or "", {}):
        part = obj.get(first) or PARTS[kind or ""][first](tx, obj)
        return {**obj, first: _expanded(tx, part, rest, path)}
    if first in LINKS.get(kind or "", {}):
        value = obj[first]
        if isinstance(value, str):
            value = tx.get(LINKS[kind or ""][first], value)
        return {**obj, first: _expanded(tx, value, rest, path)}
    if (
        rest and kind and isinstance(obj.get(first), dict)
    ):  # already an object, to be expanded further
        return {**obj, first: _expanded(tx, obj[first], rest, path)}
    hint = f" You may want to try expanding 'data.{path}' instead." if kind == "list" else ""
    raise ApiError(f"This property cannot be expanded ({path}).{hint}", param="expand")
