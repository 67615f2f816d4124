"""Payment intents and their charges: a payment from the first try to its end.

Source: https://docs.stripe.com/payments/paymentintents/lifecycle, stripe/_payment_intent.py and
stripe/_charge.py of the SDK.
"""

from typing import Any

from sandbox.stripe import ids, pagination
from sandbox.stripe.errors import no_such
from sandbox.stripe.objects import events
from sandbox.stripe.objects.payments.cards import Decline, Instrument
from sandbox.stripe.objects.payments.charge_object import charge_object, method_object
from sandbox.stripe.store import Books, Thing


def begin(books: Books, session: Thing) -> Thing:
    """Return the payment intent of a session, making it when nobody tried to pay before.

    Since API 2022-08-01 it is made at the first try and not with the session.
    """
    if session["payment_intent"]:
        tried = books.get("payment_intent", session["payment_intent"])
        tried["amount"] = session["amount_total"]  # a code may have been redeemed meanwhile
        return tried
    data = books.hidden(session["id"])["payment_intent_data"]
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
        "created": books.now,
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
    books.add(intent)
    session["payment_intent"] = id
    books.update(session)
    events.record(books, "payment_intent.created", intent)
    return intent


def succeed(books: Books, intent: Thing, instrument: Instrument, billing: Thing) -> Thing:
    """Charge what was tried and have the money; return the charge."""
    charge = _charge(books, intent, instrument, billing, status="succeeded")
    _received(books, intent, charge)
    return charge


def postpone(books: Books, intent: Thing, instrument: Instrument, billing: Thing) -> Thing:
    """Ask the bank, which answers later; return the pending charge."""
    charge = _charge(books, intent, instrument, billing, status="pending")
    intent.update(status="processing", next_action=None, last_payment_error=None)
    books.update(intent)
    events.record(books, "charge.pending", charge)
    events.record(books, "payment_intent.processing", intent)
    return charge


def arrive(books: Books, intent: Thing) -> None:
    """Have the money of a payment that was postponed."""
    charge = books.get("charge", intent["latest_charge"])
    charge.update(status="succeeded", paid=True, captured=True, amount_captured=charge["amount"])
    charge["balance_transaction"] = ids.new("txn_3", 23)
    books.update(charge)
    _received(books, intent, charge)


def bounce(books: Books, intent: Thing, decline: Decline) -> None:
    """Learn from the bank that the money of a postponed payment never comes."""
    charge = books.get("charge", intent["latest_charge"])
    charge.update(status="failed", failure_code=decline.code, failure_message=decline.message)
    books.update(charge)
    events.record(books, "charge.failed", charge)
    _failed(books, intent, decline, charge)


def decline(
    books: Books, intent: Thing, instrument: Instrument, billing: Thing, why: Decline
) -> None:
    """Have a try refused: a failed charge, and an intent that waits for another try."""
    charge = _charge(books, intent, instrument, billing, status="failed", why=why)
    events.record(books, "charge.failed", charge)
    _failed(books, intent, why, charge)


def ask(books: Books, intent: Thing, page: str) -> None:
    """Have the buyer prove who they are at an address of ours before anything is charged."""
    intent.update(
        status="requires_action",
        payment_method=ids.new("pm_1", 22),
        last_payment_error=None,
        next_action={
            "type": "redirect_to_url",
            "redirect_to_url": {"return_url": None, "url": page},
        },
    )
    books.update(intent)
    events.record(books, "payment_intent.requires_action", intent)


def distrust(books: Books, intent: Thing, why: Decline) -> None:
    """Have the proof refused: no charge was made."""
    _failed(books, intent, why, None)


def cancel(books: Books, id: str, why: str) -> None:  # noqa: A002
    """End an intent that is not paid."""
    intent = books.get("payment_intent", id)
    intent.update(
        status="canceled", canceled_at=books.now, cancellation_reason=why, next_action=None
    )
    books.update(intent)
    events.record(books, "payment_intent.canceled", intent)


def retrieve(books: Books, id: str, given: dict[str, Any]) -> Thing:  # noqa: A002
    """Return a payment intent; a client secret, when given, must be its own."""
    intent = books.require("payment_intent", id, "intent")
    if given.get("client_secret", intent["client_secret"]) != intent["client_secret"]:
        raise no_such("payment_intent", id, "intent")
    return intent


def index(books: Books, given: dict[str, Any]) -> Thing:
    """Return payment intents, newest first."""
    where = {"$.customer": given["customer"]} if "customer" in given else {}
    return pagination.page(books, "payment_intent", "/v1/payment_intents", given, where=where)


def retrieve_charge(books: Books, id: str, _given: dict[str, Any]) -> Thing:  # noqa: A002
    """Return a charge."""
    return books.require("charge", id, "charge")


def index_charges(books: Books, given: dict[str, Any]) -> Thing:
    """Return charges, newest first, those of one intent or customer when asked."""
    where = {f"$.{name}": given[name] for name in ("payment_intent", "customer") if name in given}
    return pagination.page(books, "charge", "/v1/charges", given, where=where)


def _charge(
    books: Books,
    intent: Thing,
    instrument: Instrument,
    billing: Thing,
    *,
    status: str,
    why: Decline | None = None,
) -> Thing:
    intent["payment_method"] = ids.new("pm_1", 22)
    charge = charge_object(
        intent, instrument, billing, url=books.url, now=books.now, status=status, why=why
    )
    books.add(charge)
    intent["latest_charge"] = charge["id"]
    return charge


def _received(books: Books, intent: Thing, charge: Thing) -> None:
    intent.update(
        status="succeeded",
        amount_received=intent["amount"],
        next_action=None,
        last_payment_error=None,
    )
    books.update(intent)
    events.record(books, "charge.succeeded", charge)
    events.record(books, "payment_intent.succeeded", intent)


def _failed(books: Books, intent: Thing, why: Decline, charge: Thing | None) -> None:
    error: Thing = {
        "code": why.code,
        "doc_url": f"https://stripe.com/docs/error-codes/{why.code.replace('_', '-')}",
        "message": why.message,
        "payment_method": method_object(intent["payment_method"], charge, books.now),
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
    books.update(intent)
    events.record(books, "payment_intent.payment_failed", intent)
