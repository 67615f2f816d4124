"""Line items of a Checkout Session, each with its own price and product."""

from typing import Any

from sandbox.stripe import currencies, ids
from sandbox.stripe.errors import ApiError, mutually_exclusive, no_such
from sandbox.stripe.store import StripeObject


def line_item(given: dict[str, Any], name: str, now: int) -> StripeObject:
    """Return the line item of one parsed entry of `line_items`; `name` is its parameter name.

    Raises ApiError for what the fields together do not allow
    (https://docs.stripe.com/api/checkout/sessions/create#create_checkout_session-line_items).
    """
    if "price" in given and "price_data" in given:
        raise mutually_exclusive(f"{name}[price]", f"{name}[price_data]")
    if "price" in given:  # the sandbox has no stored prices
        raise no_such("price", given["price"], f"{name}[price]", status=400)
    if "price_data" not in given:
        raise ApiError(
            f"You must provide one of `price` or `price_data` for {name}.",
            code="parameter_missing",
            param=f"{name}[price_data]",
        )
    if "quantity" not in given:
        raise ApiError(f"Quantity is required. Add `quantity` to `{name}`", param=name)
    price = _price(given["price_data"], f"{name}[price_data]", now)
    subtotal = price["unit_amount"] * given["quantity"]
    product = given["price_data"]["product_data"]
    return {
        "id": ids.new("li_"),
        "object": "item",
        "adjustable_quantity": given.get("adjustable_quantity"),
        "amount_discount": 0,
        "amount_subtotal": subtotal,
        "amount_tax": 0,
        "amount_total": subtotal,
        "currency": price["currency"],
        "description": product["name"],
        "metadata": given.get("metadata", {}),
        "price": price,
        "quantity": given["quantity"],
    }


def _price(given: dict[str, Any], name: str, now: int) -> StripeObject:
    if "unit_amount" not in given:
        raise ApiError(
            f"You must specify either `unit_amount` or `unit_amount_decimal` for {name}.",
            code="parameter_missing",
            param=f"{name}[unit_amount]",
        )
    if "product_data" not in given:
        raise ApiError(
            f"You must specify either `product` or `product_data` for {name}.",
            code="parameter_missing",
            param=f"{name}[product_data]",
        )
    amount, currency = given["unit_amount"], given["currency"]
    if currency in currencies.THREE_DECIMAL and amount % 10:
        # https://docs.stripe.com/currencies#three-decimal
        raise ApiError(
            f"Amounts in {currency} must be multiples of 10, the last digit 0.",
            code="parameter_invalid_integer",
            param=f"{name}[unit_amount]",
        )
    return {
        "id": ids.new("price_1", 22),
        "object": "price",
        "active": False,  # made for one session: https://docs.stripe.com/api/prices/object
        "billing_scheme": "per_unit",
        "created": now,
        "currency": currency,
        "custom_unit_amount": None,
        "livemode": False,
        "lookup_key": None,
        "metadata": {},
        "nickname": None,
        "product": ids.new("prod_", 14),
        "recurring": None,
        "tax_behavior": given.get("tax_behavior", "unspecified"),
        "tiers_mode": None,
        "transform_quantity": None,
        "type": "one_time",
        "unit_amount": amount,
        "unit_amount_decimal": str(amount),
    }
