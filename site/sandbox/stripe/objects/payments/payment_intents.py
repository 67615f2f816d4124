"""Payment intents and their charges, from the first attempt to the end.

Source: https://docs.stripe.com/payments/paymentintents/lifecycle, stripe/_payment_intent.py and
stripe/_charge.py of the SDK.
"""

from typing import Any

from sandbox.stripe import ids, pagination
from sandbox.stripe.errors import no_such
from sandbox.stripe.objects import events
from sandbox.stripe.objects.payments.cards import Decline, Instrument
from sandbox.stripe.objects.payments.charge_object import charge_object, payment_method_object
from sandbox.stripe.store import StripeObject, Transaction


def get_or_create(tx: Transaction, session: StripeObject) -> StripeObject:
    """Return the payment intent of a session, created at the first attempt.

    Since API 2022-08-01 it is not created with the session.
    """
    if session["payment_intent"]:
        tried = tx.get("payment_intent", session["payment_intent"])
        tried["amount"] = session["amount_total"]  # a code may have been redeemed meanwhile
        return tried
    data = tx.hidden(session["id"])["payment_intent_data"]
    id = ids.new("pi_3", 23)  # noqa: A001 # as the API calls it
    intent = {
        "id": id,
        "object": "payment_intent",
        "allowed_payment_method_types": session["allowed_payment_method_types"],
        "amount": session["amount_total"],
        "amount_capturable": 0,
        "amount_details": {"tip": {}},
        "amount_received": 0,
        "application": None,
        "application_fee_amount": None,
        "automatic_payment_methods": None,
        "canceled_at": None,
        "cancellation_reason": None,
        "capture_method": data.get("capture_method", "automatic_async"),
        "client_secret": f"{id}_{ids.new('secret_')}",
        "confirmation_method": "automatic",
        "created": tx.now,
        "currency": session["currency"],
        "customer": None,
        "customer_account": None,
        "description": data.get("description"),
        "excluded_payment_method_types": session["excluded_payment_method_types"],
        "hooks": None,
        "last_payment_error": None,
        "latest_charge": None,
        "livemode": False,
        "managed_payments": {"enabled": False},
        "metadata": data.get("metadata", {}),
        "next_action": None,
        "on_behalf_of": None,
        "payment_details": None,
        "payment_method": None,
        "payment_method_configuration_details": None,
        "payment_method_options": {"card": {"request_three_d_secure": "automatic"}},
        "payment_method_types": session["payment_method_types"],
        "payment_record": None,
        "presentment_details": session["presentment_details"],
        "processing": None,
        "receipt_email": data.get("receipt_email"),
        "review": None,
        "setup_future_usage": None,
        "shipping": None,
        "source": None,
        "statement_descriptor": data.get("statement_descriptor"),
        "statement_descriptor_suffix": data.get("statement_descriptor_suffix"),
        "status": "requires_payment_method",
        "transfer_data": None,
        "transfer_group": None,
    }
    tx.add(intent)
    session["payment_intent"] = id
    tx.update(session)
    events.record(tx, "payment_intent.created", intent)
    return intent


def succeed(
    tx: Transaction, intent: StripeObject, instrument: Instrument, billing: StripeObject
) -> StripeObject:
    """Charge the instrument; return the charge."""
    charge = _create_charge(tx, intent, instrument, billing, status="succeeded")
    _mark_succeeded(tx, intent, charge)
    return charge


def start_processing(
    tx: Transaction, intent: StripeObject, instrument: Instrument, billing: StripeObject
) -> StripeObject:
    """Start a payment that the bank answers later; return the pending charge."""
    charge = _create_charge(tx, intent, instrument, billing, status="pending")
    intent.update(status="processing", next_action=None, last_payment_error=None)
    tx.update(intent)
    events.record(tx, "charge.pending", charge)
    events.record(tx, "payment_intent.processing", intent)
    return charge


def complete_processing(tx: Transaction, intent: StripeObject) -> None:
    """Complete a processing payment."""
    charge = tx.get("charge", intent["latest_charge"])
    charge.update(status="succeeded", paid=True, captured=True, amount_captured=charge["amount"])
    charge["balance_transaction"] = ids.new("txn_3", 23)
    tx.update(charge)
    _mark_succeeded(tx, intent, charge)


def fail_processing(tx: Transaction, intent: StripeObject, decline: Decline) -> None:
    """Fail a processing payment."""
    charge = tx.get("charge", intent["latest_charge"])
    charge.update(status="failed", failure_code=decline.code, failure_message=decline.message)
    tx.update(charge)
    events.record(tx, "charge.failed", charge)
    _mark_failed(tx, intent, decline, charge)


def decline(
    tx: Transaction,
    intent: StripeObject,
    instrument: Instrument,
    billing: StripeObject,
    why: Decline,
) -> None:
    """Decline an attempt: the charge fails, and the intent waits for another attempt."""
    charge = _create_charge(tx, intent, instrument, billing, status="failed", why=why)
    events.record(tx, "charge.failed", charge)
    _mark_failed(tx, intent, why, charge)


def require_action(tx: Transaction, intent: StripeObject, page: str) -> None:
    """Require authentication at a page before the charge."""
    intent.update(
        status="requires_action",
        payment_method=ids.new("pm_1", 22),
        last_payment_error=None,
        next_action={
            "type": "redirect_to_url",
            "redirect_to_url": {"return_url": None, "url": page},
        },
    )
    tx.update(intent)
    events.record(tx, "payment_intent.requires_action", intent)


def fail_authentication(tx: Transaction, intent: StripeObject, why: Decline) -> None:
    """Fail the authentication, without a charge."""
    _mark_failed(tx, intent, why, None)


def cancel(tx: Transaction, id: str, why: str) -> None:  # noqa: A002
    """Cancel an intent that is not paid."""
    intent = tx.get("payment_intent", id)
    intent.update(status="canceled", canceled_at=tx.now, cancellation_reason=why, next_action=None)
    tx.update(intent)
    events.record(tx, "payment_intent.canceled", intent)


def retrieve(tx: Transaction, id: str, given: dict[str, Any]) -> StripeObject:  # noqa: A002
    """Return a payment intent; a given client secret must match."""
    intent = tx.require("payment_intent", id, "intent")
    if given.get("client_secret", intent["client_secret"]) != intent["client_secret"]:
        raise no_such("payment_intent", id, "intent")
    return intent


def list_intents(tx: Transaction, given: dict[str, Any]) -> StripeObject:
    """Return payment intents, newest first."""
    where = {"$.customer": given["customer"]} if "customer" in given else {}
    return pagination.page(tx, "payment_intent", "/v1/payment_intents", given, where=where)


def retrieve_charge(tx: Transaction, id: str, _given: dict[str, Any]) -> StripeObject:  # noqa: A002
    """Return a charge."""
    return tx.require("charge", id, "charge")


def list_charges(tx: Transaction, given: dict[str, Any]) -> StripeObject:
    """Return charges, newest first, filtered by payment intent or customer."""
    where = {f"$.{name}": given[name] for name in ("payment_intent", "customer") if name in given}
    return pagination.page(tx, "charge", "/v1/charges", given, where=where)


def _create_charge(
    tx: Transaction,
    intent: StripeObject,
    instrument: Instrument,
    billing: StripeObject,
    *,
    status: str,
    why: Decline | None = None,
) -> StripeObject:
    intent["payment_method"] = ids.new("pm_1", 22)
    charge = charge_object(
        intent, instrument, billing, url=tx.url, now=tx.now, status=status, why=why
    )
    tx.add(charge)
    intent["latest_charge"] = charge["id"]
    return charge


def _mark_succeeded(tx: Transaction, intent: StripeObject, charge: StripeObject) -> None:
    intent.update(
        status="succeeded",
        amount_received=intent["amount"],
        next_action=None,
        last_payment_error=None,
    )
    tx.update(intent)
    events.record(tx, "charge.succeeded", charge)
    events.record(tx, "payment_intent.succeeded", intent)


def _mark_failed(
    tx: Transaction, intent: StripeObject, why: Decline, charge: StripeObject | None
) -> None:
    error: StripeObject = {
        "code": why.code,
        "doc_url": f"https://stripe.com/docs/error-codes/{why.code.replace('_', '-')}",
        "message": why.message,
        "payment_method": payment_method_object(intent["payment_method"], charge, tx.now),
        "type": "card_error" if charge else "invalid_request_error",
    }
    if charge:
        error.update(charge=charge["id"], decline_code=why.reason)
    intent.update(
        status="requires_payment_method",
        payment_method=None,
        next_action=None,
        last_payment_error=error,
    )
    tx.update(intent)
    events.record(tx, "payment_intent.payment_failed", intent)
