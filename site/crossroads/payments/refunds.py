"""Refunds and the charges they come out of, as Stripe has them now."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal, cast

from crossroads.payments.connection import expect, id_of

if TYPE_CHECKING:
    import stripe

REFERENCE = "refund"  # the name in Stripe's metadata of what we call a refund

# https://docs.stripe.com/api/refunds/object#refund_object-status
Status = Literal["pending", "requires_action", "succeeded", "failed", "canceled"]


@dataclass(frozen=True, kw_only=True)
class Refund:
    """Money on its way back to a buyer. `reference` is ours; one from the dashboard has none.

    A refund may fail days after it succeeded: `failure_reason` then says why, and the money is
    back with us. https://docs.stripe.com/refunds#failed-refunds
    """

    id: str
    reference: str | None
    payment_intent: str | None
    amount: int
    currency: str
    status: Status
    failure_reason: str | None
    created_at: datetime

    @property
    def counts(self) -> bool:
        """Tell whether the money is with the buyer or on its way there."""
        return self.status not in ("failed", "canceled")


@dataclass(frozen=True, kw_only=True)
class Charge:
    """A try to take a payment, with what went back of it so far."""

    id: str
    payment_intent: str | None
    amount: int
    amount_refunded: int
    currency: str
    paid: bool
    disputed: bool
    created_at: datetime


def refund(found: stripe.Refund) -> Refund:
    """Copy what we need out of Stripe's object. Raises whatever a wrong object makes it raise."""
    expect(found, "refund")
    notes = found.metadata
    return Refund(
        id=found.id,
        reference=notes[REFERENCE] if notes and REFERENCE in notes else None,
        payment_intent=id_of(found.payment_intent),
        amount=found.amount,
        currency=found.currency.upper(),
        status=cast(Status, found.status or "pending"),
        failure_reason=found.failure_reason,
        created_at=datetime.fromtimestamp(found.created, UTC),
    )


def charge(found: stripe.Charge) -> Charge:
    """Copy what we need out of Stripe's object. Raises whatever a wrong object makes it raise."""
    expect(found, "charge")
    return Charge(
        id=found.id,
        payment_intent=id_of(found.payment_intent),
        amount=found.amount,
        amount_refunded=found.amount_refunded,
        currency=found.currency.upper(),
        paid=found.paid,
        disputed=found.disputed,
        created_at=datetime.fromtimestamp(found.created, UTC),
    )
