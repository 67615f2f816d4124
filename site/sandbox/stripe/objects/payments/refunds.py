"""Refunds: made through the API or, as from the dashboard, on the control page.

Source: https://docs.stripe.com/refunds and stripe/_refund.py of the SDK.
"""

from typing import Any, Final

from sandbox.stripe import currencies, ids, pagination
from sandbox.stripe.errors import Refusal, exclusive, state
from sandbox.stripe.objects import events
from sandbox.stripe.parameters import Array, Choice, Flag, Integer, Interval, Metadata, Shape, Text
from sandbox.stripe.store import Books, Thing

CREATE: Final = Shape(
    {
        "amount": Integer(least=1),
        "charge": Text(),
        "payment_intent": Text(),
        "reason": Choice(("duplicate", "fraudulent", "requested_by_customer")),
        "metadata": Metadata(),
        "instructions_email": Text(),
        "refund_application_fee": Flag(beyond_when_on=True),
        "reverse_transfer": Flag(beyond_when_on=True),
        "expand": Array(Text()),
    },
    beyond=("currency", "customer", "origin"),
)
LIST: Final = Shape(
    {**pagination.PAGING, "charge": Text(), "payment_intent": Text(), "created": Interval()}
)
# Until a bank returned a debit; cards are refunded at once, but for those of
# https://docs.stripe.com/testing#refunds
BANK_SECONDS: Final = 20
ASK_SECONDS: Final = 45 * 24 * 3600  # in which a buyer tells where the money goes


def create(books: Books, given: dict[str, Any]) -> Thing:
    """Refund a charge, whole or in part. Raises Refusal for more than is left of it."""
    charge = _charge(books, given)
    left = charge["amount"] - charge["amount_refunded"]
    if left <= 0:
        raise state(
            f"Charge {charge['id']} has already been refunded.", code="charge_already_refunded"
        )
    if charge["disputed"] and not _refundable(books, charge):
        # https://docs.stripe.com/error-codes#charge-disputed
        raise state(f"Charge {charge['id']} has been charged back.", code="charge_disputed")
    if not charge["paid"]:
        raise state(f"Charge {charge['id']} cannot be refunded: it is {charge['status']}.")
    amount: int = given.get("amount", left)
    _check(amount, left, charge)
    outcome = books.hidden(charge["id"]).get("outcome")
    by_card = charge["payment_method_details"]["type"] == "card"
    at_once = by_card and outcome != "refunded_later"
    refund = _refund(charge, given, amount, books.now, "succeeded" if at_once else "pending")
    books.add(refund)
    if not at_once:
        books.plan("refund", refund["id"], books.time + BANK_SECONDS)
    elif outcome == "refund_fails":
        books.plan("fail_refund", refund["id"], books.time + BANK_SECONDS)
    events.record(books, "refund.created", refund)
    _count(books, charge, amount)
    return refund


def retrieve(books: Books, id: str, _given: dict[str, Any]) -> Thing:  # noqa: A002
    """Return a refund."""
    return books.require("refund", id, "refund")


def index(books: Books, given: dict[str, Any]) -> Thing:
    """Return refunds, newest first, those of a charge or an intent when asked."""
    where = {f"$.{name}": given[name] for name in ("charge", "payment_intent") if name in given}
    return pagination.page(books, "refund", "/v1/refunds", given, where=where)


def succeed(books: Books, id: str) -> None:  # noqa: A002
    """Have the bank take back a debit. Raises Refusal when it is not pending."""
    refund = _in_state(books, id, "pending", "requires_action")
    books.unplan("refund", id)
    _update(books, refund, status="succeeded", pending_reason=None, next_action=None)


def ask(books: Books, id: str) -> None:  # noqa: A002
    """Have a pending refund wait for the buyer, who was mailed where to tell an account.

    https://docs.stripe.com/refunds#requires-action
    """
    refund = _in_state(books, id, "pending")
    books.unplan("refund", id)
    sent = {"email_sent_at": books.now, "email_sent_to": "buyer@example.com"}
    details = {"email_sent": sent, "expires_at": books.now + ASK_SECONDS}
    action = {"type": "display_details", "display_details": details}
    _update(books, refund, status="requires_action", pending_reason=None, next_action=action)


def cancel(books: Books, id: str, _given: dict[str, Any]) -> Thing:  # noqa: A002
    """Take back a refund that waits for the buyer; no other can be taken back.

    https://docs.stripe.com/api/refunds/cancel
    """
    refund = _in_state(books, id, "requires_action")
    _uncount(books, refund)
    _update(books, refund, status="canceled", next_action=None, **_returned())
    return refund


def fail(books: Books, id: str) -> None:  # noqa: A002
    """Have the bank return a refund, even days after it counted as done.

    The money is back with the merchant, and the charge no longer counts as refunded
    (https://docs.stripe.com/refunds#failed-refunds).
    """
    refund = _in_state(books, id, "pending", "requires_action", "succeeded")
    for plan in ("refund", "fail_refund"):
        books.unplan(plan, id)
    _uncount(books, refund)
    changes = {"status": "failed", "pending_reason": None, "next_action": None}
    _update(books, refund, **changes, failure_reason="unknown", **_returned())
    events.record(books, "refund.failed", refund)


def _in_state(books: Books, id: str, *states: str) -> Thing:  # noqa: A002
    refund = retrieve(books, id, {})
    if refund["status"] not in states:
        raise state(f"This refund is {refund['status']}, not {' or '.join(states)}.")
    return refund


def _refundable(books: Books, charge: Thing) -> bool:
    found = books.newest("dispute", 1, where={"$.charge": charge["id"]})
    return all(dispute["is_charge_refundable"] for dispute in found)


def _returned() -> Thing:
    return {"failure_balance_transaction": ids.new("txn_3", 23)}


def _uncount(books: Books, refund: Thing) -> None:
    charge = books.get("charge", refund["charge"])
    charge.update(amount_refunded=charge["amount_refunded"] - refund["amount"], refunded=False)
    books.update(charge)


def _charge(books: Books, given: dict[str, Any]) -> Thing:
    if "charge" in given and "payment_intent" in given:
        raise exclusive("charge", "payment_intent")
    if "charge" in given:
        return books.require("charge", given["charge"], "charge", status=400)
    if "payment_intent" not in given:
        raise Refusal(
            "One of the following params should be provided for this request: "
            "payment_intent or charge.",
            code="parameter_missing",
            param="payment_intent",
        )
    intent = books.require("payment_intent", given["payment_intent"], "payment_intent", status=400)
    if intent["status"] != "succeeded":
        raise state(
            f"This PaymentIntent ({intent['id']}) does not have a successful charge to refund."
        )
    return books.get("charge", intent["latest_charge"])


def _check(amount: int, left: int, charge: Thing) -> None:
    currency = charge["currency"]
    if amount > left:
        whole = left == charge["amount"]
        most = "charge amount" if whole else "unrefunded amount on charge"
        raise Refusal(
            f"Refund amount ({currencies.shown(amount, currency)}) is greater than {most} "
            f"({currencies.shown(left, currency)})",
            param="amount",
        )
    if currency in currencies.THREE_DECIMAL and amount % 10:
        raise Refusal(
            f"Amounts in {currency} must be multiples of 10, the last digit 0.",
            code="parameter_invalid_integer",
            param="amount",
        )


def _count(books: Books, charge: Thing, amount: int) -> None:
    before = {name: charge[name] for name in ("amount_refunded", "refunded")}
    refunded = charge["amount_refunded"] + amount
    charge.update(amount_refunded=refunded, refunded=refunded == charge["amount"])
    books.update(charge)
    changed = {name: value for name, value in before.items() if charge[name] != value}
    events.record(books, "charge.refunded", charge, changed)


def _update(books: Books, refund: Thing, **changes: Any) -> None:
    before = {name: refund[name] for name, value in changes.items() if refund[name] != value}
    refund.update(changes)
    books.update(refund)
    for kind in ("charge.refund.updated", "refund.updated"):  # Stripe sends both
        events.record(books, kind, refund, before)


def _refund(charge: Thing, given: dict[str, Any], amount: int, now: int, status: str) -> Thing:
    kind = charge["payment_method_details"]["type"]
    card = {"reference_status": "pending", "reference_type": "acquirer_reference_number"}
    destination: Thing = {"type": kind}
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
