"""Refunds and their charges, as Stripe returns them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Literal, cast

from crossroads.payments.fields import fields

if TYPE_CHECKING:
    import stripe

REFERENCE = "refund"  # metadata key: our reference of the refund

# https://docs.stripe.com/api/refunds/object#refund_object-status
Status = Literal["pending", "requires_action", "succeeded", "failed", "canceled"]


@dataclass(frozen=True, kw_only=True)
class Refund:
    """A refund at Stripe. `reference` is our own; a refund from the dashboard has none.

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
    """An attempt to take a payment, and the amount refunded so far."""

    id: str
    payment_intent: str | None
    amount: int
    amount_refunded: int
    currency: str
    paid: bool
    disputed: bool
    created_at: datetime


def refund(found: stripe.Refund) -> Refund:
    """Convert Stripe's object. Raises NotUnderstood."""
    read = fields(found, "refund")
    notes = read.maybe_inner("metadata")
    return Refund(
        id=read.text("id"),
        reference=notes.maybe_text(REFERENCE) if notes else None,
        payment_intent=read.link("payment_intent"),
        amount=read.number("amount"),
        currency=read.text("currency").upper(),
        status=cast(Status, read.maybe_text("status") or "pending"),
        failure_reason=read.maybe_text("failure_reason"),
        created_at=read.time("created"),
    )


def charge(found: stripe.Charge) -> Charge:
    """Convert Stripe's object. Raises NotUnderstood."""
    read = fields(found, "charge")
    return Charge(
        id=read.text("id"),
        payment_intent=read.link("payment_intent"),
        amount=read.number("amount"),
        amount_refunded=read.number("amount_refunded"),
        currency=read.text("currency").upper(),
        paid=read.flag("paid"),
        disputed=read.flag("disputed"),
        created_at=read.time("created"),
    )
