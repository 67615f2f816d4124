"""Webhook events, verified, stored and answered, compared with durable inserts of the same row."""

import hashlib
import hmac
import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from secrets import token_hex

from tests.benchmarks import commits, load
from tests.benchmarks.bench import Bench
from tests.benchmarks.commits import Rows
from tests.benchmarks.figures import Row, interleave
from tests.benchmarks.sites import Site, lean, site
from tests.support.production import PRODUCTION

SCRIPT = Path(__file__).with_name("webhook.lua")
ADDRESS = "/webhooks/stripe"
MOST = 10_000  # prepared events per second: more than any server can answer


def rows(bench: Bench) -> Iterator[Row]:
    bench = bench.in_seconds()
    with ExitStack() as stack:
        ours = stack.enter_context(site(bench.folder / "site"))
        send(bench, ours, 1)
        raw = bench.folder / "raw.db"
        commits.copy(ours.database, raw)
        make = event_rows(ours.database)
        least = stack.enter_context(lean(bench.folder, ours))
        figures, inserts, leans = interleave(
            bench.rounds,
            lambda: send(bench, ours, bench.seconds),
            lambda: commits.rate(raw, make, bench.seconds),
            lambda: send(bench, least, bench.seconds),
        )
    yield Row(
        what="webhook: verify, store, answer", figures=figures, unit="/s",
        against="a durable insert of the same row", baselines=inserts, least=0.30,
    )  # fmt: skip
    yield Row(
        what="the least that Flask and SQLAlchemy take", figures=leans, unit="/s",
        against="a durable insert of the same row", baselines=inserts,
    )  # fmt: skip


def send(bench: Bench, site: Site, seconds: int) -> float:
    """Send new events for some seconds and return the rate of those answered with 200."""
    file = bench.folder / "events.txt"
    file.write_text("".join(map(signed, range(seconds * MOST))), "ascii")
    before = commits.count(site.database, "stripe_event")
    found = load.run(site.url + ADDRESS, seconds=seconds, script=SCRIPT, arguments=(str(file),))
    stored = commits.count(site.database, "stripe_event") - before
    if found.refused or stored < found.requests:
        raise RuntimeError(
            f"of {found.requests} events {found.refused} were refused and {stored} stored"
        )
    return found.rate


def signed(_number: int) -> str:
    """Return an event with its signature, as Stripe sends it.

    https://docs.stripe.com/webhooks#verify-manually
    """
    name, at = token_hex(12), int(time.time())
    session = {
        "id": f"cs_live_{name}", "object": "checkout.session", "amount_subtotal": 149500,
        "amount_total": 149500, "client_reference_id": token_hex(16), "created": at,
        "currency": "usd", "customer_details": {"email": f"{name}@example.com", "name": "Maria"},
        "livemode": False, "metadata": {}, "mode": "payment", "payment_intent": f"pi_{name}",
        "payment_method_types": ["card", "link"], "payment_status": "paid", "status": "complete",
        "success_url": f"https://courses.internal/orders/{token_hex(16)}",
        "total_details": {"amount_discount": 0, "amount_shipping": 0, "amount_tax": 0},
    }  # fmt: skip
    body = json.dumps(
        {
            "id": f"evt_{name}",
            "object": "event",
            "api_version": "2026-10-28.endive",
            "created": at,
            "data": {"object": session},
            "livemode": False,
            "pending_webhooks": 1,
            "request": {"id": None, "idempotency_key": None},
            "type": "checkout.session.completed",
        }
    )
    key = PRODUCTION["stripe_webhook_secret"].encode()
    signature = hmac.new(key, f"{at}.{body}".encode(), hashlib.sha256).hexdigest()
    return f"t={at},v1={signature}\t{body}\n"


def event_rows(database: Path) -> Callable[[], Rows]:
    """Return a function that makes the row of another event, like the one of the site."""
    last = commits.like(database, "stripe_event")["stripe_event"]

    def make() -> Rows:
        name = token_hex(12)
        return [("stripe_event", {**last, "id": f"evt_{name}", "object_id": f"cs_live_{name}"})]

    return make
