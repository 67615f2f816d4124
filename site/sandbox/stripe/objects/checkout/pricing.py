"""Prices of a session: line items, discount and tax.

Source: https://docs.stripe.com/payments/checkout/discounts and https://docs.stripe.com/tax/checkout
"""

from copy import deepcopy
from typing import Final

from sandbox.stripe import currencies
from sandbox.stripe.store import StripeObject, Transaction

# One rate for all countries. A price without tax behavior is exclusive in usd and cad and inclusive
# in other currencies, as Stripe's "inferred by currency":
# https://docs.stripe.com/tax/products-prices-tax-codes-tax-behavior
TAX_PERCENT: Final = 10
ADDED_IN: Final = frozenset({"usd", "cad"})


def sum_lines(session: StripeObject, items: list[StripeObject]) -> None:
    """Set a session's totals from its line items."""
    session["amount_subtotal"] = sum(item["amount_subtotal"] for item in items)
    session["amount_total"] = sum(item["amount_total"] for item in items)
    for name in ("amount_discount", "amount_tax"):
        session["total_details"][name] = sum(item[name] for item in items)


def apply_discount(
    session: StripeObject, items: list[StripeObject], percent: float | None, amount_off: int
) -> None:
    """Take a percentage off each line, or spread an amount over the lines."""
    currency = session["currency"]
    subtotal_sum = sum(item["amount_subtotal"] for item in items)
    remaining = subtotal_sum if percent else min(subtotal_sum, amount_off)
    for item in items:
        subtotal = item["amount_subtotal"]
        if percent:
            share = _rounded(subtotal * percent / 100, currency)
        elif item is items[-1]:
            share = remaining  # the rest after rounding
        else:
            share = (
                min(remaining, _rounded(amount_off * subtotal / subtotal_sum, currency))
                if subtotal_sum
                else 0
            )
        remaining -= share
        item.update(amount_discount=share, amount_tax=0, amount_total=subtotal - share)
    sum_lines(session, items)


def with_tax(
    session: StripeObject, items: list[StripeObject]
) -> tuple[StripeObject, list[StripeObject]]:
    """Return copies of a session and its lines with the tax that a known address adds.

    Without automatic tax they are as they were.
    """
    if not session["automatic_tax"]["enabled"]:
        return session, items
    session, items = deepcopy(session), deepcopy(items)
    for item in items:
        behavior, currency = item["price"]["tax_behavior"], item["currency"]
        added = behavior == "exclusive" or (behavior == "unspecified" and currency in ADDED_IN)
        net = item["amount_subtotal"] - item["amount_discount"]
        tax = _rounded(net * TAX_PERCENT / (100 if added else 100 + TAX_PERCENT), currency)
        item.update(amount_tax=tax, amount_total=net + tax if added else net)
    session["automatic_tax"]["status"] = "complete"
    sum_lines(session, items)
    return session, items


def store_price(tx: Transaction, session: StripeObject) -> None:
    """Store the price that the buyer is about to pay, with tax."""
    priced, items = with_tax(session, tx.hidden(session["id"])["line_items"])
    session.update(priced)
    tx.update(session, line_items=items)


def _rounded(amount: float, currency: str) -> int:
    """Return an integer amount; in currencies of three decimals a multiple of 10."""
    step = 10 if currency in currencies.THREE_DECIMAL else 1
    return int(amount / step + 0.5) * step
