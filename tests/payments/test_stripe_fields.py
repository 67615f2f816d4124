"""Fields that Stripe leaves out or sends as null: the sandbox does so, and the gateway reads them.

The table is tests/data/stripe-fields.json. It does not cover nulls inside an object; the classes
of the SDK do.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, Union, get_args, get_origin

import pytest
import stripe
from stripe.checkout import Session

from crossroads.payments import Gateway, PaymentsUnavailable, PaymentsUnclear
from tests.support.sandbox_server import KEY, SandboxServer, fetch, session_params, start
from tests.support.stripe_fields import ABSENT, ALWAYS, KINDS, NULL, TABLE, faults, places

SINCE = datetime(2000, 1, 1, tzinfo=UTC)
CLASSES: dict[str, type] = {
    "checkout.session": Session,
    "payment_intent": stripe.PaymentIntent,
    "charge": stripe.Charge,
    "refund": stripe.Refund,
    "dispute": stripe.Dispute,
    "invoice": stripe.Invoice,
    "line_item": stripe.LineItem,
}
EXPANDED = "expand[]=data.payment_intent.latest_charge.refunds&expand[]=data.line_items"


def ask(sandbox: SandboxServer, path: str) -> Any:
    """Return the parsed JSON of a response."""
    page = fetch(f"{sandbox.url}/v1/{path}", headers={"Authorization": f"Bearer {KEY}"})
    assert page.status == 200, page.text
    return json.loads(page.text)


def listed(sandbox: SandboxServer, path: str, query: str = "") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = ask(sandbox, f"{path}?limit=100&{query}")["data"]
    return found


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxServer]:
    """A sandbox with an object of every kind in every state that it can produce."""
    server = start(tmp_path_factory.mktemp("sandbox"), "http://127.0.0.1:9/hook")
    server.control("pause")
    sdk = server.client()

    def made(**changes: Any) -> str:
        return sdk.v1.checkout.sessions.create(session_params(**changes)).url or ""

    made()
    whole = {
        "allow_promotion_codes": True,
        "automatic_tax": {"enabled": True},
        "tax_id_collection": {"enabled": True},
        "invoice_creation": {"enabled": True},
        "consent_collection": {"terms_of_service": "required"},
        "after_expiration": {"recovery": {"enabled": True}},
        "excluded_payment_method_types": ["klarna"],
        "customer_creation": "always",
        "metadata": {"order": "order-token"},
    }
    server.pay(made(**whole), tax_id="DE123456789", terms="1")
    discount = listed(server, "promotion_codes", "code=FREE")[0]["id"]
    server.pay(made(discounts=[{"promotion_code": discount}]))
    for number in ("4000000000000002", "4000002500003155", "4000000000000259"):
        server.pay(made(), number)
    server.pay(made(), iban="AT321904300235473204")
    server.pay(made())
    charges = [one for one in listed(server, "charges") if one["paid"]]
    for charge in charges[:2]:
        sdk.v1.refunds.create({"charge": charge["id"], "amount": 100})
    server.control("fail_refund", id=listed(server, "refunds")[0]["id"])
    server.control("dispute", id=charges[-1]["id"])
    left = made(**whole).rpartition("/")[2]
    server.control("expire", id=left)
    server.pay(fetch(f"{server.url}/pay/{left}/recover").location, terms="1")
    yield server
    server.stop()


@pytest.fixture(scope="module")
def made(sandbox: SandboxServer) -> list[Any]:
    """All objects of the sandbox, as parsed JSON."""
    sessions = listed(sandbox, "checkout/sessions", EXPANDED)
    invoices = [one["invoice"] for one in sessions if one["invoice"]]
    codes = listed(sandbox, "promotion_codes")
    return [
        sessions,
        *(listed(sandbox, path) for path in ("payment_intents", "charges", "refunds", "disputes")),
        listed(sandbox, "events"),
        ask(sandbox, "webhook_endpoints"),
        ask(sandbox, "balance"),
        ask(sandbox, "account"),
        codes,
        *(ask(sandbox, f"coupons/{one['promotion']['coupon']}") for one in codes),
        *(ask(sandbox, f"invoices/{one}") for one in invoices),
    ]


def test_sandbox_objects_have_the_fields_that_stripe_sends(made: list[Any]) -> None:
    assert sorted(set(faults(made))) == []
    seen = {place for place, _ in places(made)}
    assert set(KINDS.values()) - seen == set()
    assert {one["status"] for one in made[0]} == {"open", "complete", "expired"}
    assert "no_payment_required" in {one["payment_status"] for one in made[0]}
    assert "failed" in {one["status"] for one in made[3]}
    copies = {one["recovered_from"]: one for one in made[0] if one["recovered_from"]}
    assert [one["status"] for one in copies.values()] == ["complete"]
    assert copies.keys() <= {one["id"] for one in made[0] if one["status"] == "expired"}


class Wire:
    """A server with the same answer for every request."""

    def __init__(self) -> None:
        self.answer: Any = None
        wire = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True  # the body would wait 40 ms for an acknowledgment

            def do_GET(self) -> None:
                body = json.dumps(wire.answer).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_args: Any) -> None:
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.thread = Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()
        self.gateway = Gateway(KEY, base=f"http://127.0.0.1:{self.server.server_port}")

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture(scope="module")
def wire() -> Iterator[Wire]:
    wire = Wire()
    yield wire
    wire.close()


@dataclass(frozen=True)
class Kind:
    """The place of a kind in `made`, and the gateway call that reads a page of it."""

    at: int
    read: Callable[[Gateway], list[Any]]
    alone: bool = False  # Stripe has no list of this kind


READ = {
    "checkout.session": Kind(0, lambda gateway: list(gateway.checkouts(SINCE))),
    "charge": Kind(2, lambda gateway: list(gateway.charges("pi_1"))),
    "refund": Kind(3, lambda gateway: list(gateway.refunds("pi_1"))),
    "dispute": Kind(4, lambda gateway: list(gateway.disputes("pi_1"))),
    "event": Kind(5, lambda gateway: list(gateway.events(SINCE))),
    "webhook_endpoint": Kind(6, lambda gateway: list(gateway.endpoints())),
    "balance": Kind(7, lambda gateway: [gateway.account()], alone=True),
    "account": Kind(8, lambda gateway: [gateway.account_id()], alone=True),
    "invoice": Kind(-1, lambda gateway: [gateway.retrieve_invoice("in_1")], alone=True),
}


def examples(made: list[Any], kind: str) -> list[Any]:
    """Return objects of a kind that together have all its fields, the largest first."""
    found = made[READ[kind].at]
    found = found["data"] if isinstance(found, dict) and found["object"] == "list" else found
    found = found if isinstance(found, list) else [found]
    chosen, seen = [], set[str]()
    for one in sorted(found, key=lambda one: -len(json.dumps(one))):
        names = {name for rule in (ALWAYS, NULL, ABSENT) for name in unset_places(one, rule)}
        if not names <= seen:
            chosen.append(one)
            seen |= names
    return chosen


def unset_places(thing: Any, rule: str) -> list[str]:
    """Name the fields of an object that a rule unsets."""
    return sorted({f"{place}.{name}" for place, _, name in unsettable(thing, rule)})


def unsettable(thing: Any, rule: str) -> Iterator[tuple[str, dict[str, Any], str]]:
    """Yield place, object and field of everything that a rule unsets, at any depth."""
    for place, one in places(thing):
        for name in TABLE.get(place, {}).get(rule, ()):
            if name in one:
                yield place, one, name
    if rule == NULL:
        for where, one, kind in declared(thing):
            for name in optional(kind) & one.keys():
                yield where, one, name


def declared(thing: Any) -> Iterator[tuple[str, dict[str, Any], type]]:
    """Yield the inner objects, whose null fields are declared only by the SDK."""
    for place, one in places(thing):
        kind = CLASSES.get(place)
        if kind is not None:
            yield from inside(place, one, kind)


def inside(place: str, thing: dict[str, Any], kind: type) -> Iterator[tuple[str, Any, type]]:
    for name, inner in getattr(kind, "_inner_class_types", {}).items():
        value = thing.get(name)
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, dict):
                yield f"{place}/{name}", one, inner
                yield from inside(f"{place}/{name}", one, inner)


@cache
def optional(kind: type) -> frozenset[str]:
    """Return the fields that the SDK declares as possibly None."""
    return frozenset(
        name
        for name, annotation in vars(kind).get("__annotations__", {}).items()
        if get_origin(annotation) is Union and type(None) in get_args(annotation)
    )


def without(thing: Any, rule: str, name: str | None) -> Any:
    """Return a copy without all fields of a rule, or without the one of this name."""
    bare = deepcopy(thing)
    for place, one, field in list(unsettable(bare, rule)):
        if name not in (None, f"{place}.{field}"):
            continue
        if rule == NULL:
            one[field] = None
        else:
            one.pop(field, None)
    return bare


def served(wire: Wire, kind: str, things: Sequence[Any]) -> int:
    """Serve these objects to the gateway, and return how many it read."""
    how = READ[kind]
    read = 0
    for batch in ([one] for one in things) if how.alone else [things]:
        page = {"object": "list", "data": list(batch), "has_more": False, "url": "/v1/things"}
        wire.answer = batch[0] if how.alone else page
        found = how.read(wire.gateway)
        assert all(found)
        read += len(found)
    return read


def read_all(wire: Wire, kind: str, bare: dict[str, Any]) -> None:
    """Read all objects in one call; if that fails, name the first one that cannot be read."""
    try:
        assert served(wire, kind, list(bare.values())) == len(bare)
    except PaymentsUnavailable as error:
        for what, thing in bare.items():
            try:
                served(wire, kind, [thing])
            except PaymentsUnavailable as one:
                raise AssertionError(f"not read without {what}: {one}") from None
        raise AssertionError(str(error)) from None


@pytest.mark.parametrize("kind", READ)
def test_gateway_reads_objects_with_missing_and_null_fields(
    made: list[Any], wire: Wire, kind: str
) -> None:
    bare: dict[str, Any] = {}
    for number, thing in enumerate(examples(made, kind)):
        for rule in (ABSENT, NULL):
            for name in unset_places(thing, rule):
                what = f"{name}, {rule}"
                bare[what] = bare.get(what) or without(thing, rule, name)
            bare[f"all in {number}, {rule}"] = without(thing, rule, None)
        bare[f"all in {number}"] = without(without(thing, NULL, None), ABSENT, None)
    read_all(wire, kind, bare)


def test_null_fields_of_inner_objects_are_covered(made: list[Any]) -> None:
    sessions, disputes = examples(made, "checkout.session"), examples(made, "dispute")
    assert {
        "checkout.session/customer_details.tax_ids",
        "checkout.session/customer_details/tax_ids.value",
        "checkout.session/total_details.amount_shipping",
        "checkout.session/after_expiration.recovery",
        "checkout.session/after_expiration/recovery.url",
        "checkout.session/consent.terms_of_service",
    } <= {name for one in sessions for name in unset_places(one, NULL)}
    assert "dispute/evidence_details.due_by" in unset_places(disputes[0], NULL)


@pytest.mark.parametrize("kind", READ)
def test_error_names_a_missing_required_field(made: list[Any], wire: Wire, kind: str) -> None:
    """Without a field that Stripe always sends, reading works or the error names the field."""
    needed = set()
    thing = examples(made, kind)[0]
    for name in unset_places(thing, ALWAYS):
        try:
            served(wire, kind, [without(thing, ALWAYS, name)])
        except PaymentsUnclear as error:
            field = name.rpartition(".")[2]
            assert str(error).startswith("answer not understood: "), name
            assert str(error).endswith(f".{field}"), (name, str(error))
            needed.add(name)
    assert f"{kind}.object" in needed
