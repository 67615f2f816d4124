"""Promotion codes and their coupons: some by default, more from the control page.

Source: https://docs.stripe.com/payments/checkout/discounts, stripe/_promotion_code.py and
stripe/_coupon.py of the SDK.
"""

from typing import Any, Final

from sandbox.stripe import currencies, ids, pagination
from sandbox.stripe.errors import ApiError, mutually_exclusive
from sandbox.stripe.objects.checkout import pricing
from sandbox.stripe.parameters import Boolean, Currency, Integer, Parameters, Text, TimeRange
from sandbox.stripe.store import StripeObject, Transaction

# By default: a code in percent, one by amount, and one that reduces the total to zero.
DEFAULTS: Final[tuple[dict[str, Any], ...]] = (
    {"code": "TENOFF", "percent": 10},
    {"code": "TWENTY", "amounts": {"usd": 2_000, "eur": 2_000, "jpy": 3_000, "kwd": 6_000}},
    {"code": "FREE", "percent": 100},
)
CREATE: Final = Parameters(
    {
        "code": Text(50),
        "percent": Integer(1, 100),
        "amount": Integer(minimum=1),
        "currency": Currency(),
    },
    required=("code",),
)
LIST: Final = Parameters(
    {
        **pagination.PAGING,
        "active": Boolean(),
        "code": Text(),
        "coupon": Text(),
        "created": TimeRange(),
    },
    unsupported=("customer", "customer_account"),
)
NOT_VALID: Final = "This code is not valid"


def create_defaults(tx: Transaction) -> None:
    """Create the default codes in both modes, unless there are any."""
    mode = tx.live
    for live in (False, True):
        tx.live = live
        if not tx.newest("promotion_code", 1):
            for entry in DEFAULTS:
                _create(tx, **entry)
    tx.live = mode


def create(tx: Transaction, given: dict[str, Any]) -> StripeObject:
    """Create a code, as in the dashboard: in percent, or by amount in one currency."""
    if "percent" in given and "amount" in given:
        raise mutually_exclusive("percent", "amount")
    if "percent" not in given and not ("amount" in given and "currency" in given):
        raise ApiError("Give a percent, or an amount and its currency.", param="percent")
    amounts = {given["currency"]: given["amount"]} if "amount" in given else {}
    return _create(tx, given["code"], given.get("percent"), amounts)


def retrieve(tx: Transaction, id: str, _given: dict[str, Any]) -> StripeObject:  # noqa: A002
    """Return a promotion code."""
    return tx.require("promotion_code", id, "promotion_code")


def retrieve_coupon(tx: Transaction, id: str, _given: dict[str, Any]) -> StripeObject:  # noqa: A002
    """Return a coupon."""
    return tx.require("coupon", id, "coupon")


def index(tx: Transaction, given: dict[str, Any]) -> StripeObject:
    """Return promotion codes, newest first, filtered by code, coupon and `active`."""
    where = {f"$.{name}": given[name] for name in ("active", "code") if name in given}
    if "coupon" in given:
        where["$.promotion.coupon"] = given["coupon"]
    return pagination.page(tx, "promotion_code", "/v1/promotion_codes", given, where=where)


def apply_discounts(
    tx: Transaction, session: StripeObject, items: list[StripeObject], given: list[StripeObject]
) -> None:
    """Apply the `discounts` that a session is created with.

    Raises ApiError for an unknown coupon or code, and for one of another currency.
    """
    for number, entry in enumerate(given):
        if len(entry) > 1:
            raise mutually_exclusive(*(f"discounts[{number}][{name}]" for name in entry))
        for kind, value in entry.items():
            name = f"discounts[{number}][{kind}]"
            discount = tx.require(kind, value, name, status=400)
            if not _applies_to(tx, discount, session["currency"]):
                # https://docs.stripe.com/api/coupons/object#coupon_object-currency
                raise ApiError(
                    f"This discount takes an amount off, and has none in {session['currency']}.",
                    param=name,
                )
            _apply(tx, session, items, discount)


def redeem(tx: Transaction, session: StripeObject, typed: str) -> str:
    """Apply a code, in any case, to an open session; return an error message or "".

    A code replaces the one before. https://docs.stripe.com/payments/checkout/discounts
    """
    discount = tx.newest("promotion_code", 1, where={"$.code": typed.strip().upper()})
    if not discount:
        return NOT_VALID
    currency = session["currency"]
    if not _applies_to(tx, discount[0], currency):
        return f"This code is not valid for a price in {currency.upper()}"
    items = tx.hidden(session["id"])["line_items"]
    _apply(tx, session, items, discount[0])
    minimum = currencies.MINIMUM.get(currency, 0)
    if 0 < session["amount_total"] < minimum:
        return f"This code leaves less than {currencies.formatted(minimum, currency)} to pay"
    tx.update(session, line_items=items)
    return ""


def count_redemptions(tx: Transaction, session: StripeObject) -> None:
    """Count the redemption of a session's codes."""
    for entry in session["discounts"]:
        for kind in ("promotion_code", "coupon"):
            if entry[kind]:
                used = tx.get(kind, entry[kind])
                used["times_redeemed"] += 1
                tx.update(used)


def _coupon(tx: Transaction, discount: StripeObject) -> StripeObject:
    by_code = discount["object"] == "promotion_code"
    return tx.get("coupon", discount["promotion"]["coupon"]) if by_code else discount


def _applies_to(tx: Transaction, discount: StripeObject, currency: str) -> bool:
    """Tell whether a coupon or code applies to a price in a currency."""
    coupon = _coupon(tx, discount)
    return bool(coupon["percent_off"]) or currency in tx.hidden(coupon["id"])["amounts"]


def _apply(
    tx: Transaction, session: StripeObject, items: list[StripeObject], discount: StripeObject
) -> None:
    by_code = discount["object"] == "promotion_code"
    coupon = _coupon(tx, discount)
    session["discounts"] = [
        {
            "coupon": None if by_code else discount["id"],
            "promotion_code": discount["id"] if by_code else None,
        }
    ]
    amounts = tx.hidden(coupon["id"])["amounts"]
    off = amounts.get(session["currency"], 0)
    pricing.apply_discount(session, items, coupon["percent_off"], off)


def _create(
    tx: Transaction, code: str, percent: int | None = None, amounts: dict[str, int] | None = None
) -> StripeObject:
    first = next(iter(amounts.items()), None) if amounts else None
    coupon: StripeObject = {
        "id": ids.new("", 8),
        "object": "coupon",
        "amount_off": first[1] if first else None,
        "created": tx.now,
        "currency": first[0] if first else None,
        "duration": "once",
        "duration_in_months": None,
        "livemode": False,
        "max_redemptions": None,
        "metadata": {},
        "name": code,
        "percent_off": percent,
        "redeem_by": None,
        "times_redeemed": 0,
        "valid": True,
    }
    promotion_code = {
        "id": ids.new("promo_1", 22),
        "object": "promotion_code",
        "active": True,
        "code": code.upper(),
        "created": tx.now,
        "customer": None,
        "customer_account": None,
        "expires_at": None,
        "livemode": False,
        "max_redemptions": None,
        "metadata": {},
        "promotion": {"coupon": coupon["id"], "type": "coupon"},
        "restrictions": {
            "first_time_transaction": False,
            "minimum_amount": None,
            "minimum_amount_currency": None,
        },
        "times_redeemed": 0,
    }
    tx.add(coupon, amounts=amounts or {})
    tx.add(promotion_code)
    return promotion_code
