"""Serialization: objects are stored with all fields; Stripe omits some of the unset ones.

Source: the response types of Stripe's SDK for Node, version 23.1.0, which mark them with "?".
"""

from typing import Any, Final

# By object and path inside it; only fields that can be null in the sandbox's objects.
OMITTED_WHEN_UNSET: Final[dict[str, frozenset[str]]] = {
    "checkout.session": frozenset(
        {
            "branding_settings", "excluded_payment_method_types", "line_items", "name_collection",
            "optional_items", "phone_number_collection", "presentment_details",
            "redirect_on_completion", "return_url", "tax_id_collection",
        }
    ),
    "checkout.session.automatic_tax.liability": frozenset({"account"}),
    "checkout.session.branding_settings.icon": frozenset({"file", "url"}),
    "payment_intent": frozenset(
        {"amount_details", "hooks", "payment_details", "presentment_details", "transfer_data"}
    ),
    "charge": frozenset(
        {
            "authorization_code", "level3", "presentment_details", "radar_options", "refunds",
            "transfer",
        }
    ),
    "charge.outcome": frozenset({"risk_level", "risk_score", "rule"}),
    "refund": frozenset(
        {
            "description", "destination_details", "failure_balance_transaction", "failure_reason",
            "instructions_email", "next_action", "pending_reason", "presentment_details",
        }
    ),
    "dispute": frozenset({"network_reason_code", "payment_method_details"}),
    "dispute.evidence": frozenset({"appeal"}),
    "invoice": frozenset(
        {
            "amount_paid_off_stripe", "auto_advance", "confirmation_secret", "customer_tax_ids",
            "hosted_invoice_url", "invoice_pdf", "payments", "status_details", "threshold_reason",
        }
    ),
    "invoice.automatic_tax.liability": frozenset({"account"}),
    "balance": frozenset(
        {
            "connect_reserved", "instant_available", "issuing", "refund_and_dispute_prefunding",
        }
    ),
}  # fmt: skip


def serialized(obj: Any, path: str = "") -> Any:
    """Return an object, or a list of objects, without the unset fields that Stripe omits."""
    if isinstance(obj, list):
        return [serialized(one, path) for one in obj]
    if not isinstance(obj, dict):
        return obj
    path = str(obj.get("object") or path) if "object" in obj else path
    omitted = OMITTED_WHEN_UNSET.get(path, frozenset())
    return {
        name: serialized(value, f"{path}.{name}")
        for name, value in obj.items()
        if value is not None or name not in omitted
    }
