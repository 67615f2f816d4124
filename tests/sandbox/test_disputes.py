"""Disputes and delayed refunds, through the SDK."""

import pytest
from stripe import Charge, Dispute, InvalidRequestError, StripeClient

from tests.support.sandbox_objects import made, read, types
from tests.support.sandbox_server import SandboxServer, session_params


def paid(sandbox: SandboxServer, number: str = "4242424242424242") -> Charge:
    session = made(sandbox.client())
    sandbox.pay(session.url or "", number)
    return read(sandbox.client(), session)[2]


def disputed(sandbox: SandboxServer, **given: object) -> Dispute:
    sandbox.control("dispute", id=paid(sandbox).id, **given)
    return sandbox.client().v1.disputes.list().data[0]


def test_disputed_test_card_withdraws_the_money(sandbox: SandboxServer) -> None:
    """Source: https://docs.stripe.com/testing#disputes."""
    sdk, charge = sandbox.client(), paid(sandbox, "4000000000000259")
    assert not charge.disputed and sdk.v1.disputes.list().data == []
    sandbox.control("advance", seconds=3600)
    (dispute,) = sdk.v1.disputes.list({"payment_intent": str(charge.payment_intent)}).data
    assert (dispute.status, dispute.reason) == ("needs_response", "fraudulent")
    assert (dispute.amount, dispute.currency) == (charge.amount, charge.currency)
    assert dispute.evidence_details.due_by is not None
    assert [(one.amount, one.fee) for one in dispute.balance_transactions] == [(-125_000, 1_500)]
    assert sdk.v1.charges.retrieve(charge.id).disputed
    assert types(sdk)[-2:] == ["charge.dispute.created", "charge.dispute.funds_withdrawn"]


def test_won_dispute_returns_the_money(sandbox: SandboxServer) -> None:
    """Source: https://docs.stripe.com/disputes/how-disputes-work."""
    sdk, dispute = sandbox.client(), disputed(sandbox)
    sandbox.control("respond", id=dispute.id)
    waiting = sdk.v1.disputes.retrieve(dispute.id)
    assert waiting.status == "under_review" and waiting.evidence_details.has_evidence
    sandbox.control("win", id=dispute.id)
    won = sdk.v1.disputes.retrieve(dispute.id)
    assert won.status == "won" and sum(one.amount for one in won.balance_transactions) == 0
    assert types(sdk)[-3:] == [
        "charge.dispute.updated",
        "charge.dispute.closed",
        "charge.dispute.funds_reinstated",
    ]


def test_lost_dispute_is_closed(sandbox: SandboxServer) -> None:
    sdk, dispute = sandbox.client(), disputed(sandbox)
    sandbox.control("lose_dispute", id=dispute.id)
    assert sdk.v1.disputes.retrieve(dispute.id).status == "lost"
    assert types(sdk)[-1] == "charge.dispute.closed"
    with pytest.raises(AssertionError, match="it is decided"):
        sandbox.control("win", id=dispute.id)


def test_inquiry_withdraws_no_money_until_it_becomes_a_dispute(sandbox: SandboxServer) -> None:
    """Source: inquiries in https://docs.stripe.com/disputes/how-disputes-work."""
    sdk, dispute = sandbox.client(), disputed(sandbox, inquiry=True, amount=1_000)
    assert (dispute.status, dispute.amount) == ("warning_needs_response", 1_000)
    assert dispute.balance_transactions == [] and dispute.is_charge_refundable
    assert types(sdk)[-1] == "charge.dispute.created"
    sandbox.control("lose_dispute", id=dispute.id)
    grown = sdk.v1.disputes.retrieve(dispute.id)
    assert grown.status == "needs_response" and not grown.is_charge_refundable
    assert types(sdk)[-2:] == ["charge.dispute.updated", "charge.dispute.funds_withdrawn"]


def test_disputed_charge_is_neither_refunded_nor_disputed_again(sandbox: SandboxServer) -> None:
    """Source: https://docs.stripe.com/error-codes#charge-disputed."""
    dispute = disputed(sandbox)
    with pytest.raises(InvalidRequestError) as caught:
        sandbox.client().v1.refunds.create({"charge": str(dispute.charge)})
    assert caught.value.code == "charge_disputed"
    with pytest.raises(AssertionError, match="cannot be disputed"):
        sandbox.control("dispute", id=str(dispute.charge))


def test_unknown_dispute_is_missing(sdk: StripeClient) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        sdk.v1.disputes.retrieve("du_none")
    assert (caught.value.http_status, caught.value.code) == (404, "resource_missing")


@pytest.mark.parametrize(
    ("number", "first", "then", "told"),
    [
        ("4000000000007726", "pending", "succeeded", "refund.updated"),
        ("4000000000005126", "succeeded", "failed", "refund.failed"),
    ],
)
def test_refunds_of_two_test_cards_change_their_status_later(
    sandbox: SandboxServer, number: str, first: str, then: str, told: str
) -> None:
    """Source: https://docs.stripe.com/testing#refunds."""
    sdk = sandbox.client()
    refund = sdk.v1.refunds.create({"charge": paid(sandbox, number).id})
    assert refund.status == first
    sandbox.control("advance", seconds=60)
    assert sdk.v1.refunds.retrieve(refund.id).status == then
    assert types(sdk)[-1] == told and "charge.refund.updated" in types(sdk)


def test_refund_that_requires_action_can_be_canceled(sandbox: SandboxServer) -> None:
    """Source: https://docs.stripe.com/api/refunds/cancel."""
    sdk = sandbox.client()
    refund = sdk.v1.refunds.create({"charge": paid(sandbox, "4000000000007726").id})
    with pytest.raises(InvalidRequestError):
        sdk.v1.refunds.cancel(refund.id)
    sandbox.control("ask_refund", id=refund.id)
    asking = sdk.v1.refunds.retrieve(refund.id)
    assert asking.status == "requires_action" and asking.next_action is not None
    assert sdk.v1.refunds.cancel(refund.id).status == "canceled"
    assert sdk.v1.charges.retrieve(str(refund.charge)).amount_refunded == 0


def test_events_are_kept_for_thirty_days(sandbox: SandboxServer) -> None:
    """Source: https://docs.stripe.com/api/events."""
    sdk = sandbox.client()
    paid(sandbox)
    old = sdk.v1.events.list().data[0]
    sandbox.control("advance", seconds=30 * 24 * 3600 + 60)
    assert sdk.v1.events.list().data == []
    with pytest.raises(InvalidRequestError):
        sdk.v1.events.retrieve(old.id)


def test_live_mode_takes_live_keys_and_marks_its_objects(sandbox: SandboxServer) -> None:
    """Source: https://docs.stripe.com/keys#test-live-modes."""
    sandbox.control("mode", live=True)
    sdk = sandbox.client("sk_live_" + "abc")
    session = sdk.v1.checkout.sessions.create(session_params())
    assert session.id.startswith("cs_live_") and session.livemode
    sandbox.pay(session.url or "")
    assert all(event.livemode for event in sdk.v1.events.list())
    assert sdk.v1.balance.retrieve().livemode
