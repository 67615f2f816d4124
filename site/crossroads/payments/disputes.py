"""Disputes: a cardholder contests a payment, and the bank holds the money until it decides."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Literal, cast

from crossroads.payments.fields import fields

if TYPE_CHECKING:
    import stripe

# https://docs.stripe.com/api/disputes/object#dispute_object-status
Status = Literal[
    "appeal_needs_response",
    "appeal_under_review",
    "lost",
    "needs_response",
    "prevented",
    "under_review",
    "warning_closed",
    "warning_needs_response",
    "warning_under_review",
    "won",
]


@dataclass(frozen=True, kw_only=True)
class Dispute:
    """A disputed payment. `due_by` is the deadline for evidence; None when none is wanted.

    An inquiry (`warning_…`) takes no money. https://docs.stripe.com/disputes/how-disputes-work
    """

    id: str
    payment_intent: str | None
    charge: str
    amount: int
    currency: str
    status: Status
    reason: str
    due_by: datetime | None
    created_at: datetime

    @property
    def inquiry(self) -> bool:
        """Whether it is an inquiry: the bank asks, and withdraws no money."""
        return self.status.startswith("warning_") or self.status == "prevented"

    @property
    def open(self) -> bool:
        """Whether it is undecided."""
        return self.status.endswith(("needs_response", "under_review"))


def dispute(found: stripe.Dispute) -> Dispute:
    """Convert Stripe's object. Raises NotUnderstood."""
    read = fields(found, "dispute")
    charge = read.link("charge")
    if charge is None:
        raise read.fault("charge")
    return Dispute(
        id=read.text("id"),
        payment_intent=read.link("payment_intent"),
        charge=charge,
        amount=read.number("amount"),
        currency=read.text("currency").upper(),
        status=cast(Status, read.text("status")),
        reason=read.text("reason"),
        due_by=read.inner("evidence_details").maybe_time("due_by"),
        created_at=read.time("created"),
    )
