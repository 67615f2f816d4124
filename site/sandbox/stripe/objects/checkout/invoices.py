"""Invoices of paid sessions.

Source: https://docs.stripe.com/payments/checkout/receipts#paid-invoices and stripe/_invoice.py of
the SDK, of which they carry every field that must be there.
"""

from typing import Any, Final

from sandbox.stripe import ids, pagination
from sandbox.stripe.objects import events
from sandbox.stripe.parameters import Choice, Parameters, Text, TimeRange
from sandbox.stripe.store import StripeObject, Transaction

# Null in every invoice of the sandbox.
NULL_FIELDS: Final = (
    "account_country", "account_name", "account_tax_ids", "application",
    "automatically_finalizes_at", "custom_fields", "customer_account", "customer_phone",
    "customer_shipping", "customer_tax_exempt", "default_payment_method", "default_source",
    "description", "due_date", "effective_at", "ending_balance", "footer", "from_invoice",
    "last_finalization_error", "latest_revision", "next_payment_attempt", "on_behalf_of",
    "parent", "receipt_number", "rendering", "shipping_cost", "shipping_details",
    "statement_descriptor", "subtotal_excluding_tax", "test_clock", "total_pretax_credit_amounts",
    "webhooks_delivered_at",
)  # fmt: skip

LIST: Final = Parameters(
    {
        **pagination.PAGING,
        "created": TimeRange(),
        "customer": Text(),
        "status": Choice(("draft", "open", "paid", "uncollectible", "void")),
    },
    unsupported=("collection_method", "customer_account", "due_date", "subscription"),
)


def create_for(tx: Transaction, session: StripeObject) -> None:
    """Create the invoice of a session that was just paid, if it asks for one."""
    if not session["invoice_creation"]["enabled"] or session["invoice"]:
        return
    number = len(tx.newest("invoice", 10_000)) + 1
    invoice = _invoice(tx, session, f"SANDBOX-{number:04}")
    tx.add(invoice)
    session["invoice"] = invoice["id"]
    events.record(tx, "invoice.paid", invoice)


def index(tx: Transaction, given: dict[str, Any]) -> StripeObject:
    """Return invoices, newest first (https://docs.stripe.com/api/invoices/list)."""
    where = {f"$.{name}": given[name] for name in ("customer", "status") if name in given}
    return pagination.page(tx, "invoice", "/v1/invoices", given, where=where)


def retrieve(tx: Transaction, id: str, _given: dict[str, Any]) -> StripeObject:  # noqa: A002
    """Return an invoice."""
    return tx.require("invoice", id, "invoice")


def _invoice(tx: Transaction, session: StripeObject, number: str) -> StripeObject:
    id, buyer = ids.new("in_1", 22), session["customer_details"]  # noqa: A001
    details, paid = session["total_details"], session["amount_total"]
    items = tx.hidden(session["id"])["line_items"]
    page = f"{tx.url}/pay/invoices/{id}"
    return {
        **dict.fromkeys(NULL_FIELDS),
        "id": id,
        "object": "invoice",
        "amount_due": paid,
        "amount_overpaid": 0,
        "amount_paid": paid,
        "amount_remaining": 0,
        "amount_shipping": 0,
        "attempt_count": 1,
        "attempted": True,
        "auto_advance": False,
        "automatic_tax": {
            **session["automatic_tax"],
            "disabled_reason": None,
        },
        "billing_reason": "manual",
        "collection_method": "charge_automatically",
        "created": tx.now,
        "currency": session["currency"],
        "customer": session["customer"],
        "customer_address": buyer["address"],
        "customer_email": buyer["email"],
        "customer_name": buyer["name"],
        "customer_tax_ids": buyer["tax_ids"],
        "default_tax_rates": [],
        "discounts": [],
        "hosted_invoice_url": page,
        "invoice_pdf": page,  # the sandbox makes no PDF: the page can be printed
        "issuer": {"type": "self"},
        "lines": {
            "object": "list",
            "data": [_line(item, id, tx) for item in items],
            "has_more": False,
            "url": f"/v1/invoices/{id}/lines",
        },
        "livemode": False,
        "metadata": session["metadata"],
        "number": number,
        "payment_settings": {},
        "period_end": tx.now,
        "period_start": tx.now,
        "post_payment_credit_notes_amount": 0,
        "pre_payment_credit_notes_amount": 0,
        "starting_balance": 0,
        "status": "paid",
        "status_transitions": {"finalized_at": tx.now, "paid_at": tx.now},
        "subtotal": session["amount_subtotal"],
        "total": paid,
        "total_discount_amounts": [],
        "total_excluding_tax": paid - details["amount_tax"],
        "total_taxes": [],
    }


def _line(item: StripeObject, invoice: str, tx: Transaction) -> StripeObject:
    return {
        "id": ids.new("il_1", 22),
        "object": "line_item",
        "amount": item["amount_subtotal"],
        "currency": item["currency"],
        "description": item["description"],
        "discountable": True,
        "discounts": [],
        "invoice": invoice,
        "livemode": tx.live,
        "metadata": {},
        "period": {"end": tx.now, "start": tx.now},
        "quantity": item["quantity"],
        "subtotal": item["amount_subtotal"],
    }
