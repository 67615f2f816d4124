"""A dispute as the API shows it, with every field that the SDK declares (stripe/_dispute.py)."""

from typing import Final

from sandbox.stripe import ids
from sandbox.stripe.store import StripeObject

DAY: Final = 24 * 3600
RESPONSE_SECONDS: Final = (
    9 * DAY
)  # banks allow 7 to 21 days: https://docs.stripe.com/disputes/responding
FEE: Final = 1_500  # of the currency's smallest unit; Stripe's depends on the country
REASON_CODES: Final = {"fraudulent": "10.4", "product_not_received": "13.1", "duplicate": "12.6"}
EVIDENCE: Final = (
    "access_activity_log", "billing_address", "cancellation_policy",
    "cancellation_policy_disclosure", "cancellation_rebuttal", "customer_communication",
    "customer_email_address", "customer_name", "customer_purchase_ip", "customer_signature",
    "duplicate_charge_documentation", "duplicate_charge_explanation", "duplicate_charge_id",
    "product_description", "receipt", "refund_policy", "refund_policy_disclosure",
    "refund_refusal_explanation", "service_date", "service_documentation", "shipping_address",
    "shipping_carrier", "shipping_date", "shipping_documentation", "shipping_tracking_number",
    "uncategorized_file", "uncategorized_text",
)  # fmt: skip


def dispute_object(
    charge: StripeObject, amount: int, reason: str, *, inquiry: bool, now: int
) -> StripeObject:
    """Return a new dispute. Evidence is due at the end of a day."""
    due = (now + RESPONSE_SECONDS) // DAY * DAY + DAY - 1
    evidence: StripeObject = dict.fromkeys(EVIDENCE)
    code = REASON_CODES.get(reason, "13.7")
    dispute = {
        "id": ids.new("du_1", 22),
        "object": "dispute",
        "amount": amount,
        "balance_transactions": [],
        "charge": charge["id"],
        "created": now,
        "currency": charge["currency"],
        "enhanced_eligibility_types": [],
        "evidence": {**evidence, "appeal": None, "enhanced_evidence": {}},
        "evidence_details": {
            "due_by": due,
            "enhanced_eligibility": {},
            "has_evidence": False,
            "past_due": False,
            "submission_count": 0,
            "submission_method": "not_submitted",
        },
        "intended_submission_method": None,
        "is_charge_refundable": inquiry,
        "livemode": False,
        "metadata": {},
        "network_reason_code": code,
        "payment_intent": charge["payment_intent"],
        "payment_method_details": {
            "type": "card",
            "card": {
                "brand": charge["payment_method_details"].get("card", {}).get("brand", "visa"),
                "case_type": "inquiry" if inquiry else "chargeback",
                "network": "visa",
                "network_reason_code": code,
            },
        },
        "reason": reason,
        "status": "warning_needs_response" if inquiry else "needs_response",
    }
    if not inquiry:
        dispute["balance_transactions"] = [balance_transaction(dispute, -amount, FEE, now)]
    return dispute


def balance_transaction(dispute: StripeObject, amount: int, fee: int, now: int) -> StripeObject:
    """Return the balance transaction of a dispute (stripe/_balance_transaction.py)."""
    fees = [
        {
            "amount": fee,
            "application": None,
            "currency": dispute["currency"],
            "description": "Dispute fee",
            "type": "stripe_fee",
        }
    ]
    return {
        "id": ids.new("txn_1", 22),
        "object": "balance_transaction",
        "amount": amount,
        "available_on": now,
        "balance_type": "payments",
        "created": now,
        "currency": dispute["currency"],
        "description": f"Chargeback for {dispute['charge']}",
        "exchange_rate": None,
        "fee": fee,
        "fee_details": fees if fee else [],
        "net": amount - fee,
        "reporting_category": "dispute" if amount < 0 else "dispute_reversal",
        "source": dispute["id"],
        "status": "available",
        "type": "adjustment",
    }
