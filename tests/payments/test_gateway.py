"""The gateway beyond the checkout: refunds, disputes, lists, the account and its endpoints."""

from datetime import timedelta

import pytest

from crossroads.payments import Gateway, PaymentsDenied, PaymentsRefused, PaymentsUnavailable
from models import now
from tests.support.gateway_purchases import LATER_PAYS, LIVE, bought, purchase
from tests.support.sandbox_server import KEY, SandboxServer

LONG_AGO = timedelta(days=365)


@pytest.fixture
def gateway(sandbox: SandboxServer) -> Gateway:
    return Gateway(KEY, base=sandbox.url)


def test_refund_is_made_once_for_each_key(gateway: Gateway, sandbox: SandboxServer) -> None:
    payment = str(bought(gateway, sandbox).payment_intent)
    first, again = (
        gateway.refund(payment, 120_000, key="order-1-refund-1", reference="order-1-1")
        for _ in range(2)
    )
    assert first == again == gateway.retrieve_refund(first.id)
    assert (first.amount, first.currency, first.status) == (120_000, "USD", "succeeded")
    assert (first.reference, first.payment_intent) == ("order-1-1", payment)
    assert first.counts and first.failure_reason is None
    rest = gateway.refund(payment, None, key="order-1-refund-2", reference="order-1-2")
    assert rest.amount == 120_000
    assert list(gateway.refunds(payment)) == [rest, first]


def test_charge_has_its_refunded_amount(gateway: Gateway, sandbox: SandboxServer) -> None:
    made = gateway.create(purchase())
    sandbox.pay(str(made.url), "4000000000000002")
    sandbox.pay(str(made.url))
    payment = str(gateway.retrieve(made.id).payment_intent)
    gateway.refund(payment, 500, key="r1", reference="r1")
    good, declined = gateway.charges(payment)
    assert (good.paid, good.amount, good.amount_refunded) == (True, 240_000, 500)
    assert (declined.paid, declined.amount_refunded) == (False, 0)
    assert gateway.retrieve_charge(good.id) == good
    assert good.payment_intent == payment and not good.disputed


def test_refund_from_the_dashboard_has_no_reference(
    gateway: Gateway, sandbox: SandboxServer
) -> None:
    payment = str(bought(gateway, sandbox).payment_intent)
    (charge,) = gateway.charges(payment)
    sandbox.control("refund", id=charge.id, amount=700)
    (found,) = gateway.refunds(payment)
    assert (found.amount, found.reference) == (700, None)


def test_pending_refund_may_fail(gateway: Gateway, sandbox: SandboxServer) -> None:
    payment = str(bought(gateway, sandbox, iban=LATER_PAYS).payment_intent)
    waiting = gateway.refund(payment, None, key="r1", reference="r1")
    assert (waiting.status, waiting.counts) == ("pending", True)
    sandbox.control("fail_refund", id=waiting.id)
    failed = gateway.retrieve_refund(waiting.id)
    assert (failed.status, failed.failure_reason, failed.counts) == ("failed", "unknown", False)


def test_refund_that_requires_action_can_be_canceled(
    gateway: Gateway, sandbox: SandboxServer
) -> None:
    payment = str(bought(gateway, sandbox, iban=LATER_PAYS).payment_intent)
    asked = gateway.refund(payment, None, key="r1", reference="r1")
    for action, status, counts in (
        ("ask_refund", "requires_action", True),
        ("cancel_refund", "canceled", False),
    ):
        sandbox.control(action, id=asked.id)
        found = gateway.retrieve_refund(asked.id)
        assert (found.status, found.counts) == (status, counts)
    (charge,) = gateway.charges(payment)
    assert charge.amount_refunded == 0


def test_refused_refund_has_the_reason(gateway: Gateway, sandbox: SandboxServer) -> None:
    payment = str(bought(gateway, sandbox).payment_intent)
    with pytest.raises(PaymentsRefused) as caught:
        gateway.refund(payment, 240_001, key="r1", reference="r1")
    assert caught.value.param == "amount"
    gateway.refund(payment, None, key="r2", reference="r2")
    with pytest.raises(PaymentsRefused) as caught:
        gateway.refund(payment, None, key="r3", reference="r3")
    assert caught.value.code == "charge_already_refunded"


def test_lists_continue_through_all_pages(gateway: Gateway, sandbox: SandboxServer) -> None:
    paid = bought(gateway, sandbox)
    payment = str(paid.payment_intent)
    made = [gateway.refund(payment, 100, key=f"r{n}", reference=f"r{n}") for n in range(101)]
    assert list(gateway.refunds(payment)) == made[::-1]
    calls = [one for one in sandbox.state()["calls"] if one["path"] == "/v1/refunds"]
    assert [one["method"] for one in calls[:2]] == ["GET", "GET"]
    assert len(list(gateway.events(now() - LONG_AGO))) == 4 + 2 * 101
    listed = gateway.refunds(payment)
    assert next(listed) == made[-1]
    sandbox.control("fault", kind="html")  # fails at the second page
    with pytest.raises(PaymentsUnavailable):
        list(listed)


def test_checkouts_and_events_are_listed_since_a_time(
    gateway: Gateway, sandbox: SandboxServer
) -> None:
    early = bought(gateway, sandbox)
    sandbox.control("advance", seconds=100)
    late = bought(gateway, sandbox, key="2")
    assert list(gateway.checkouts(now() - LONG_AGO)) == [late, early]
    assert list(gateway.checkouts(late.created_at)) == [late]
    (event,) = gateway.events(late.created_at, ["checkout.session.completed"])
    assert (event.kind, event.object_id) == ("checkout.session.completed", late.id)
    assert event.created_at >= late.created_at and not event.live
    kinds = ["checkout.session.completed", "charge.succeeded"]
    assert len(list(gateway.events(now() - LONG_AGO, kinds))) == 4


def test_dispute_has_payment_reason_status_and_due_date(
    gateway: Gateway, sandbox: SandboxServer
) -> None:
    payment = str(bought(gateway, sandbox).payment_intent)
    (charge,) = gateway.charges(payment)
    sandbox.control("dispute", id=charge.id, reason="duplicate")
    (found,) = gateway.disputes(payment)
    assert (found.payment_intent, found.charge) == (payment, charge.id)
    assert (found.amount, found.currency, found.reason) == (240_000, "USD", "duplicate")
    assert (found.status, found.open, found.inquiry) == ("needs_response", True, False)
    assert found.due_by is not None
    assert timedelta(days=9) <= found.due_by - found.created_at < timedelta(days=10)
    sandbox.control("win", id=found.id)
    decided = gateway.retrieve_dispute(found.id)
    assert (decided.status, decided.open) == ("won", False)
    with pytest.raises(PaymentsRefused) as caught:
        gateway.refund(payment, None, key="r1", reference="r1")
    assert caught.value.code == "charge_disputed"


def test_inquiry_is_distinguished_from_a_dispute(gateway: Gateway, sandbox: SandboxServer) -> None:
    payment = str(bought(gateway, sandbox).payment_intent)
    (charge,) = gateway.charges(payment)
    sandbox.control("dispute", id=charge.id, inquiry=True)
    (asked,) = gateway.disputes(payment)
    assert asked.inquiry and asked.open
    sandbox.control("win", id=asked.id)
    (closed,) = gateway.disputes(payment)
    assert closed.inquiry and not closed.open
    assert gateway.refund(payment, None, key="r1", reference="r1").status == "succeeded"


def test_account_has_its_mode_and_the_clock_of_stripe(
    gateway: Gateway, sandbox: SandboxServer
) -> None:
    found = gateway.account()
    assert not found.live
    assert abs(found.clock - now()) < timedelta(seconds=3)
    sandbox.control("mode", live=True)
    with pytest.raises(PaymentsDenied):
        gateway.account()
    live = Gateway(LIVE, base=sandbox.url)
    assert live.account().live
    assert live.create(purchase()).live
    sandbox.control("advance", seconds=600)
    assert live.account().clock - now() > timedelta(seconds=590)


def test_endpoint_has_its_events_state_and_api_version(
    gateway: Gateway, sandbox: SandboxServer
) -> None:
    urls = ["http://127.0.0.1:9/webhooks/stripe", "http://127.0.0.1:9/other"]
    sandbox.control("deliver_to", endpoints=urls)
    assert [(one.url, one.kinds, one.enabled, one.version) for one in gateway.endpoints()] == [
        (url, ("*",), True, None) for url in urls
    ]
    heard = ["charge.refunded", "refund.failed"]
    sandbox.control("deliver_to", enabled_events=heard, api_version="2024-06-20", enabled=False)
    found = next(iter(gateway.endpoints()))
    assert (found.kinds, found.enabled, found.version) == (tuple(heard), False, "2024-06-20")
    assert not found.live
