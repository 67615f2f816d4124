"""Money as text: an integer of the smallest unit and an ISO code, never a float."""

import re
from typing import Final

# Digits after the point, by ISO 4217 code. Prices can be in these currencies only.
DIGITS: Final = {
    "AED": 2, "AUD": 2, "BHD": 3, "BRL": 2, "CAD": 2, "CHF": 2, "CLP": 0, "CNY": 2, "COP": 2,
    "CZK": 2, "DKK": 2, "EUR": 2, "GBP": 2, "HKD": 2, "IDR": 2, "ILS": 2, "INR": 2, "JOD": 3,
    "JPY": 0, "KRW": 0, "KWD": 3, "MXN": 2, "MYR": 2, "NOK": 2, "NZD": 2, "OMR": 3, "PHP": 2,
    "PLN": 2, "RON": 2, "SAR": 2, "SEK": 2, "SGD": 2, "THB": 2, "TND": 3, "TRY": 2, "TWD": 2,
    "USD": 2, "VND": 0, "ZAR": 2,
}  # fmt: skip
_SIGNS: Final = {
    "AUD": "A$", "BRL": "R$", "CAD": "CA$", "EUR": "€", "GBP": "£", "HKD": "HK$", "ILS": "₪",
    "INR": "₹", "JPY": "¥", "KRW": "₩", "MXN": "MX$", "NZD": "NZ$", "USD": "$",
}  # fmt: skip
# The minimum that Stripe charges, in the smallest unit, where Stripe documents one.
# https://docs.stripe.com/currencies#minimum-and-maximum-charge-amounts
_LEAST: Final = {
    "AED": 200, "AUD": 50, "BRL": 50, "CAD": 50, "CHF": 50, "CZK": 1500, "DKK": 250, "EUR": 50,
    "GBP": 30, "HKD": 400, "INR": 50, "JPY": 50, "MXN": 1000, "MYR": 200, "NOK": 300, "NZD": 50,
    "PLN": 200, "RON": 200, "SEK": 300, "SGD": 50, "THB": 1000, "USD": 50,
}  # fmt: skip


def display(amount: int, currency: str) -> str:
    """Format an amount of the smallest unit in full units: 120000 USD is "$1,200".

    The part after the point is left out when it is zero. A currency without a sign in _SIGNS gets
    its code and a no-break space. Raises KeyError for a currency not in DIGITS.
    """
    digits = DIGITS[currency]
    units, rest = divmod(abs(amount), 10**digits)
    number = f"{units:,}.{rest:0{digits}}" if rest else f"{units:,}"
    sign = _SIGNS.get(currency, f"{currency}\N{NO-BREAK SPACE}")
    return f"{'-' if amount < 0 else ''}{sign}{number}"


def with_code(amount: int, currency: str) -> str:
    """Format an amount as display does, with the currency's code: "$1,200 USD"."""
    words = display(amount, currency)
    return words if words.startswith(currency) else f"{words} {currency}"


def decimal(amount: int, currency: str) -> str:
    """Format an amount of the smallest unit for programs: 120000 USD is "1200.00".

    Raises KeyError for a currency not in DIGITS.
    """
    digits = DIGITS[currency]
    units, rest = divmod(abs(amount), 10**digits)
    return f"{'-' if amount < 0 else ''}{units}" + (f".{rest:0{digits}}" if digits else "")


def parse(text: str, currency: str) -> int:
    """Parse an amount in full units as people type it: "1,200.50" USD is 120050.

    Raises ValueError on anything else, and on more digits than the currency has.
    """
    digits = DIGITS[currency]
    found = re.fullmatch(r"([0-9]{1,12}|[0-9]{1,3}(?:,[0-9]{3}){1,3})(?:\.([0-9]+))?", text.strip())
    if found is None or len(found[2] or "") > digits:
        raise ValueError(f"{text!r} is no amount of {currency}")
    return int(found[1].replace(",", "") + (found[2] or "").ljust(digits, "0"))


def step(currency: str) -> int:
    """Return the step of amounts that Stripe accepts, in the currency's smallest unit.

    https://docs.stripe.com/currencies#three-decimal
    """
    return 10 if DIGITS[currency] == 3 else 1


def minimum(currency: str) -> int | None:
    """Return Stripe's minimum charge in the currency's smallest unit; None if none is documented.

    If an account is paid out in another currency, that currency's minimum applies, too, converted.
    https://docs.stripe.com/currencies#minimum-and-maximum-charge-amounts
    """
    return _LEAST.get(currency)
