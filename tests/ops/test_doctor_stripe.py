"""flask doctor and Stripe: each fault is simulated in the sandbox and reported."""

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
from crossroads.worker.event_consumer import EventConsumer
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
    """The site with a restricted key and a correct webhook endpoint at Stripe."""
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
    """Run the doctor after a fault is simulated."""
    return partial(examined, app, sandbox)


def examined(app: Flask, sandbox: SandboxServer, **fault: Any) -> Verdict:
    """Simulate faults, run the doctor, and assert that it shows no secret."""
    for action, given in fault.items():
        sandbox.control(action, **given)
    found = verdict(app)
    said = "\n".join(found.lines)
    for secret in (RESTRICTED, "51abc", SECRET, "555555", OTHER, "geheim"):
        assert secret not in said
    return found


def stripes(found: Verdict) -> list[str]:
    """Return the problems on the Stripe side."""
    words = ("STRIPE", "Stripe", "webhook", "clock")
    return [line for line in found.wrong if any(word in line for word in words)]


def test_correct_stripe_setup_has_no_problems(look: Look) -> None:
    found = look()
    assert stripes(found) == []
    assert found.about(f"fine: webhook endpoint {ADDRESS}, with every event")
    assert found.about("fine: clock, within a minute of Stripe's")
    assert found.about("fine: prices: above Stripe's minimum")
    assert found.about("fine: webhook secret: format is right; no event has verified it")


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
def test_wrong_webhook_endpoint_is_reported(look: Look, fault: dict[str, Any], words: str) -> None:
    found = look(deliver_to=fault)
    assert len(found.about(words.format(ADDRESS))) == 1
    assert len(stripes(found)) == ("endpoints" not in fault or len(fault["endpoints"]) > 1)
    assert not found.about("fine: webhook endpoint")


def test_endpoint_for_all_events_is_fine(look: Look) -> None:
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
def test_missing_right_of_a_restricted_key_is_reported(look: Look, right: str) -> None:
    assert stripes(look(deny={"rights": [f"rak_{right}"]})) == [
        f"STRIPE_SECRET_KEY: the restricted key lacks the right {right}: "
        "give it that in Stripe's dashboard"
    ]


def test_trial_checkout_is_expired_and_belongs_to_no_order(
    look: Look, sandbox: SandboxServer
) -> None:
    assert look().about("fine: checkout of ai-pm-bootcamp, opened at Stripe and ended")
    state = sandbox.state()
    made = ("payment_intents", "charges", "refunds")
    assert [state[kind] for kind in made] == [[]] * len(made)
    (trial,) = state["sessions"]
    assert (trial["status"], trial["metadata"]) == ("expired", {"made_by": "flask doctor"})


def test_trial_checkout_leaves_no_rows_on_the_site(
    make_app: Any, database_url: str, sandbox: SandboxServer
) -> None:
    """Its webhook event and the sweep find no order for it."""
    app = shop(make_app, database_url, sandbox)
    assert examined(app, sandbox).about("fine: checkout of ai-pm-bootcamp")
    (told,) = sandbox.client().v1.events.list().data
    assert told.type == "checkout.session.expired"
    assert send(app.test_client(), json.dumps(told.to_dict()).encode(), SECRET) == 200
    with app.app_context():
        EventConsumer(db.engine, Gateway(KEY, base=sandbox.url), BASE).work()
        assert db.session.scalars(select(StripeEvent.done_at)).one() is not None
    swept = app.test_cli_runner().invoke(args=["reconcile"])
    assert (swept.exit_code, swept.stderr) == (0, "")
    with app.app_context():
        for table in (Order, OrderEvent, LostCheckout, Enrollment, Message):
            assert db.session.scalars(select(table)).all() == [], table
    assert stripes(examined(app, sandbox, advance={"seconds": 30})) == []


def test_unreadable_checkout_response_is_reported(look: Look, sandbox: SandboxServer) -> None:
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
def test_unreadable_response_is_reported_once(
    make_app: Any, sandbox: SandboxServer, path: str, about: str
) -> None:
    sandbox.control("fault", kind="wrong", method="GET", path=path, times=9)
    found = verdict(make_app(stripe_api_base=sandbox.url))
    misread = [line for line in found.wrong if "not understood" in line]
    assert misread == [f"{about}: this version of the site misreads Stripe: update it"]
    assert found.code == 1


def test_refused_trial_checkout_is_reported_with_the_reason(
    make_app: Any, site_root: Any, sandbox: SandboxServer
) -> None:
    """Like Stripe, the sandbox refuses a total below the minimum."""
    page = site_root / COURSE
    page.write_text(page.read_text("utf-8").replace("amount: 120000", "amount: 49"), "utf-8")
    found = verdict(make_app(root=site_root, stripe_api_base=sandbox.url))
    assert found.about("wrong: checkout of ai-pm-bootcamp: refused: amount_too_small")


@pytest.mark.parametrize("taken", [False, True])
def test_live_key_only_reads_the_newest_objects(
    app: Flask, sandbox: SandboxServer, taken: bool
) -> None:
    """Only `trial.examine` runs here: the whole doctor uses such a key only with Stripe itself."""
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


def test_wrong_clock_is_reported(look: Look) -> None:
    found = look(advance={"seconds": 90})
    (line,) = stripes(found)
    assert line.startswith("clock: this machine's is ") and "seconds behind Stripe's" in line


def test_key_of_the_other_mode_is_reported(look: Look) -> None:
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
def test_stripe_failure_during_the_checks_is_reported_once(
    make_app: Any, sandbox: SandboxServer, path: str
) -> None:
    sandbox.control("fault", kind="500", path=path, times=9)
    found = verdict(make_app(stripe_api_base=sandbox.url))
    assert len(found.about("wrong: Stripe does not answer")) == 1


def test_secret_of_another_endpoint_is_found_by_a_refused_real_event(
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
    # After the right secret is set, the next event verifies.
    assert send(client, event(id="evt_9"), SECRET) == 200
    found = look()
    assert not found.about("wrong: STRIPE_WEBHOOK_SECRET")
    assert found.about("fine: webhook secret: last event verified on ")


def test_forged_webhooks_cause_no_report_and_store_one_row(app: Flask, look: Look) -> None:
    client = app.test_client()
    assert {send(client, event(number=n), OTHER) for n in range(50)} == {400}
    for body in (b"[]", b"\xff"):
        assert client.post("/webhooks/stripe", data=body).status_code == 400
    assert not look().about("wrong: STRIPE_WEBHOOK_SECRET")
    with app.app_context():
        assert db.session.scalar(select(func.count(RefusedEvent.id))) == 1


def test_undelivered_events_are_counted(app: Flask, look: Look, sandbox: SandboxServer) -> None:
    expired(sandbox)
    assert not look().about("did not come")  # its event and that of the trial are still new
    found = look(advance={"seconds": 180})
    assert found.about("wrong: webhook: of Stripe's events, 2 did not come and are still tried")
    with app.app_context():
        for known in sandbox.state()["events"]:
            db.session.add(StripeEvent(id=known["id"], kind=known["type"], object_id="cs_1"))
        db.session.commit()
    assert not look().about("did not come")


def test_price_below_the_minimum_charge_is_reported(
    make_app: Any, site_root: Any, sandbox: SandboxServer
) -> None:
    page = site_root / COURSE
    text = page.read_text("utf-8")
    assert "amount: 120000" in text
    page.write_text(text.replace("amount: 120000", "amount: 49"), "utf-8")
    found = verdict(make_app(root=site_root, stripe_api_base=sandbox.url))
    assert found.about(
        "wrong: the price of ai-pm-bootcamp, $0.49, is below Stripe's minimum, $0.50"
    )


def expired(sandbox: SandboxServer) -> None:
    """Cause an event at Stripe: an expired checkout session."""
    made = sandbox.client().v1.checkout.sessions.create(session_params())
    sandbox.client().v1.checkout.sessions.expire(made.id)
