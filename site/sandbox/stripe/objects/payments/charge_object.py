"""A charge as the API shows it, with every field that the SDK declares (stripe/_charge.py)."""

from sandbox.stripe import ids
from sandbox.stripe.objects.payments.cards import Card, Decline, Instrument
from sandbox.stripe.store import StripeObject


def charge_object(
    intent: StripeObject,
    instrument: Instrument,
    billing: StripeObject,
    *,
    url: str,
    now: int,
    status: str,
    why: Decline | None,
) -> StripeObject:
    """Return a new charge. `status` is succeeded, pending or failed; `why` is the decline."""
    paid = status == "succeeded"
    id = ids.new("ch_3" if isinstance(instrument, Card) else "py_3", 23)  # noqa: A001
    return {
        "id": id,
        "object": "charge",
        "amount": intent["amount"],
        "amount_captured": intent["amount"] if paid else 0,
        "amount_refunded": 0,
        "application": None,
        "application_fee": None,
        "application_fee_amount": None,
        "authorization_code": None,
        "balance_transaction": ids.new("txn_3", 23) if paid else None,
        "billing_details": billing,
        "calculated_statement_descriptor": intent["statement_descriptor"] or "SANDBOX",
        "captured": paid,
        "created": now,
        "currency": intent["currency"],
        "customer": intent["customer"],
        "description": intent["description"],
        "disputed": False,
        "failure_balance_transaction": None,
        "failure_code": why.code if why else None,
        "failure_message": why.message if why else None,
        "fraud_details": {},
        "livemode": False,
        "metadata": intent["metadata"],
        "on_behalf_of": None,
        "outcome": _outcome(why),
        "paid": paid,
        "payment_intent": intent["id"],
        "payment_method": intent["payment_method"],
        "payment_method_details": _method_details(instrument, intent["amount"], why),
        "presentment_details": None,
        "radar_options": {},
        "receipt_email": intent["receipt_email"],
        "receipt_number": None,
        "receipt_url": f"{url}/pay/receipts/{id}" if status != "failed" else None,
        "refunded": False,
        "review": None,
        "shipping": None,
        "source": None,
        "source_transfer": None,
        "statement_descriptor": intent["statement_descriptor"],
        "statement_descriptor_suffix": intent["statement_descriptor_suffix"],
        "status": status,
        "transfer": None,
        "transfer_data": None,
        "transfer_group": None,
    }


def payment_method_object(id: str | None, charge: StripeObject | None, now: int) -> StripeObject:  # noqa: A002
    """Return the failed payment method, as in last_payment_error."""
    details: StripeObject = {"type": "card", "card": {}}
    if charge:
        details = charge["payment_method_details"]
    kind = details["type"]
    shown = ("brand", "country", "exp_month", "exp_year", "fingerprint", "funding", "last4")
    return {
        "id": id,
        "object": "payment_method",
        "allow_redisplay": "limited",
        "billing_details": charge["billing_details"] if charge else {},
        "created": now,
        "customer": None,
        "livemode": False,
        "metadata": {},
        "type": kind,
        kind: {name: details[kind][name] for name in shown if name in details[kind]},
    }


def _outcome(why: Decline | None) -> StripeObject:
    declined = why is not None
    return {
        "advice_code": None,
        "network_advice_code": None,
        "network_decline_code": "05" if declined else None,
        "network_status": "declined_by_network" if declined else "approved_by_network",
        "reason": why.reason if why else None,
        "risk_level": "normal",
        "risk_score": 12,
        "rule": None,
        "seller_message": "The bank declined the payment." if declined else "Payment complete.",
        "type": "issuer_declined" if declined else "authorized",
    }


def _method_details(instrument: Instrument, amount: int, why: Decline | None) -> StripeObject:
    fingerprint = f"sandbox{instrument.last4}"
    if not isinstance(instrument, Card):
        details = {
            "bank_code": instrument.bank_code,
            "branch_code": "",
            "country": instrument.country,
            "expected_debit_date": None,
            "fingerprint": fingerprint,
            "last4": instrument.last4,
            "mandate": ids.new("mandate_1", 22),
        }
        return {"type": "sepa_debit", "sepa_debit": details}
    unavailable = {"status": "unavailable"}
    return {
        "type": "card",
        "card": {
            "amount_authorized": None if why else amount,
            "authorization_code": None if why else "123456",
            "brand": instrument.brand,
            "capture_before": None,
            "checks": {
                "address_line1_check": None,
                "address_postal_code_check": None,
                "cvc_check": "fail" if why and why.code == "incorrect_cvc" else "pass",
            },
            "country": "US",
            "description": None,
            "electronic_commerce_indicator": None,
            "exp_month": instrument.exp_month,
            "exp_year": instrument.exp_year,
            "extended_authorization": {"status": "disabled"},
            "fingerprint": fingerprint,
            "funding": instrument.funding,
            "iin": None,
            "incremental_authorization": unavailable,
            "installments": None,
            "issuer": None,
            "last4": instrument.last4,
            "mandate": None,
            "moto": None,
            "multicapture": unavailable,
            "network": instrument.brand,
            "network_token": {"used": False},
            "network_transaction_id": None,
            "overcapture": {"maximum_amount_capturable": amount, "status": "unavailable"},
            "regulated_status": "unregulated",
            "setup_credential_usage": None,
            "stored_credential_usage": None,
            "three_d_secure": None,
            "transaction_link_id": None,
            "wallet": None,
        },
    }
