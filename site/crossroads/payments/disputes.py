"""Disputes: a bank takes a payment back on its cardholder's word, until it has decided."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal, cast

from crossroads.payments.connection import expect, id_of

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
    """A payment in doubt. `due_by` is when Stripe wants our evidence; None when it wants none.

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
        """Tell whether the bank only asks, with no money taken."""
        return self.status.startswith("warning_") or self.status == "prevented"

    @property
    def open(self) -> bool:
        """Tell whether it is undecided."""
        return self.status.endswith(("needs_response", "under_review"))


def dispute(found: stripe.Dispute) -> Dispute:
    """Copy what we need out of Stripe's object. Raises whatever a wrong object makes it raise."""
    expect(found, "dispute")
    due = found.evidence_details.due_by
    return Dispute(
        id=found.id,
        payment_intent=id_of(found.payment_intent),
        charge=id_of(found.charge) or "",
        amount=found.amount,
        currency=found.currency.upper(),
        status=cast(Status, found.status),
        reason=found.reason,
        due_by=datetime.fromtimestamp(due, UTC) if due else None,
        created_at=datetime.fromtimestamp(found.created, UTC),
    )
