"""Invoices that Stripe creates for payments."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from crossroads.payments.fields import fields

if TYPE_CHECKING:
    import stripe


@dataclass(frozen=True, kw_only=True)
class Invoice:
    """An invoice: its number, and the URLs of its page and its PDF.

    https://docs.stripe.com/payments/checkout/receipts#paid-invoices
    """

    id: str
    number: str | None
    page: str | None
    pdf: str | None


def invoice(found: stripe.Invoice) -> Invoice:
    """Convert Stripe's object. Raises NotUnderstood."""
    read = fields(found, "invoice")
    return Invoice(
        id=read.text("id"),
        number=read.maybe_text("number"),
        page=read.maybe_text("hosted_invoice_url"),
        pdf=read.maybe_text("invoice_pdf"),
    )
