"""The doctor on the Stripe side: each fault is seeded in the sandbox, and named."""

import json
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import stripe
from flask import Flask
from sqlalchemy import func, select

from crossroads import current
from crossroads.fulfillment.webhook_events import FOLLOWED
from crossroads.ops.doctor import trial
from crossroads.ops.doctor.finding import Finding
from crossroads.payments import Gateway
from crossroads.worker.event_consumer import Settler
from models import (
    Enrollment,
    LostCheckout,
    Message,
    Order,
    OrderEvent,
    RefusedEvent,
    StripeEvent,
    db,
)
from tests.support.doctor import COURSE, LIVE_SITE, RESTRICTED, SECRET, Verdict, verdict
from tests.support.sandbox_server import KEY, SandboxServer, session_params
from tests.support.webhooks import event, send

BASE = "http://127.0.0.1:9"
ADDRESS = f"{BASE}/webhooks/stripe"
OTHER = "whsec_" + "geheim"

Look = Callable[..., Verdict]


@pytest.fixture
def app(make_app: Any, sqlite_url: str, sandbox: SandboxServer) -> Flask:
    """The site with a restricted key; Stripe's endpoint is set up rightly."""
    return shop(make_app, sqlite_url, sandbox)


def shop(make_app: Any, database_url: str, sandbox: SandboxServer) -> Flask:
    sandbox.control("pause")
    sandbox.control("deliver_to", endpoints=[ADDRESS], enabled_events=sorted(FOLLOWED))
    built: Flask = make_app(
        database_url=database_url,
        base_url=BASE,
        stripe_api_base=sandbox.url,
        stripe_secret_key=RESTRICTED,
        stripe_webhook_secret=SECRET,
    )
    return built


@pytest.fixture
def look(app: Flask, sandbox: SandboxServer) -> Look:
    """Has the doctor look once a fault is seeded."""
    return partial(examined, app, sandbox)


def examined(app: Flask, sandbox: SandboxServer, **fault: Any) -> Verdict:
    """Seed a fault, let the doctor look, and assert that it says no secret whatever it finds."""
    for action, given in fault.items():
        sandbox.control(action, **given)
    found = verdict(app)
    said = "\n".join(found.lines)
    for secret in (RESTRICTED, "51abc", SECRET, "555555", OTHER, "geheim"):
        assert secret not in said
    return found


def stripes(found: Verdict) -> list[str]:
    """Return what is wrong on the Stripe side."""
    words = ("STRIPE", "Stripe", "webhook", "clock")
    return [line for line in found.wrong if any(word in line for word in words)]


def test_what_is_set_up_rightly_is_fine(look: Look) -> None:
    found = look()
    assert stripes(found) == []
    assert found.about(f"fine: webhook endpoint {ADDRESS}, with every event")
    assert found.about("fine: clock, within a minute of Stripe's")
    assert found.about("fine: prices, not below the least")
    assert found.about("fine: webhook secret, as far as its form tells: no event has come yet")


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ({"endpoints": ["https://old.example/hook"]}, "Stripe sends no events to {0}, only to old"),
        ({"enabled": False}, "webhook endpoint {0}: is disabled"),
        (
            {"enabled_events": sorted(FOLLOWED - {"refund.failed", "charge.dispute.closed"})},
            "webhook endpoint {0}: lacks charge.dispute.closed, refund.failed: add",
        ),
        (
            {"api_version": "2024-06-20"},
            "webhook endpoint {0}: gets events of API version 2024-06-20, and this site speaks "
            + stripe.api_version,
        ),
        ({"endpoints": [ADDRESS, f"{ADDRESS}/"]}, "webhook endpoint {0}: is there 2 times"),
    ],
)
def test_endpoint_that_is_not_as_it_should_be_is_named(
    look: Look, fault: dict[str, Any], words: str
) -> None:
    found = look(deliver_to=fault)
    assert len(found.about(words.format(ADDRESS))) == 1
    assert len(stripes(found)) == ("endpoints" not in fault or len(fault["endpoints"]) > 1)
    assert not found.about("fine: webhook endpoint")


def test_endpoint_for_everything_is_fine(look: Look) -> None:
    assert stripes(look(deliver_to={"enabled_events": ["*"]})) == []


@pytest.mark.parametrize(
    "right",
    [
        "balance_read",
        "checkout_session_write",
        "payment_intent_read",
        "charge_write",
        "dispute_read",
        "invoice_read",
        "event_read",
        "webhook_read",
    ],
)
def test_right_that_a_restricted_key_lacks_is_named(look: Look, right: str) -> None:
    assert stripes(look(deny={"rights": [f"rak_{right}"]})) == [
        f"STRIPE_SECRET_KEY: the restricted key lacks the right {right}: "
        "give it that in Stripe's dashboard"
    ]


def test_looking_leaves_an_ended_checkout_of_no_order_at_stripe(
    look: Look, sandbox: SandboxServer
) -> None:
    assert look().about("fine: checkout of ai-pm-bootcamp, opened at Stripe and ended")
    state = sandbox.state()
    made = ("payment_intents", "charges", "refunds")
    assert [state[kind] for kind in made] == [[]] * len(made)
    (trial,) = state["sessions"]
    assert (trial["status"], trial["metadata"]) == ("expired", {"made_by": "flask doctor"})


def test_what_a_look_leaves_at_stripe_is_nothing_here(
    make_app: Any, database_url: str, sandbox: SandboxServer
) -> None:
    """Its event comes, is followed, and is found by the sweep: there is no order for it."""
    app = shop(make_app, database_url, sandbox)
    assert examined(app, sandbox).about("fine: checkout of ai-pm-bootcamp")
    (told,) = sandbox.client().v1.events.list().data
    assert told.type == "checkout.session.expired"
    assert send(app.test_client(), json.dumps(told.to_dict()).encode(), SECRET) == 200
    with app.app_context():
        Settler(db.engine, Gateway(KEY, base=sandbox.url), BASE).work()
        assert db.session.scalars(select(StripeEvent.done_at)).one() is not None
    swept = app.test_cli_runner().invoke(args=["reconcile"])
    assert (swept.exit_code, swept.stderr) == (0, "")
    with app.app_context():
        for table in (Order, OrderEvent, LostCheckout, Enrollment, Message):
            assert db.session.scalars(select(table)).all() == [], table
    assert stripes(examined(app, sandbox, advance={"seconds": 30})) == []


def test_answer_that_is_not_understood_is_named_before_a_buyer_meets_it(
    look: Look, sandbox: SandboxServer
) -> None:
    sandbox.control("fault", kind="wrong", method="POST", path="/v1/checkout/sessions")
    assert stripes(look()) == [
        "checkout of ai-pm-bootcamp: answer not understood: checkout.session.object: "
        "this version of the site misreads Stripe: update it"
    ]


@pytest.mark.parametrize(
    ("path", "about"),
    [
        ("/v1/balance", "Stripe's balance: answer not understood: balance.object"),
        ("/v1/account", "Stripe account: answer not understood: account.object"),
        ("/v1/events", "webhooks: answer not understood: list.object"),
        ("/v1/webhook_endpoints", "webhooks: answer not understood: list.object"),
        ("/v1/refunds", "newest refund at Stripe: answer not understood: list.object"),
        ("/v1/invoices", "newest invoice at Stripe: answer not understood: list.object"),
        ("/v1/checkout/sessions", "newest checkout at Stripe: answer not understood: list.object"),
    ],
)
def test_whatever_is_not_understood_is_named_once(
    make_app: Any, sandbox: SandboxServer, path: str, about: str
) -> None:
    sandbox.control("fault", kind="wrong", method="GET", path=path, times=9)
    found = verdict(make_app(stripe_api_base=sandbox.url))
    misread = [line for line in found.wrong if "not understood" in line]
    assert misread == [f"{about}: this version of the site misreads Stripe: update it"]
    assert found.code == 1


def test_checkout_that_stripe_refuses_is_named_with_what_it_minds(
    make_app: Any, site_root: Any, sandbox: SandboxServer
) -> None:
    """A total below the least is what the sandbox refuses as Stripe does."""
    page = site_root / COURSE
    page.write_text(page.read_text("utf-8").replace("amount: 120000", "amount: 49"), "utf-8")
    found = verdict(make_app(root=site_root, stripe_api_base=sandbox.url))
    assert found.about("wrong: checkout of ai-pm-bootcamp: refused: amount_too_small")


@pytest.mark.parametrize("taken", [False, True])
def test_key_that_moves_money_reads_the_newest_and_creates_nothing(
    app: Flask, sandbox: SandboxServer, taken: bool
) -> None:
    """Only at Stripe itself does the doctor ask with such a key: here its part is asked alone."""
    sandbox.control("mode", live=True)
    gateway = Gateway(LIVE_SITE["stripe_secret_key"], base=sandbox.url)
    sdk = sandbox.client(LIVE_SITE["stripe_secret_key"])
    if taken:
        made = sdk.v1.checkout.sessions.create(session_params(invoice_creation={"enabled": True}))
        sandbox.pay(made.url or "")
        charge = sdk.v1.charges.list().data[0]
        sdk.v1.refunds.create({"charge": charge.id})
    before = sandbox.state()
    with app.app_context():
        settings = current.of(app).settings
        found = list(trial.examine(settings, gateway, gateway.account(), current.content()))
    after = sandbox.state()
    newest = Finding("fine", "newest at Stripe, understood: checkout, refund, invoice")
    assert found == [newest] * taken
    asked = after["calls"][: len(after["calls"]) - len(before["calls"])]
    assert {(call["method"], call["status"]) for call in asked} == {("GET", 200)}
    for kind in ("sessions", "payment_intents", "charges", "refunds", "events"):
        assert after[kind] == before[kind]


def test_clock_that_is_wrong_is_named(look: Look) -> None:
    found = look(advance={"seconds": 90})
    (line,) = stripes(found)
    assert line.startswith("clock: this machine's is ") and "seconds behind Stripe's" in line


def test_key_of_the_other_mode_is_named(look: Look) -> None:
    found = look(mode={"live": True})
    assert stripes(found) == [
        "STRIPE_SECRET_KEY: Stripe refuses it: copy it again from the dashboard"
    ]


@pytest.mark.parametrize(
    "path",
    [
        "/v1/balance",
        "/v1/webhook_endpoints",
        "/v1/events",
        "/v1/checkout/sessions",
        "/v1/checkout/sessions/*/expire",
        "/v1/refunds",
        "/v1/invoices",
    ],
)
def test_stripe_that_is_in_trouble_half_way_is_named_once(
    make_app: Any, sandbox: SandboxServer, path: str
) -> None:
    sandbox.control("fault", kind="500", path=path, times=9)
    found = verdict(make_app(stripe_api_base=sandbox.url))
    assert len(found.about("wrong: Stripe does not answer")) == 1


def test_secret_of_another_endpoint_is_told_by_an_event_that_stripe_knows(
    make_app: Any, database_url: str, sandbox: SandboxServer
) -> None:
    app = shop(make_app, database_url, sandbox)
    look = partial(examined, app, sandbox)
    expired(sandbox)
    (known,) = sandbox.state()["events"]
    client = app.test_client()
    assert send(client, event(id=known["id"]), OTHER) == 400
    found = look(advance={"seconds": 180})
    wrong = f"STRIPE_WEBHOOK_SECRET: is not that of the endpoint: Stripe's event {known['id']} came"
    assert len(found.about(wrong)) == 1
    # The right secret is set, and an event comes.
    assert send(client, event(id="evt_9"), SECRET) == 200
    found = look()
    assert not found.about("wrong: STRIPE_WEBHOOK_SECRET")
    assert found.about("fine: webhook secret, an event verified last on ")


def test_what_strangers_send_says_nothing_and_floods_nothing(app: Flask, look: Look) -> None:
    client = app.test_client()
    assert {send(client, event(number=n), OTHER) for n in range(50)} == {400}
    for body in (b"[]", b"\xff"):
        assert client.post("/webhooks/stripe", data=body).status_code == 400
    assert not look().about("wrong: STRIPE_WEBHOOK_SECRET")
    with app.app_context():
        assert db.session.scalar(select(func.count(RefusedEvent.id))) == 1


def test_events_that_stripe_cannot_deliver_are_counted(
    app: Flask, look: Look, sandbox: SandboxServer
) -> None:
    expired(sandbox)
    assert not look().about("did not come")  # it is on its way, as is that of the look itself
    found = look(advance={"seconds": 180})
    assert found.about("wrong: webhook: of Stripe's events, 2 did not come and are still tried")
    with app.app_context():
        for known in sandbox.state()["events"]:
            db.session.add(StripeEvent(id=known["id"], kind=known["type"], object_id="cs_1"))
        db.session.commit()
    assert not look().about("did not come")


def test_price_below_the_least_that_stripe_charges_is_named(
    make_app: Any, site_root: Any, sandbox: SandboxServer
) -> None:
    page = site_root / COURSE
    text = page.read_text("utf-8")
    assert "amount: 120000" in text
    page.write_text(text.replace("amount: 120000", "amount: 49"), "utf-8")
    found = verdict(make_app(root=site_root, stripe_api_base=sandbox.url))
    assert found.about("wrong: the price of ai-pm-bootcamp, $0.49, is below Stripe's least, $0.50")


def expired(sandbox: SandboxServer) -> None:
    """Have an event happen at Stripe: a session that expires."""
    made = sandbox.client().v1.checkout.sessions.create(session_params())
    sandbox.client().v1.checkout.sessions.expire(made.id)
