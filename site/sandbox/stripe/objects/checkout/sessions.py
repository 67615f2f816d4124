"""Checkout Sessions: created by the API, paid on the payment page, expired by a due job.

Source: https://docs.stripe.com/api/checkout/sessions and stripe/checkout/_session.py of the SDK.
"""

from typing import Any, Final

from sandbox.stripe import currencies, ids, pagination
from sandbox.stripe.errors import (
    ApiError,
    invalid_state,
    missing_parameter,
    mutually_exclusive,
    no_such,
)
from sandbox.stripe.objects import events
from sandbox.stripe.objects.checkout import invoices, pricing, promotions
from sandbox.stripe.objects.checkout.line_items import line_item
from sandbox.stripe.objects.checkout.session_object import customer_details, session_object
from sandbox.stripe.objects.checkout.session_parameters import METHODS
from sandbox.stripe.objects.payments import payment_intents
from sandbox.stripe.store import StripeObject, Transaction

MIN_LIFETIME: Final = 30 * 60  # seconds from creation to expires_at
MAX_LIFETIME: Final = 24 * 3600
RECOVERY_LIFETIME: Final = 30 * 24 * 3600  # seconds after it expired


def create(tx: Transaction, given: dict[str, Any]) -> StripeObject:
    """Create a session from parsed parameters.

    Raises ApiError for combinations that are not allowed.
    """
    expires_at = _expires_at(given, tx.now)
    if "discounts" in given and given.get("allow_promotion_codes"):
        raise mutually_exclusive("allow_promotion_codes", "discounts")
    items = [
        line_item(entry, f"line_items[{number}]", tx.now)
        for number, entry in enumerate(given["line_items"])
    ]
    if not items:
        raise missing_parameter("line_items")
    currency, total = _total(given, items)
    session = session_object(
        given,
        id=ids.new_session(live=tx.live),
        url=tx.url,
        now=tx.now,
        expires_at=expires_at,
        currency=currency,
        total=total,
        methods=_methods(given),
    )
    promotions.apply_discounts(tx, session, items, given.get("discounts", []))
    _check_minimum(session["amount_total"], currency)
    tx.add(session, line_items=items, payment_intent_data=given.get("payment_intent_data", {}))
    tx.schedule("expire", session["id"], expires_at)
    return session


def retrieve(tx: Transaction, id: str, _given: dict[str, Any]) -> StripeObject:  # noqa: A002
    """Return a session."""
    return tx.require("checkout.session", id, "session")


def index(tx: Transaction, given: dict[str, Any]) -> StripeObject:
    """Return sessions, newest first, filtered by status, payment intent, customer and time."""
    where = {
        f"$.{name}": given[name]
        for name in ("status", "payment_intent", "customer")
        if name in given
    }
    if "customer_details" in given:
        where["$.customer_details.email"] = given["customer_details"]["email"]
    return pagination.page(tx, "checkout.session", "/v1/checkout/sessions", given, where=where)


def line_items(tx: Transaction, id: str, given: dict[str, Any]) -> StripeObject:  # noqa: A002
    """Return a session's line items."""
    retrieve(tx, id, {})
    items = tx.hidden(id)["line_items"]
    return pagination.page_of_parts(items, f"/v1/checkout/sessions/{id}/line_items", given)


def expire(tx: Transaction, id: str, _given: dict[str, Any]) -> StripeObject:  # noqa: A002
    """Expire an open session (https://docs.stripe.com/api/checkout/sessions/expire)."""
    session = retrieve(tx, id, {})
    if session["status"] != "open":
        raise invalid_state(
            'Only Checkout Sessions with a status in ["open"] can be expired. '
            f"This Checkout Session has a status of `{session['status']}`."
        )
    tx.unschedule("expire", id)
    session.update(status="expired", url=None)
    recovery = (session["after_expiration"] or {}).get("recovery")
    if recovery and recovery["enabled"]:
        recovery["url"] = f"{tx.url}/pay/{id}/recover"
        recovery["expires_at"] = tx.now + RECOVERY_LIFETIME
    tx.update(session)
    if session["payment_intent"]:  # after a failed attempt
        payment_intents.cancel(tx, session["payment_intent"], "expired")
    events.record(tx, "checkout.session.expired", session)
    return session


def recover(tx: Transaction, id: str) -> StripeObject:  # noqa: A002
    """Create a copy of an expired session, as its recovery URL does.

    Raises ApiError when it has no recovery URL or this has expired
    (https://docs.stripe.com/payments/checkout/abandoned-carts).
    """
    before = retrieve(tx, id, {})
    recovery = (before["after_expiration"] or {}).get("recovery")
    if not recovery or not recovery["url"] or recovery["expires_at"] <= tx.now:
        raise no_such("recovery", id, "session")
    hidden, fresh = tx.hidden(id), ids.new_session(live=tx.live)
    items = [
        {**item, "amount_discount": 0, "amount_tax": 0, "amount_total": item["amount_subtotal"]}
        for item in hidden["line_items"]
    ]
    session = {
        **before,
        "id": fresh,
        "after_expiration": {"recovery": {**recovery, "url": None, "expires_at": None}},
        "allow_promotion_codes": recovery["allow_promotion_codes"],
        "created": tx.now,
        "discounts": [],
        "expires_at": tx.now + MAX_LIFETIME,
        "payment_intent": None,
        "recovered_from": id,
        "status": "open",
        "url": f"{tx.url}/pay/{fresh}",
    }
    pricing.sum_lines(session, items)
    tx.add(session, line_items=items, payment_intent_data=hidden["payment_intent_data"])
    tx.schedule("expire", fresh, session["expires_at"])
    return session


def set_presentment(tx: Transaction, id: str, currency: str, amount: int) -> None:  # noqa: A002
    """Set the buyer's own currency and amount on an open session.

    https://docs.stripe.com/payments/currencies/localize-prices/adaptive-pricing
    """
    session = retrieve(tx, id, {})
    if session["status"] != "open":
        raise invalid_state(f"This Checkout Session has a status of `{session['status']}`.")
    session["presentment_details"] = {
        "presentment_amount": amount,
        "presentment_currency": currency,
    }
    tx.update(session)


def complete(
    tx: Transaction,
    session: StripeObject,
    payment_status: str,
    *,
    email: str,
    name: str | None,
    terms: bool,
    tax_id: dict[str, str] | None,
) -> None:
    """Complete a session: paid, unpaid while the payment is processing, or free."""
    tx.unschedule("expire", session["id"])
    session.update(
        status="complete",
        url=None,
        payment_status=payment_status,
        customer_details={
            **customer_details(email, name, country="US"),
            "tax_ids": [tax_id] if tax_id else [],
        },
        consent={"promotions": None, "terms_of_service": "accepted"} if terms else None,
    )
    if creates_customer(session) and not session["customer"]:
        session["customer"] = new_customer_id()
    promotions.count_redemptions(tx, session)
    if payment_status != "unpaid":
        invoices.create_for(tx, session)
    tx.update(session)
    events.record(tx, "checkout.session.completed", session)


def creates_customer(session: StripeObject) -> bool:
    """Tell whether a session creates a customer: on request, or for its invoice.

    https://docs.stripe.com/api/checkout/sessions/create#create_checkout_session-customer_creation
    """
    return session["customer_creation"] == "always" or bool(session["invoice_creation"]["enabled"])


def new_customer_id() -> str:
    """Return the id of a new customer; the sandbox stores no other data of customers."""
    return ids.new("cus_", 14)


def record_async_payment(tx: Transaction, session: StripeObject, *, paid: bool) -> None:
    """Record the result of an asynchronous payment."""
    if paid:
        session["payment_status"] = "paid"
        invoices.create_for(tx, session)
        tx.update(session)
    outcome = "succeeded" if paid else "failed"
    events.record(tx, f"checkout.session.async_payment_{outcome}", session)


def by_payment_intent(tx: Transaction, intent: str) -> StripeObject:
    """Return the session of a payment intent."""
    return tx.newest("checkout.session", 1, where={"$.payment_intent": intent})[0]


def _expires_at(given: dict[str, Any], now: int) -> int:
    expires_at: int = given.get("expires_at", now + MAX_LIFETIME)
    for wrong, bound in (
        (expires_at < now + MIN_LIFETIME, "at least 30 minutes"),
        (expires_at > now + MAX_LIFETIME, "less than 24 hours"),
    ):
        if wrong:
            raise ApiError(
                f"The `expires_at` timestamp must be {bound} from Checkout Session creation.",
                param="expires_at",
            )
    return expires_at


def _total(given: dict[str, Any], items: list[StripeObject]) -> tuple[str, int]:
    currency: str = items[0]["currency"]
    if len({item["currency"] for item in items}) > 1:
        raise ApiError(
            "All line items must have the same currency.",
            param="line_items[0][price_data][currency]",
        )
    if given.get("currency", currency) != currency:
        raise ApiError(
            f"The line items are in {currency}, not in {given['currency']}.", param="currency"
        )
    total = sum(item["amount_total"] for item in items)
    if total > currencies.MAXIMUM:
        raise ApiError(
            "The Checkout Session's total amount due must be no more than "
            f"{currencies.formatted(currencies.MAXIMUM, currency)} {currency}",
            code="amount_too_large",
        )
    return currency, total


def _check_minimum(total: int, currency: str) -> None:
    """Raise ApiError for a total below the minimum charge, unless it is 0.

    https://docs.stripe.com/payments/checkout/no-cost-orders
    """
    minimum = currencies.MINIMUM.get(currency, 0)
    if 0 < total < minimum:
        raise ApiError(
            "The Checkout Session's total amount due must add up to at least "
            f"{currencies.formatted(minimum, currency)} {currency}",
            code="amount_too_small",
        )


def _methods(given: dict[str, Any]) -> list[str]:
    allowed = given.get("allowed_payment_method_types", METHODS)
    excluded = given.get("excluded_payment_method_types", ())
    methods = [method for method in METHODS if method in allowed and method not in excluded]
    if not methods:
        raise ApiError(
            "No valid payment method types for this Checkout Session. The sandbox has "
            f"{' and '.join(METHODS)}.",
            param="excluded_payment_method_types" if excluded else "allowed_payment_method_types",
        )
    return methods
