"""Disputes: a bank takes a payment back, asks for evidence, and decides.

Source: https://docs.stripe.com/disputes/how-disputes-work, https://docs.stripe.com/testing#disputes
and stripe/_dispute.py of the SDK.
"""

from typing import Any, Final

from sandbox.stripe import pagination
from sandbox.stripe.errors import state
from sandbox.stripe.objects import events
from sandbox.stripe.objects.payments.dispute_object import FEE, dispute_object, movement
from sandbox.stripe.parameters import Choice, Flag, Integer, Interval, Shape, Text
from sandbox.stripe.store import Books, Thing

LIST: Final = Shape(
    {**pagination.PAGING, "charge": Text(), "payment_intent": Text(), "created": Interval()}
)
# https://docs.stripe.com/disputes/categories
REASONS: Final = (
    "credit_not_processed", "duplicate", "fraudulent", "general", "product_not_received",
    "product_unacceptable", "subscription_canceled", "unrecognized",
)  # fmt: skip
OPEN: Final = Shape(
    {
        "id": Text(),
        "amount": Integer(least=1),
        "reason": Choice(REASONS),
        "inquiry": Flag(),
    },
    required=("id",),
)


def open_one(books: Books, given: dict[str, Any]) -> Thing:
    """Have a bank dispute a charge, whole or in part; an inquiry only asks and takes no money.

    Raises Refusal for a charge that is not paid, or is disputed already.
    """
    charge = books.require("charge", given["id"], "id")
    before = books.newest("dispute", 1, where={"$.charge": charge["id"]})
    if not charge["paid"] or any(_undecided(one) for one in before):
        raise state(f"Charge {charge['id']} cannot be disputed: it is not paid, or is disputed.")
    amount = min(given.get("amount", charge["amount"]), charge["amount"])
    inquiry: bool = given.get("inquiry", False)
    dispute = dispute_object(
        charge, amount, given.get("reason", "fraudulent"), inquiry=inquiry, now=books.now
    )
    books.unplan("dispute", charge["id"])
    books.add(dispute)
    charge["disputed"] = True
    books.update(charge)
    events.record(books, "charge.dispute.created", dispute)
    if not inquiry:
        events.record(books, "charge.dispute.funds_withdrawn", dispute)
    return dispute


def retrieve(books: Books, id: str, _given: dict[str, Any]) -> Thing:  # noqa: A002
    """Return a dispute."""
    return books.require("dispute", id, "dispute")


def index(books: Books, given: dict[str, Any]) -> Thing:
    """Return disputes, newest first, those of a charge or an intent when asked."""
    where = {f"$.{name}": given[name] for name in ("charge", "payment_intent") if name in given}
    return pagination.page(books, "dispute", "/v1/disputes", given, where=where)


def respond(books: Books, id: str) -> None:  # noqa: A002
    """Hand in evidence, as in the dashboard: the bank looks at it from now on."""
    dispute = _waiting(books, id)
    details = {**dispute["evidence_details"], "has_evidence": True, "submission_count": 1}
    details["submission_method"] = "manual"
    evidence = {**dispute["evidence"], "uncategorized_text": "winning_evidence"}
    status = dispute["status"].replace("needs_response", "under_review")
    _change(books, dispute, status=status, evidence=evidence, evidence_details=details)


def win(books: Books, id: str) -> None:  # noqa: A002
    """Have the bank decide for the merchant: what was taken comes back."""
    dispute = _waiting(books, id)
    if dispute["status"].startswith("warning_"):
        _close(books, dispute, "warning_closed")
        return
    back = movement(dispute, dispute["amount"], 0, books.now)
    dispute["balance_transactions"].append(back)
    _close(books, dispute, "won")
    events.record(books, "charge.dispute.funds_reinstated", dispute)


def lose(books: Books, id: str) -> None:  # noqa: A002
    """Have the bank decide for the cardholder: the money is gone. An inquiry becomes a dispute."""
    dispute = _waiting(books, id)
    if dispute["status"].startswith("warning_"):
        fee = movement(dispute, -dispute["amount"], FEE, books.now)
        card = {**dispute["payment_method_details"]["card"], "case_type": "chargeback"}
        _change(
            books,
            dispute,
            status="needs_response",
            is_charge_refundable=False,
            balance_transactions=[fee],
            payment_method_details={"type": "card", "card": card},
        )
        events.record(books, "charge.dispute.funds_withdrawn", dispute)
        return
    _close(books, dispute, "lost")


def _waiting(books: Books, id: str) -> Thing:  # noqa: A002
    dispute = retrieve(books, id, {})
    if not _undecided(dispute):
        raise state(f"This dispute is {dispute['status']}: it is decided.")
    return dispute


def _undecided(dispute: Thing) -> bool:
    status: str = dispute["status"]
    return status.endswith(("needs_response", "under_review"))


def _change(books: Books, dispute: Thing, **changes: Any) -> None:
    before = {name: dispute[name] for name in changes}
    dispute.update(changes)
    books.update(dispute)
    events.record(books, "charge.dispute.updated", dispute, before)


def _close(books: Books, dispute: Thing, status: str) -> None:
    before = {"status": dispute["status"]}
    dispute["status"] = status
    books.update(dispute)
    events.record(books, "charge.dispute.closed", dispute, before)
