"""The gateway against the sandbox: its own data classes replace Stripe's objects and errors."""

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import stripe

from crossroads.payments import (
    BadEvent,
    Gateway,
    Options,
    PaymentsRefused,
    PaymentsUnavailable,
    Presentment,
    TaxId,
    TooManyCalls,
    connection,
)
from models import now
from tests.support.gateway_purchases import LATER_PAYS, purchase
from tests.support.sandbox_server import (
    KEY,
    SECRET,
    Endpoint,
    SandboxServer,
    eventually,
    fetch,
    start,
)

LATER_FAILS = "AT861904300235473202"


@pytest.fixture
def gateway(sandbox: SandboxServer) -> Gateway:
    return Gateway(KEY, base=sandbox.url)


def test_checkout_matches_the_purchase(gateway: Gateway) -> None:
    asked = purchase()
    made = gateway.create(asked)
    assert made.id.startswith("cs_test_")
    assert made.url
    assert (made.reference, made.status, made.paid) == ("order-token", "open", False)
    assert (made.currency, made.quantity, made.amount_total) == ("USD", 2, 240_000)
    assert gateway.retrieve(made.id) == made


@pytest.mark.parametrize(
    ("currency", "unit_amount"), [("USD", 1999), ("EUR", 5), ("JPY", 150_000), ("KWD", 12_340)]
)
def test_amounts_are_in_the_smallest_unit_of_every_currency(
    gateway: Gateway, currency: str, unit_amount: int
) -> None:
    asked = purchase(currency=currency, unit_amount=unit_amount * 100, quantity=1)
    made = gateway.create(asked)
    assert (made.currency, made.amount_subtotal) == (currency, unit_amount * 100)


def test_same_key_returns_the_same_checkout(gateway: Gateway, sandbox: SandboxServer) -> None:
    asked = purchase()
    assert gateway.create(asked).id == gateway.create(asked).id
    assert len(sandbox.state()["sessions"]) == 1


def test_paid_checkout_has_its_payment(gateway: Gateway, sandbox: SandboxServer) -> None:
    made = gateway.create(purchase())
    sandbox.pay(str(made.url))
    found = gateway.retrieve(made.id)
    assert (found.status, found.paid, found.failed) == ("complete", True, False)
    assert str(found.payment_intent).startswith("pi_")


def test_delayed_payment_is_neither_paid_nor_failed_until_it_settles(
    gateway: Gateway, sandbox: SandboxServer
) -> None:
    for number, (iban, outcome) in enumerate([(LATER_PAYS, True), (LATER_FAILS, False)]):
        made = gateway.create(purchase(key=f"later-{number}", currency="EUR"))
        sandbox.pay(str(made.url), iban=iban)
        waiting = gateway.retrieve(made.id)
        assert (waiting.status, waiting.paid, waiting.failed) == ("complete", False, False)
        sandbox.control("settle" if outcome else "bounce", id=str(waiting.payment_intent))
        settled = gateway.retrieve(made.id)
        assert (settled.paid, settled.failed) == (outcome, not outcome)


def test_expiry_ends_an_open_checkout_and_keeps_a_paid_one(
    gateway: Gateway, sandbox: SandboxServer
) -> None:
    made = gateway.create(purchase())
    for _ in range(2):
        assert gateway.expire(made.id).status == "expired"
    other = gateway.create(purchase(key="other"))
    sandbox.pay(str(other.url))
    assert gateway.expire(other.id).paid


def test_options_apply_to_the_payment_page_and_the_checkout(
    gateway: Gateway, sandbox: SandboxServer
) -> None:
    plain = gateway.create(purchase())
    assert plain == replace(plain, promotion_codes=(), tax_ids=(), invoice=None, free=False)
    options = Options(
        promotion_codes=True,
        automatic_tax=True,
        tax_behavior="exclusive",
        tax_ids=True,
        invoices=True,
        terms=True,
        always_customer=True,
        submit="pay",
        excluded_methods=("sepa_debit",),
    )
    made = gateway.create(purchase(key="options", options=options))
    fetch(f"{made.url}/code", form={"promotion_code": "TENOFF"})
    page = fetch(str(made.url)).text
    assert "IBAN" not in page and "Pay $2,376.00" in page
    assert 'I agree to the <a href="http://localhost/terms"' in page
    assert sandbox.pay(str(made.url), tax_id="DE123456789").status == 422  # no terms
    sandbox.pay(str(made.url), tax_id="DE123456789", terms="yes")
    found = gateway.retrieve(made.id)
    assert found.paid and not found.free and found.terms_accepted
    assert (found.amount_subtotal, found.amount_discount) == (240_000, 24_000)
    assert (found.amount_tax, found.amount_total) == (21_600, 237_600)
    assert found.tax_ids == (TaxId(kind="eu_vat", value="DE123456789"),)
    assert [code[:6] for code in found.promotion_codes] == ["promo_"]
    invoice = gateway.retrieve_invoice(str(found.invoice))
    assert str(invoice.number).startswith("SANDBOX-")
    assert fetch(str(invoice.page)).status == 200


def test_checkout_with_a_full_discount_is_paid_and_free(
    gateway: Gateway, sandbox: SandboxServer
) -> None:
    made = gateway.create(purchase(options=Options(promotion_codes=True)))
    fetch(f"{made.url}/code", form={"promotion_code": "FREE"})
    fetch(str(made.url), form={})
    found = gateway.retrieve(made.id)
    assert (found.status, found.paid, found.free) == ("complete", True, True)
    assert (found.payment_intent, found.amount_total) == (None, 0)


def test_copy_of_an_expired_checkout_refers_to_it(gateway: Gateway, sandbox: SandboxServer) -> None:
    made = gateway.create(purchase(options=Options(recovery=True)))
    assert made.recovery_url is None and made.recovered_from is None
    fetch(str(gateway.expire(made.id).recovery_url))
    copy = next(gateway.checkouts(made.created_at))
    assert (copy.recovered_from, copy.status) == (made.id, "open")
    assert (copy.quantity, copy.amount_total) == (made.quantity, made.amount_total)


def test_presentment_currency_does_not_change_our_amounts(
    gateway: Gateway, sandbox: SandboxServer
) -> None:
    made = gateway.create(purchase())
    sandbox.control("present", id=made.id, currency="jpy", amount=360_000)
    sandbox.pay(str(made.url))
    found = gateway.retrieve(made.id)
    assert found.presentment == Presentment(amount=360_000, currency="JPY")
    assert (found.currency, found.amount_total) == ("USD", 240_000)


def test_refusal_names_the_parameter(gateway: Gateway) -> None:
    with pytest.raises(PaymentsRefused) as caught:
        gateway.create(purchase(expires_at=now() - timedelta(minutes=1)))
    assert caught.value.param == "expires_at"
    with pytest.raises(PaymentsRefused):
        gateway.retrieve("cs_test_no_such_session")


def test_refused_key_raises_payments_away(sandbox: SandboxServer) -> None:
    with pytest.raises(PaymentsUnavailable, match="AuthenticationError"):
        Gateway("sk_live_wrong", base=sandbox.url).create(purchase())


@pytest.mark.parametrize("background", [False, True], ids=["request", "background"])
@pytest.mark.parametrize("kind", ["timeout", "trickle"])
def test_calls_of_one_request_share_one_time_limit(
    sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch, kind: str, background: bool
) -> None:
    """A call ends while Stripe still answers, and the next one finds no time left."""
    monkeypatch.setattr(connection, "LEAST", 0.6)
    sandbox.control("fault", kind=kind, method="POST", seconds=600, times=9)
    gateway = Gateway(KEY, base=sandbox.url, background=background)
    hurried = gateway.with_time_limit(1)
    with pytest.raises(PaymentsUnavailable, match="APIConnectionError"):
        hurried.create(purchase())
    with pytest.raises(PaymentsUnavailable, match="no time was left"):
        hurried.create(purchase())
    (fault,) = sandbox.state()["faults"]
    assert fault["times"] == 8
    sandbox.control("clear_faults")
    gateway.with_time_limit(10).create(purchase())


@pytest.mark.parametrize("kind", ["429", "500", "reset"])
def test_call_with_a_time_limit_is_not_retried(sandbox: SandboxServer, kind: str) -> None:
    sandbox.control("fault", kind=kind, method="POST", times=9)
    with pytest.raises(PaymentsUnavailable):
        Gateway(KEY, base=sandbox.url, background=True).with_time_limit(10).create(purchase())
    (fault,) = sandbox.state()["faults"]
    assert fault["times"] == 8


def test_unreachable_stripe_raises_payments_away(sandbox: SandboxServer) -> None:
    with pytest.raises(PaymentsUnavailable):
        Gateway(KEY, base="http://127.0.0.1:9").create(purchase())


def test_number_of_waiting_calls_is_limited(sandbox: SandboxServer) -> None:
    from threading import Thread

    gateway = Gateway(KEY, base=sandbox.url, waiting=1)
    gateway.retrieve(gateway.create(purchase()).id)  # connected, and no longer counted as waiting
    sandbox.control("fault", kind="slow", method="POST", seconds=60)
    waiting = Thread(target=gateway.create, args=(purchase(key="slow"),))
    waiting.start()
    eventually(lambda: not sandbox.state()["faults"])
    with pytest.raises(TooManyCalls):
        gateway.create(purchase(key="other"))
    assert waiting.is_alive()
    sandbox.control("release")
    waiting.join()
    gateway.create(purchase(key="other"))


@pytest.fixture
def endpoint(tmp_path: Any) -> Iterator[tuple[Endpoint, SandboxServer]]:
    receiver = Endpoint().start()
    server = start(tmp_path / "sending", receiver.url)
    yield receiver, server
    server.stop()
    receiver.stop()


def test_event_signed_by_stripe_is_accepted(
    endpoint: tuple[Endpoint, SandboxServer],
) -> None:
    receiver, server = endpoint
    gateway = Gateway(KEY, base=server.url)
    made = gateway.create(purchase())
    server.pay(str(made.url))
    sent = receiver.wait_for("checkout.session.completed")
    event = gateway.verify(sent.body, sent.signature, ["whsec_other", SECRET])
    assert (event.id, event.kind, event.object_id) == (sent.id, sent.type, made.id)
    assert not event.live
    with pytest.raises(BadEvent):
        gateway.verify(sent.body, sent.signature, ["whsec_other"])
    with pytest.raises(BadEvent):
        gateway.verify(sent.body + b" ", sent.signature, [SECRET])


def signed(body: bytes, at: float | None = None) -> str:
    text = body.decode(errors="surrogateescape")
    header: str = stripe.WebhookSignature.generate_signature_header(
        text, SECRET, timestamp=int(at or time.time())
    )
    return header


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{}", b"null", b"1", b'"x"', b"{", b'{"object":"event"}',
     b'{"id":"evt_1","object":"event","type":"x","data":{}}',
     b'{"id":"evt_1","object":"v2.core.event","type":"x"}',
     b'{"id":"evt_1","object":"event","type":"x","data":{"object":[]},"livemode":false}'],
)  # fmt: skip
def test_signed_but_invalid_event_is_refused(body: bytes) -> None:
    with pytest.raises(BadEvent):
        Gateway(KEY).verify(body, signed(body), [SECRET])


@pytest.mark.parametrize("signature", [None, "", "x", "t=,v1=", "t=1,v1=ü", "t=x,v1=y", "v1=ab"])
def test_event_with_a_bad_signature_is_refused(signature: str | None) -> None:
    with pytest.raises(BadEvent):
        Gateway(KEY).verify(b"{}", signature, [SECRET])


def test_event_with_an_old_signature_is_refused() -> None:
    body = json.dumps(
        {"id": "evt_1", "object": "event", "type": "x", "livemode": False,
         "created": int(time.time()), "api_version": None,
         "data": {"object": {"id": "cs_1", "object": "checkout.session"}}}
    ).encode()  # fmt: skip
    assert Gateway(KEY).verify(body, signed(body), [SECRET]).id == "evt_1"
    with pytest.raises(BadEvent):
        Gateway(KEY).verify(body, signed(body, time.time() - 400), [SECRET])
