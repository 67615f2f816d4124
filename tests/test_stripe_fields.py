"""Fields that Stripe leaves out or sends as null: the sandbox sends the same, the gateway reads it.

The table is tests/data/stripe-fields.json.
"""

import json
from collections.abc import Callable, Iterator
from copy import deepcopy
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest

from crossroads.payments import Gateway, PaymentsUnclear
from tests.sandbox_server import KEY, SandboxServer, fetch, session_params, start
from tests.stripe_fields import ABSENT, ALWAYS, KINDS, NULL, TABLE, faults, places

SINCE = datetime(2000, 1, 1, tzinfo=UTC)
EXPANDED = "expand[]=data.payment_intent.latest_charge.refunds&expand[]=data.line_items"


def ask(sandbox: SandboxServer, path: str) -> Any:
    """Return the JSON of an answer as it came over the wire."""
    page = fetch(f"{sandbox.url}/v1/{path}", headers={"Authorization": f"Bearer {KEY}"})
    assert page.status == 200, page.text
    return json.loads(page.text)


def listed(sandbox: SandboxServer, path: str, query: str = "") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = ask(sandbox, f"{path}?limit=100&{query}")["data"]
    return found


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxServer]:
    """A sandbox with an object of every kind in every state that it can make."""
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
    server.control("expire", id=made(**whole).rpartition("/")[2])
    yield server
    server.stop()


@pytest.fixture(scope="module")
def made(sandbox: SandboxServer) -> list[Any]:
    """All that the sandbox has made, as it came over the wire."""
    sessions = listed(sandbox, "checkout/sessions", EXPANDED)
    invoices = [one["invoice"] for one in sessions if one["invoice"]]
    codes = listed(sandbox, "promotion_codes")
    return [
        sessions,
        *(listed(sandbox, path) for path in ("payment_intents", "charges", "refunds", "disputes")),
        listed(sandbox, "events"),
        ask(sandbox, "webhook_endpoints"),
        ask(sandbox, "balance"),
        codes,
        *(ask(sandbox, f"coupons/{one['promotion']['coupon']}") for one in codes),
        *(ask(sandbox, f"invoices/{one}") for one in invoices),
    ]


def test_all_the_sandbox_makes_has_the_fields_that_stripe_sends(made: list[Any]) -> None:
    assert sorted(set(faults(made))) == []
    seen = {place for place, _ in places(made)}
    assert set(KINDS.values()) - seen == {"account"}  # of which the sandbox makes none
    assert {one["status"] for one in made[0]} == {"open", "complete", "expired"}
    assert "no_payment_required" in {one["payment_status"] for one in made[0]}
    assert "failed" in {one["status"] for one in made[3]}


class Wire:
    """A server that gives every question the same answer."""

    def __init__(self) -> None:
        self.answer: Any = None
        wire = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

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


READ: dict[str, tuple[int, str, Callable[[Gateway], object]]] = {
    "checkout.session": (0, "", lambda gateway: gateway.retrieve("cs_1")),
    "charge": (2, "", lambda gateway: gateway.retrieve_charge("ch_1")),
    "refund": (3, "", lambda gateway: gateway.retrieve_refund("re_1")),
    "dispute": (4, "", lambda gateway: gateway.retrieve_dispute("du_1")),
    "event": (5, "events", lambda gateway: list(gateway.events(SINCE))),
    "webhook_endpoint": (6, "webhook_endpoints", lambda gateway: list(gateway.endpoints())),
    "balance": (7, "", lambda gateway: gateway.account()),
    "invoice": (-1, "", lambda gateway: gateway.retrieve_invoice("in_1")),
}


def examples(made: list[Any], kind: str) -> list[Any]:
    """Return the two objects of a kind that say most and least."""
    found = made[READ[kind][0]]
    found = found["data"] if isinstance(found, dict) and found["object"] == "list" else found
    found = found if isinstance(found, list) else [found]
    by_size = sorted(found, key=lambda one: len(json.dumps(one)))
    return [by_size[-1], by_size[0]]


def without(thing: Any, rule: str, name: str | None) -> Any:
    """Return a copy in which all fields of a rule, or the one of a name, are unset."""
    bare = deepcopy(thing)
    for place, one in places(bare):
        for field in TABLE.get(place, {}).get(rule, ()):
            if field not in one or name not in (None, f"{place}.{field}"):
                continue
            if rule == NULL:
                one[field] = None
            else:
                del one[field]
    return bare


def named(thing: Any, rule: str) -> list[str]:
    return sorted(
        {
            f"{place}.{field}"
            for place, one in places(thing)
            for field in TABLE.get(place, {}).get(rule, ())
            if field in one
        }
    )


def served(wire: Wire, kind: str, thing: Any) -> object:
    """Have the gateway read an object that a server sends."""
    of_list = READ[kind][1]
    page = {"object": "list", "data": [thing], "has_more": False, "url": f"/v1/{of_list}"}
    wire.answer = page if of_list else thing
    return READ[kind][2](wire.gateway)


@pytest.mark.parametrize("kind", READ)
def test_what_stripe_leaves_out_or_sends_as_null_is_read(
    made: list[Any], wire: Wire, kind: str
) -> None:
    for thing in examples(made, kind):
        for rule in (ABSENT, NULL):
            for name in (*named(thing, rule), None):
                assert served(wire, kind, without(thing, rule, name)), name
        served(wire, kind, without(without(thing, NULL, None), ABSENT, None))


@pytest.mark.parametrize("kind", READ)
def test_what_is_not_understood_is_named(made: list[Any], wire: Wire, kind: str) -> None:
    """Take away what Stripe always sends: it is not needed, or the error says what is missing."""
    needed = set()
    thing = examples(made, kind)[0]
    for name in named(thing, ALWAYS):
        try:
            served(wire, kind, without(thing, ALWAYS, name))
        except PaymentsUnclear as error:
            field = name.rpartition(".")[2]
            assert str(error).startswith("answer not understood: "), name
            assert str(error).endswith(f".{field}"), (name, str(error))
            needed.add(name)
    assert f"{kind}.object" in needed
