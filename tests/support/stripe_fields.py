"""Rules about the fields that Stripe always sends, sends as null, or leaves out.

The table's source: the response types of Stripe's SDK for Node, version 23.1.0.
"""

import json
from collections.abc import Iterator
from typing import Any, Final

from tests.support.paths import ROOT

TABLE: Final[dict[str, dict[str, list[str]]]] = json.loads(
    (ROOT / "tests/data/stripe-fields.json").read_text()
)["objects"]
ALWAYS, NULL, ABSENT = "always", "null when unset", "absent when unset"
KINDS: Final = {kind: kind for kind in TABLE if "/" not in kind} | {"item": "line_item"}
del KINDS["line_item"]  # the items of an invoice have another shape, which is not in the table


def places(thing: Any, place: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each object at any depth, with its name in the table."""
    if isinstance(thing, list):
        for one in thing:
            yield from places(one, place)
    elif isinstance(thing, dict):
        if "object" in thing and isinstance(thing["object"], str):
            place = KINDS.get(thing["object"], "")
        yield place, thing
        for name, value in thing.items():
            camel = "".join(part.capitalize() for part in name.split("_"))
            if isinstance(value, list):
                camel = camel.removesuffix("s")
            yield from places(value, f"{place}/{camel}")


def faults(thing: Any) -> list[str]:
    """Name missing fields, nulls that Stripe leaves out, and fields that Stripe never sends.

    At any depth.
    """
    found = []
    for place, one in places(thing):
        rules = TABLE.get(place, {})
        found += [f"{place}.{name} is missing" for name in rules.get(NULL, ()) if name not in one]
        found += [f"{place}.{name} is unset" for name in rules.get(ALWAYS, ()) if _unset(one, name)]
        found += [
            f"{place}.{name} is null" for name in rules.get(ABSENT, ()) if one.get(name, 0) is None
        ]
        if ALWAYS in rules:
            known = {name for rule in rules.values() for name in rule}
            found += [f"{place}.{name} is unknown" for name in one.keys() - known]
    return found


def _unset(thing: dict[str, Any], name: str) -> bool:
    return thing.get(name) is None
