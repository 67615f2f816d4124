"""Checkout Sessions: made by the API, paid on the pay page, expired by the clock.

Source: https://docs.stripe.com/api/checkout/sessions and stripe/checkout/_session.py of the SDK.
"""

from typing import Any, Final

from sandbox.stripe import currencies, ids, pagination
from sandbox.stripe.errors import Refusal, exclusive, missing, no_such, state
from sandbox.stripe.objects import events
from sandbox.stripe.objects.checkout import invoices, pricing, promotions
from sandbox.stripe.objects.checkout.line_items import line_item
from sandbox.stripe.objects.checkout.session_object import details, session_object
from sandbox.stripe.objects.checkout.session_parameters import METHODS
from sandbox.stripe.objects.payments import payment_intents
from sandbox.stripe.store import Books, Thing

SHORTEST: Final = 30 * 60  # seconds a session lives at least, and at most
LONGEST: Final = 24 * 3600
RECOVERABLE: Final = 30 * 24 * 3600  # seconds after its end


def create(books: Books, given: dict[str, Any]) -> Thing:
    """Make a session from checked parameters.

    Raises Refusal for what the parameters together do not allow.
    """
    expires_at = _expires_at(given, books.now)
    if "discounts" in given and given.get("allow_promotion_codes"):
        raise exclusive("allow_promotion_codes", "discounts")
    items = [
        line_item(entry, f"line_items[{number}]", books.now)
        for number, entry in enumerate(given["line_items"])
    ]
    if not items:
        raise missing("line_items")
    currency, total = _total(given, items)
    session = session_object(
        given,
        id=ids.session(live=books.live),
        url=books.url,
        now=books.now,
        expires_at=expires_at,
        currency=currency,
        total=total,
        methods=_methods(given),
    )
    promotions.attach(books, session, items, given.get("discounts", []))
    _check_least(session["amount_total"], currency)
    books.add(session, line_items=items, payment_intent_data=given.get("payment_intent_data", {}))
    books.plan("expire", session["id"], expires_at)
    return session


def retrieve(books: Books, id: str, _given: dict[str, Any]) -> Thing:  # noqa: A002
    """Return a session."""
    return books.require("checkout.session", id, "session")


def index(books: Books, given: dict[str, Any]) -> Thing:
    """Return sessions, newest first, by status, payment intent, customer's email and time."""
    where = {
        f"$.{name}": given[name]
        for name in ("status", "payment_intent", "customer")
        if name in given
    }
    if "customer_details" in given:
        where["$.customer_details.email"] = given["customer_details"]["email"]
    return pagination.page(books, "checkout.session", "/v1/checkout/sessions", given, where=where)


def line_items(books: Books, id: str, given: dict[str, Any]) -> Thing:  # noqa: A002
    """Return what a session sells."""
    retrieve(books, id, {})
    items = books.hidden(id)["line_items"]
    return pagination.whole(items, f"/v1/checkout/sessions/{id}/line_items", given)


def expire(books: Books, id: str, _given: dict[str, Any]) -> Thing:  # noqa: A002
    """End an open session early (https://docs.stripe.com/api/checkout/sessions/expire)."""
    session = retrieve(books, id, {})
    if session["status"] != "open":
        raise state(
            'Only Checkout Sessions with a status in ["open"] can be expired. '
            f"This Checkout Session has a status of `{session['status']}`."
        )
    books.unplan("expire", id)
    session.update(status="expired", url=None)
    recovery = (session["after_expiration"] or {}).get("recovery")
    if recovery and recovery["enabled"]:
        recovery["url"] = f"{books.url}/pay/{id}/recover"
        recovery["expires_at"] = books.now + RECOVERABLE
    books.update(session)
    if session["payment_intent"]:  # tried and not paid
        payment_intents.cancel(books, session["payment_intent"], "expired")
    events.record(books, "checkout.session.expired", session)
    return session


def recover(books: Books, id: str) -> Thing:  # noqa: A002
    """Return a copy of an expired session that its recovery address leads to.

    Raises Refusal when it has none any more
    (https://docs.stripe.com/payments/checkout/abandoned-carts).
    """
    before = retrieve(books, id, {})
    recovery = (before["after_expiration"] or {}).get("recovery")
    if not recovery or not recovery["url"] or recovery["expires_at"] <= books.now:
        raise no_such("recovery", id, "session")
    hidden, fresh = books.hidden(id), ids.session(live=books.live)
    items = [
        {**item, "amount_discount": 0, "amount_tax": 0, "amount_total": item["amount_subtotal"]}
        for item in hidden["line_items"]
    ]
    session = {
        **before,
        "id": fresh,
        "after_expiration": {"recovery": {**recovery, "url": None, "expires_at": None}},
        "allow_promotion_codes": recovery["allow_promotion_codes"],
        "created": books.now,
        "discounts": [],
        "expires_at": books.now + LONGEST,
        "payment_intent": None,
        "recovered_from": id,
        "status": "open",
        "url": f"{books.url}/pay/{fresh}",
    }
    pricing.total(session, items)
    books.add(session, line_items=items, payment_intent_data=hidden["payment_intent_data"])
    books.plan("expire", fresh, session["expires_at"])
    return session


def present(books: Books, id: str, currency: str, amount: int) -> None:  # noqa: A002
    """Have the buyer of an open session choose a currency of their own, shown beside ours.

    https://docs.stripe.com/payments/currencies/localize-prices/adaptive-pricing
    """
    session = retrieve(books, id, {})
    if session["status"] != "open":
        raise state(f"This Checkout Session has a status of `{session['status']}`.")
    session["presentment_details"] = {
        "presentment_amount": amount,
        "presentment_currency": currency,
    }
    books.update(session)


def complete(
    books: Books,
    session: Thing,
    payment_status: str,
    *,
    email: str,
    name: str | None,
    terms: bool,
    tax_id: dict[str, str] | None,
) -> None:
    """End a session with success: paid, to be paid later, or with nothing to pay."""
    books.unplan("expire", session["id"])
    session.update(
        status="complete",
        url=None,
        payment_status=payment_status,
        customer_details={
            **details(email, name, country="US"),
            "tax_ids": [tax_id] if tax_id else [],
        },
        consent={"promotions": None, "terms_of_service": "accepted"} if terms else None,
    )
    if wants_customer(session) and not session["customer"]:
        session["customer"] = customer()
    promotions.count(books, session)
    if payment_status != "unpaid":
        invoices.write(books, session)
    books.update(session)
    events.record(books, "checkout.session.completed", session)


def wants_customer(session: Thing) -> bool:
    """Tell whether a session makes a customer: asked for, or needed for its invoice.

    https://docs.stripe.com/api/checkout/sessions/create#create_checkout_session-customer_creation
    """
    return session["customer_creation"] == "always" or bool(session["invoice_creation"]["enabled"])


def customer() -> str:
    """Return the id of a customer made with a session; the sandbox keeps no more of them."""
    return ids.new("cus_", 14)


def settle(books: Books, session: Thing, *, paid: bool) -> None:
    """Learn what became of a payment that was to come later."""
    if paid:
        session["payment_status"] = "paid"
        invoices.write(books, session)
        books.update(session)
    outcome = "succeeded" if paid else "failed"
    events.record(books, f"checkout.session.async_payment_{outcome}", session)


def of_intent(books: Books, intent: str) -> Thing:
    """Return the session that a payment intent pays for."""
    return books.newest("checkout.session", 1, where={"$.payment_intent": intent})[0]


def _expires_at(given: dict[str, Any], now: int) -> int:
    expires_at: int = given.get("expires_at", now + LONGEST)
    for wrong, bound in (
        (expires_at < now + SHORTEST, "at least 30 minutes"),
        (expires_at > now + LONGEST, "less than 24 hours"),
    ):
        if wrong:
            raise Refusal(
                f"The `expires_at` timestamp must be {bound} from Checkout Session creation.",
                param="expires_at",
            )
    return expires_at


def _total(given: dict[str, Any], items: list[Thing]) -> tuple[str, int]:
    currency: str = items[0]["currency"]
    if len({item["currency"] for item in items}) > 1:
        raise Refusal(
            "All line items must have the same currency.",
            param="line_items[0][price_data][currency]",
        )
    if given.get("currency", currency) != currency:
        raise Refusal(
            f"The line items are in {currency}, not in {given['currency']}.", param="currency"
        )
    total = sum(item["amount_total"] for item in items)
    if total > currencies.MOST:
        raise Refusal(
            "The Checkout Session's total amount due must be no more than "
            f"{currencies.shown(currencies.MOST, currency)} {currency}",
            code="amount_too_large",
        )
    return currency, total


def _check_least(total: int, currency: str) -> None:
    """Refuse a total below the least charge; 0 is fine.

    https://docs.stripe.com/payments/checkout/no-cost-orders
    """
    least = currencies.LEAST.get(currency, 0)
    if 0 < total < least:
        raise Refusal(
            "The Checkout Session's total amount due must add up to at least "
            f"{currencies.shown(least, currency)} {currency}",
            code="amount_too_small",
        )


def _methods(given: dict[str, Any]) -> list[str]:
    allowed = given.get("allowed_payment_method_types", METHODS)
    excluded = given.get("excluded_payment_method_types", ())
    methods = [method for method in METHODS if method in allowed and method not in excluded]
    if not methods:
        raise Refusal(
            "No valid payment method types for this Checkout Session. The sandbox has "
            f"{' and '.join(METHODS)}.",
            param="excluded_payment_method_types" if excluded else "allowed_payment_method_types",
        )
    return methods
