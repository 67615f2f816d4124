"""Disputes: a bank withdraws a payment, asks for evidence, and decides.

Source: https://docs.stripe.com/disputes/how-disputes-work, https://docs.stripe.com/testing#disputes
and stripe/_dispute.py of the SDK.
"""

from typing import Any, Final

from sandbox.stripe import pagination
from sandbox.stripe.errors import invalid_state
from sandbox.stripe.objects import events
from sandbox.stripe.objects.payments.dispute_object import FEE, balance_transaction, dispute_object
from sandbox.stripe.parameters import Boolean, Choice, Integer, Parameters, Text, TimeRange
from sandbox.stripe.store import StripeObject, Transaction

LIST: Final = Parameters(
    {**pagination.PAGING, "charge": Text(), "payment_intent": Text(), "created": TimeRange()}
)
# https://docs.stripe.com/disputes/categories
REASONS: Final = (
    "credit_not_processed", "duplicate", "fraudulent", "general", "product_not_received",
    "product_unacceptable", "subscription_canceled", "unrecognized",
)  # fmt: skip
OPEN: Final = Parameters(
    {
        "id": Text(),
        "amount": Integer(minimum=1),
        "reason": Choice(REASONS),
        "inquiry": Boolean(),
    },
    required=("id",),
)


def open_dispute(tx: Transaction, given: dict[str, Any]) -> StripeObject:
    """Open a dispute of a charge or a part of it; an inquiry withdraws no money.

    Raises ApiError for a charge that is not paid or has an undecided dispute.
    """
    charge = tx.require("charge", given["id"], "id")
    before = tx.newest("dispute", 1, where={"$.charge": charge["id"]})
    if not charge["paid"] or any(_is_undecided(one) for one in before):
        raise invalid_state(
            f"Charge {charge['id']} cannot be disputed: it is not paid, or is disputed."
        )
    amount = min(given.get("amount", charge["amount"]), charge["amount"])
    inquiry: bool = given.get("inquiry", False)
    dispute = dispute_object(
        charge, amount, given.get("reason", "fraudulent"), inquiry=inquiry, now=tx.now
    )
    tx.unschedule("dispute", charge["id"])
    tx.add(dispute)
    charge["disputed"] = True
    tx.update(charge)
    events.record(tx, "charge.dispute.created", dispute)
    if not inquiry:
        events.record(tx, "charge.dispute.funds_withdrawn", dispute)
    return dispute


def retrieve(tx: Transaction, id: str, _given: dict[str, Any]) -> StripeObject:  # noqa: A002
    """Return a dispute."""
    return tx.require("dispute", id, "dispute")


def index(tx: Transaction, given: dict[str, Any]) -> StripeObject:
    """Return disputes, newest first, filtered by charge or payment intent."""
    where = {f"$.{name}": given[name] for name in ("charge", "payment_intent") if name in given}
    return pagination.page(tx, "dispute", "/v1/disputes", given, where=where)


def respond(tx: Transaction, id: str) -> None:  # noqa: A002
    """Submit evidence, as in the dashboard: the dispute is under review."""
    dispute = _undecided_dispute(tx, id)
    details = {**dispute["evidence_details"], "has_evidence": True, "submission_count": 1}
    details["submission_method"] = "manual"
    evidence = {**dispute["evidence"], "uncategorized_text": "winning_evidence"}
    status = dispute["status"].replace("needs_response", "under_review")
    _update(tx, dispute, status=status, evidence=evidence, evidence_details=details)


def win(tx: Transaction, id: str) -> None:  # noqa: A002
    """Decide for the merchant: the money is returned."""
    dispute = _undecided_dispute(tx, id)
    if dispute["status"].startswith("warning_"):
        _close(tx, dispute, "warning_closed")
        return
    back = balance_transaction(dispute, dispute["amount"], 0, tx.now)
    dispute["balance_transactions"].append(back)
    _close(tx, dispute, "won")
    events.record(tx, "charge.dispute.funds_reinstated", dispute)


def lose(tx: Transaction, id: str) -> None:  # noqa: A002
    """Decide for the cardholder: the money is lost. An inquiry becomes a dispute."""
    dispute = _undecided_dispute(tx, id)
    if dispute["status"].startswith("warning_"):
        fee = balance_transaction(dispute, -dispute["amount"], FEE, tx.now)
        card = {**dispute["payment_method_details"]["card"], "case_type": "chargeback"}
        _update(
            tx,
            dispute,
            status="needs_response",
            is_charge_refundable=False,
            balance_transactions=[fee],
            payment_method_details={"type": "card", "card": card},
        )
        events.record(tx, "charge.dispute.funds_withdrawn", dispute)
        return
    _close(tx, dispute, "lost")


def _undecided_dispute(tx: Transaction, id: str) -> StripeObject:  # noqa: A002
    dispute = retrieve(tx, id, {})
    if not _is_undecided(dispute):
        raise invalid_state(f"This dispute is {dispute['status']}: it is decided.")
    return dispute


def _is_undecided(dispute: StripeObject) -> bool:
    status: str = dispute["status"]
    return status.endswith(("needs_response", "under_review"))


def _update(tx: Transaction, dispute: StripeObject, **changes: Any) -> None:
    before = {name: dispute[name] for name in changes}
    dispute.update(changes)
    tx.update(dispute)
    events.record(tx, "charge.dispute.updated", dispute, before)


def _close(tx: Transaction, dispute: StripeObject, status: str) -> None:
    before = {"status": dispute["status"]}
    dispute["status"] = status
    tx.update(dispute)
    events.record(tx, "charge.dispute.closed", dispute, before)
