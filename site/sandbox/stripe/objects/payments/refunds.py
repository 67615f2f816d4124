"""Refunds: created by the API or, as in the dashboard, on the control page.

Source: https://docs.stripe.com/refunds and stripe/_refund.py of the SDK.
"""

from typing import Any, Final

from sandbox.stripe import currencies, ids, pagination
from sandbox.stripe.errors import ApiError, invalid_state, mutually_exclusive
from sandbox.stripe.objects import events
from sandbox.stripe.parameters import (
    Array,
    Boolean,
    Choice,
    Integer,
    Metadata,
    Parameters,
    Text,
    TimeRange,
)
from sandbox.stripe.store import StripeObject, Transaction

CREATE: Final = Parameters(
    {
        "amount": Integer(minimum=1),
        "charge": Text(),
        "payment_intent": Text(),
        "reason": Choice(("duplicate", "fraudulent", "requested_by_customer")),
        "metadata": Metadata(),
        "instructions_email": Text(),
        "refund_application_fee": Boolean(unsupported_when_true=True),
        "reverse_transfer": Boolean(unsupported_when_true=True),
        "expand": Array(Text()),
    },
    unsupported=("currency", "customer", "origin"),
)
LIST: Final = Parameters(
    {**pagination.PAGING, "charge": Text(), "payment_intent": Text(), "created": TimeRange()}
)
# Of a bank debit's refund, and of the test cards in https://docs.stripe.com/testing#refunds; other
# cards are refunded at once.
PROCESSING_SECONDS: Final = 20
ACTION_SECONDS: Final = 45 * 24 * 3600  # for the buyer to give a bank account


def create(tx: Transaction, given: dict[str, Any]) -> StripeObject:
    """Refund a charge or a part of it. Raises ApiError for more than is left."""
    charge = _charge(tx, given)
    remaining = charge["amount"] - charge["amount_refunded"]
    if remaining <= 0:
        raise invalid_state(
            f"Charge {charge['id']} has already been refunded.", code="charge_already_refunded"
        )
    if charge["disputed"] and not _refundable(tx, charge):
        # https://docs.stripe.com/error-codes#charge-disputed
        raise invalid_state(f"Charge {charge['id']} has been charged back.", code="charge_disputed")
    if not charge["paid"]:
        raise invalid_state(f"Charge {charge['id']} cannot be refunded: it is {charge['status']}.")
    amount: int = given.get("amount", remaining)
    _check_amount(amount, remaining, charge)
    outcome = tx.hidden(charge["id"]).get("outcome")
    by_card = charge["payment_method_details"]["type"] == "card"
    at_once = by_card and outcome != "refunded_later"
    refund = _refund_object(charge, given, amount, tx.now, "succeeded" if at_once else "pending")
    tx.add(refund)
    if not at_once:
        tx.schedule("refund", refund["id"], tx.time + PROCESSING_SECONDS)
    elif outcome == "refund_fails":
        tx.schedule("fail_refund", refund["id"], tx.time + PROCESSING_SECONDS)
    events.record(tx, "refund.created", refund)
    _add_to_charge(tx, charge, amount)
    return refund


def retrieve(tx: Transaction, id: str, _given: dict[str, Any]) -> StripeObject:  # noqa: A002
    """Return a refund."""
    return tx.require("refund", id, "refund")


def index(tx: Transaction, given: dict[str, Any]) -> StripeObject:
    """Return refunds, newest first, filtered by charge or payment intent."""
    where = {f"$.{name}": given[name] for name in ("charge", "payment_intent") if name in given}
    return pagination.page(tx, "refund", "/v1/refunds", given, where=where)


def succeed(tx: Transaction, id: str) -> None:  # noqa: A002
    """Complete a pending refund. Raises ApiError when it is not pending."""
    refund = _in_state(tx, id, "pending", "requires_action")
    tx.unschedule("refund", id)
    _update(tx, refund, status="succeeded", pending_reason=None, next_action=None)


def require_action(tx: Transaction, id: str) -> None:  # noqa: A002
    """Let a pending refund wait for the buyer, who was emailed for a bank account.

    https://docs.stripe.com/refunds#requires-action
    """
    refund = _in_state(tx, id, "pending")
    tx.unschedule("refund", id)
    sent = {"email_sent_at": tx.now, "email_sent_to": "buyer@example.com"}
    details = {"email_sent": sent, "expires_at": tx.now + ACTION_SECONDS}
    action = {"type": "display_details", "display_details": details}
    _update(tx, refund, status="requires_action", pending_reason=None, next_action=action)


def cancel(tx: Transaction, id: str, _given: dict[str, Any]) -> StripeObject:  # noqa: A002
    """Cancel a refund that requires action by the buyer; no other can be canceled.

    https://docs.stripe.com/api/refunds/cancel
    """
    refund = _in_state(tx, id, "requires_action")
    _restore_charge(tx, refund)
    _update(tx, refund, status="canceled", next_action=None, **_failure_transaction())
    return refund


def fail(tx: Transaction, id: str) -> None:  # noqa: A002
    """Fail a refund, even one that succeeded days ago.

    The money is back with the merchant, and the charge no longer counts as refunded
    (https://docs.stripe.com/refunds#failed-refunds).
    """
    refund = _in_state(tx, id, "pending", "requires_action", "succeeded")
    for schedule in ("refund", "fail_refund"):
        tx.unschedule(schedule, id)
    _restore_charge(tx, refund)
    changes = {"status": "failed", "pending_reason": None, "next_action": None}
    _update(tx, refund, **changes, failure_reason="unknown", **_failure_transaction())
    events.record(tx, "refund.failed", refund)


def _in_state(tx: Transaction, id: str, *states: str) -> StripeObject:  # noqa: A002
    refund = retrieve(tx, id, {})
    if refund["status"] not in states:
        raise invalid_state(f"This refund is {refund['status']}, not {' or '.join(states)}.")
    return refund


def _refundable(tx: Transaction, charge: StripeObject) -> bool:
    found = tx.newest("dispute", 1, where={"$.charge": charge["id"]})
    return all(dispute["is_charge_refundable"] for dispute in found)


def _failure_transaction() -> StripeObject:
    return {"failure_balance_transaction": ids.new("txn_3", 23)}


def _restore_charge(tx: Transaction, refund: StripeObject) -> None:
    charge = tx.get("charge", refund["charge"])
    charge.update(amount_refunded=charge["amount_refunded"] - refund["amount"], refunded=False)
    tx.update(charge)


def _charge(tx: Transaction, given: dict[str, Any]) -> StripeObject:
    if "charge" in given and "payment_intent" in given:
        raise mutually_exclusive("charge", "payment_intent")
    if "charge" in given:
        return tx.require("charge", given["charge"], "charge", status=400)
    if "payment_intent" not in given:
        raise ApiError(
            "One of the following params should be provided for this request: "
            "payment_intent or charge.",
            code="parameter_missing",
            param="payment_intent",
        )
    intent = tx.require("payment_intent", given["payment_intent"], "payment_intent", status=400)
    if intent["status"] != "succeeded":
        raise invalid_state(
            f"This PaymentIntent ({intent['id']}) does not have a successful charge to refund."
        )
    return tx.get("charge", intent["latest_charge"])


def _check_amount(amount: int, remaining: int, charge: StripeObject) -> None:
    currency = charge["currency"]
    if amount > remaining:
        whole = remaining == charge["amount"]
        maximum = "charge amount" if whole else "unrefunded amount on charge"
        raise ApiError(
            f"Refund amount ({currencies.formatted(amount, currency)}) is greater than {maximum} "
            f"({currencies.formatted(remaining, currency)})",
            param="amount",
        )
    if currency in currencies.THREE_DECIMAL and amount % 10:
        raise ApiError(
            f"Amounts in {currency} must be multiples of 10, the last digit 0.",
            code="parameter_invalid_integer",
            param="amount",
        )


def _add_to_charge(tx: Transaction, charge: StripeObject, amount: int) -> None:
    before = {name: charge[name] for name in ("amount_refunded", "refunded")}
    refunded = charge["amount_refunded"] + amount
    charge.update(amount_refunded=refunded, refunded=refunded == charge["amount"])
    tx.update(charge)
    changed = {name: value for name, value in before.items() if charge[name] != value}
    events.record(tx, "charge.refunded", charge, changed)


def _update(tx: Transaction, refund: StripeObject, **changes: Any) -> None:
    before = {name: refund[name] for name, value in changes.items() if refund[name] != value}
    refund.update(changes)
    tx.update(refund)
    for kind in ("charge.refund.updated", "refund.updated"):  # Stripe sends both
        events.record(tx, kind, refund, before)


def _refund_object(
    charge: StripeObject, given: dict[str, Any], amount: int, now: int, status: str
) -> StripeObject:
    kind = charge["payment_method_details"]["type"]
    card = {"reference_status": "pending", "reference_type": "acquirer_reference_number"}
    destination: StripeObject = {"type": kind}
    if kind == "card":
        destination["card"] = {**card, "type": "refund"}
    return {
        "id": ids.new("re_3" if kind == "card" else "pyr_1", 23),
        "object": "refund",
        "amount": amount,
        "balance_transaction": ids.new("txn_3", 23),
        "charge": charge["id"],
        "created": now,
        "currency": charge["currency"],
        "customer": charge["customer"],
        "customer_account": None,
        "description": None,
        "destination_details": destination,
        "failure_balance_transaction": None,
        "failure_reason": None,
        "instructions_email": given.get("instructions_email"),
        "metadata": given.get("metadata", {}),
        "next_action": None,
        "payment_intent": charge["payment_intent"],
        "payment_method": charge["payment_method"],
        "pending_reason": "processing" if status == "pending" else None,
        "presentment_details": None,
        "reason": given.get("reason"),
        "receipt_number": None,
        "source_transfer_reversal": None,
        "status": status,
        "transfer_reversal": None,
    }
