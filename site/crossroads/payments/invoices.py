"""Invoices that Stripe writes for what was paid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from crossroads.payments.connection import expect

if TYPE_CHECKING:
    import stripe


@dataclass(frozen=True, kw_only=True)
class Invoice:
    """An invoice: its number, and where the buyer reads and downloads it.

    https://docs.stripe.com/payments/checkout/receipts#paid-invoices
    """

    id: str
    number: str | None
    page: str | None
    pdf: str | None


def invoice(found: stripe.Invoice) -> Invoice:
    """Copy what we need out of Stripe's object. Raises whatever a wrong object makes it raise."""
    expect(found, "invoice")
    return Invoice(
        id=found.id,
        number=found.number,
        page=found.hosted_invoice_url,
        pdf=found.invoice_pdf,
    )
