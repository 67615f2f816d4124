"""Test mode and live mode: a key sees and changes only the objects of its mode.

Source: https://docs.stripe.com/keys#test-live-modes
"""

import sqlite3
from pathlib import Path
from typing import Any

import pytest
from stripe import InvalidRequestError, StripeClient

from tests.support.sandbox_server import (
    Endpoint,
    SandboxServer,
    eventually,
    session_params,
    start,
)

LIVE_KEY = "sk_live_" + "abc"


def everything(sdk: StripeClient) -> dict[str, list[str]]:
    """Return the ids that each list of the API shows."""
    lists: dict[str, Any] = {
        "sessions": sdk.v1.checkout.sessions,
        "payment_intents": sdk.v1.payment_intents,
        "charges": sdk.v1.charges,
        "refunds": sdk.v1.refunds,
        "disputes": sdk.v1.disputes,
        "invoices": sdk.v1.invoices,
        "promotion_codes": sdk.v1.promotion_codes,
        "events": sdk.v1.events,
    }
    return {name: [one.id for one in made.list({"limit": 100})] for name, made in lists.items()}


def one_of_each(sandbox: SandboxServer, sdk: StripeClient) -> dict[str, list[str]]:
    """Create an object of every kind; return the ids that the key sees then."""
    params = session_params(invoice_creation={"enabled": True})
    for _ in range(2):
        sandbox.pay(sdk.v1.checkout.sessions.create(params).url or "")
    charges = sdk.v1.charges.list().data
    sdk.v1.refunds.create({"charge": charges[0].id})
    sandbox.control("dispute", id=charges[1].id)
    return everything(sdk)


def test_lists_show_the_objects_of_the_keys_mode_alone(sandbox: SandboxServer) -> None:
    test, live = sandbox.client(), sandbox.client(LIVE_KEY)
    made_in_test = one_of_each(sandbox, test)
    assert all(made_in_test.values())
    sandbox.control("mode", live=True)
    seen = everything(live)
    codes = seen.pop("promotion_codes")
    assert set(codes).isdisjoint(made_in_test["promotion_codes"])
    assert not any(seen.values())
    made_live = one_of_each(sandbox, live)
    for name, ids in made_live.items():
        assert ids and set(ids).isdisjoint(made_in_test[name]), name
    sandbox.control("mode", live=False)
    assert everything(test) == made_in_test


@pytest.mark.parametrize("live", [False, True])
def test_error_names_the_mode_of_an_object_in_the_other_mode(
    sandbox: SandboxServer, live: bool
) -> None:
    """Source: the message as quoted in dj-stripe/dj-stripe#1113."""
    clients = {True: sandbox.client(LIVE_KEY), False: sandbox.client()}
    sandbox.control("mode", live=live)
    made = clients[live].v1.checkout.sessions.create(session_params()).id
    sandbox.control("mode", live=not live)
    sessions = clients[not live].v1.checkout.sessions
    theirs, ours = ("live", "test") if live else ("test", "live")
    words = (
        f"No such checkout.session: '{made}'; a similar object exists in {theirs} mode, but a "
        f"{ours} mode key was used to make this request."
    )
    asked: list[Any] = [
        lambda: sessions.retrieve(made),
        lambda: sessions.expire(made),
        lambda: sessions.list({"starting_after": made}),
    ]
    for ask in asked:
        with pytest.raises(InvalidRequestError) as caught:
            ask()
        assert caught.value.user_message == words
        assert caught.value.code == "resource_missing"


def test_due_job_stays_in_its_mode(sandbox: SandboxServer) -> None:
    test, live = sandbox.client(), sandbox.client(LIVE_KEY)
    made = test.v1.checkout.sessions.create(session_params())
    sandbox.control("mode", live=True)
    sandbox.control("advance", seconds=24 * 3600 + 60)
    assert live.v1.events.list().data == []
    sandbox.control("mode", live=False)
    assert test.v1.checkout.sessions.retrieve(made.id).status == "expired"
    (event,) = test.v1.events.list().data
    assert (event.type, event.livemode) == ("checkout.session.expired", False)


def test_event_is_delivered_though_the_mode_changes(
    delivering: SandboxServer, endpoint: Endpoint
) -> None:
    delivering.control("pause")
    sdk = delivering.client()
    sdk.v1.checkout.sessions.expire(sdk.v1.checkout.sessions.create(session_params()).id)
    delivering.control("mode", live=True)
    delivering.control("resume")
    endpoint.wait_for("checkout.session.expired")
    eventually(lambda: delivering.state()["deliveries"][0]["state"] == "delivered")


def test_file_of_an_earlier_version_keeps_the_mode_of_its_objects(tmp_path: Path) -> None:
    server = start(tmp_path)
    made_in_test = one_of_each(server, server.client())
    server.control("mode", live=True)
    made_live = one_of_each(server, server.client(LIVE_KEY))
    server.stop()
    with sqlite3.connect(server.setup.folder / "stripe.db") as db:
        db.execute("ALTER TABLE objects DROP COLUMN live")
    db.close()
    server = start(tmp_path)
    try:
        assert everything(server.client(LIVE_KEY)) == made_live
        server.control("mode", live=False)
        assert everything(server.client()) == made_in_test
    finally:
        server.stop()
