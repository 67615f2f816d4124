"""Promotion codes and the coupons behind them: some to begin with, more on the control page.

Source: https://docs.stripe.com/payments/checkout/discounts, stripe/_promotion_code.py and
stripe/_coupon.py of the SDK.
"""

from typing import Any, Final

from sandbox.stripe import currencies, ids, pagination
from sandbox.stripe.errors import Refusal, exclusive
from sandbox.stripe.objects.checkout import pricing
from sandbox.stripe.parameters import Currency, Flag, Integer, Interval, Shape, Text
from sandbox.stripe.store import Books, Thing

# What the sandbox starts with: a percent code, an amount code, and one that leaves nothing to pay.
STOCK: Final[tuple[dict[str, Any], ...]] = (
    {"code": "TENOFF", "percent": 10},
    {"code": "TWENTY", "amounts": {"usd": 2_000, "eur": 2_000, "jpy": 3_000, "kwd": 6_000}},
    {"code": "FREE", "percent": 100},
)
NEW: Final = Shape(
    {
        "code": Text(50),
        "percent": Integer(1, 100),
        "amount": Integer(least=1),
        "currency": Currency(),
    },
    required=("code",),
)
LIST: Final = Shape(
    {
        **pagination.PAGING,
        "active": Flag(),
        "code": Text(),
        "coupon": Text(),
        "created": Interval(),
    },
    beyond=("customer", "customer_account"),
)
NOT_VALID: Final = "This code is not valid"


def stock(books: Books) -> None:
    """Make the codes of the start, once in each mode."""
    mode = books.live
    for live in (False, True):
        books.live = live
        if not books.newest("promotion_code", 1):
            for one in STOCK:
                _make(books, **one)
    books.live = mode


def create(books: Books, given: dict[str, Any]) -> Thing:
    """Make a code, as in the dashboard: a percentage, or an amount in one currency."""
    if "percent" in given and "amount" in given:
        raise exclusive("percent", "amount")
    if "percent" not in given and not ("amount" in given and "currency" in given):
        raise Refusal("Give a percent, or an amount and its currency.", param="percent")
    amounts = {given["currency"]: given["amount"]} if "amount" in given else {}
    return _make(books, given["code"], given.get("percent"), amounts)


def retrieve(books: Books, id: str, _given: dict[str, Any]) -> Thing:  # noqa: A002
    """Return a promotion code."""
    return books.require("promotion_code", id, "promotion_code")


def retrieve_coupon(books: Books, id: str, _given: dict[str, Any]) -> Thing:  # noqa: A002
    """Return a coupon."""
    return books.require("coupon", id, "coupon")


def index(books: Books, given: dict[str, Any]) -> Thing:
    """Return promotion codes, newest first, by code, coupon and whether they still work."""
    where = {f"$.{name}": given[name] for name in ("active", "code") if name in given}
    if "coupon" in given:
        where["$.promotion.coupon"] = given["coupon"]
    return pagination.page(books, "promotion_code", "/v1/promotion_codes", given, where=where)


def attach(books: Books, session: Thing, items: list[Thing], given: list[Thing]) -> None:
    """Take the `discounts` that a session is created with off its price.

    Raises Refusal for a coupon or a code that nobody made.
    """
    for number, one in enumerate(given):
        if len(one) > 1:
            raise exclusive(*(f"discounts[{number}][{name}]" for name in one))
        for kind, value in one.items():
            name = f"discounts[{number}][{kind}]"
            found = books.require(kind, value, name, status=400)
            if not _fits(books, found, session["currency"]):
                # https://docs.stripe.com/api/coupons/object#coupon_object-currency
                raise Refusal(
                    f"This discount takes an amount off, and has none in {session['currency']}.",
                    param=name,
                )
            _take_off(books, session, items, found)


def redeem(books: Books, session: Thing, typed: str) -> str:
    """Take a code off an open session, in any case of letters; return what is wrong with it, if.

    One code holds at a time: the last one. https://docs.stripe.com/payments/checkout/discounts
    """
    found = books.newest("promotion_code", 1, where={"$.code": typed.strip().upper()})
    if not found:
        return NOT_VALID
    currency = session["currency"]
    if not _fits(books, found[0], currency):
        return f"This code is not valid for a price in {currency.upper()}"
    items = books.hidden(session["id"])["line_items"]
    _take_off(books, session, items, found[0])
    least = currencies.LEAST.get(currency, 0)
    if 0 < session["amount_total"] < least:
        return f"This code leaves less than {currencies.shown(least, currency)} to pay"
    books.update(session, line_items=items)
    return ""


def count(books: Books, session: Thing) -> None:
    """Note that the codes of a session were used."""
    for one in session["discounts"]:
        for kind in ("promotion_code", "coupon"):
            if one[kind]:
                used = books.get(kind, one[kind])
                used["times_redeemed"] += 1
                books.update(used)


def _coupon(books: Books, found: Thing) -> Thing:
    by_code = found["object"] == "promotion_code"
    return books.get("coupon", found["promotion"]["coupon"]) if by_code else found


def _fits(books: Books, found: Thing, currency: str) -> bool:
    """Tell whether a coupon or code takes something off a price in a currency."""
    coupon = _coupon(books, found)
    return bool(coupon["percent_off"]) or currency in books.hidden(coupon["id"])["amounts"]


def _take_off(books: Books, session: Thing, items: list[Thing], found: Thing) -> None:
    by_code = found["object"] == "promotion_code"
    coupon = _coupon(books, found)
    session["discounts"] = [
        {
            "coupon": None if by_code else found["id"],
            "promotion_code": found["id"] if by_code else None,
        }
    ]
    amounts = books.hidden(coupon["id"])["amounts"]
    off = amounts.get(session["currency"], 0)
    pricing.discount(session, items, coupon["percent_off"], off)


def _make(
    books: Books, code: str, percent: int | None = None, amounts: dict[str, int] | None = None
) -> Thing:
    first = next(iter(amounts.items()), None) if amounts else None
    coupon: Thing = {
        "id": ids.new("", 8),
        "object": "coupon",
        "amount_off": first[1] if first else None,
        "created": books.now,
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
        "created": books.now,
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
    books.add(coupon, amounts=amounts or {})
    books.add(promotion_code)
    return promotion_code
