"""Test cards and test bank accounts, and the outcome of each.

Source: https://docs.stripe.com/testing. Only the last four digits of a number are stored.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal

Outcome = Literal[
    "paid",
    "declined",
    "authenticate",
    "disputed",
    "refunded_later",
    "refund_fails",
    "later",
    "never",
]


class InvalidFields(Exception):
    """Typed values are invalid. `fields` has a message for each field."""

    def __init__(self, fields: dict[str, str]) -> None:
        super().__init__(", ".join(fields))
        self.fields = fields


@dataclass(frozen=True)
class Decline:
    """Why a payment failed, with Stripe's codes and message (https://docs.stripe.com/declines/codes)."""

    code: str
    reason: str
    message: str


@dataclass(frozen=True, kw_only=True)
class Card:
    """A card with a valid number."""

    kind: Literal["card"] = "card"
    brand: str
    last4: str
    exp_month: int
    exp_year: int
    funding: str
    outcome: Outcome
    decline: Decline | None = None


@dataclass(frozen=True, kw_only=True)
class Debit:
    """A bank account with a valid IBAN."""

    kind: Literal["sepa_debit"] = "sepa_debit"
    country: str
    bank_code: str
    last4: str
    outcome: Outcome
    decline: Decline | None = None


Instrument = Card | Debit

DECLINED: Final = Decline("card_declined", "generic_decline", "Your card was declined.")
NOT_A_TEST: Final = Decline(
    "card_declined",
    "test_mode_live_card",
    "Your card was declined. Your request was in test mode, but used a non test card. "
    "For a list of valid test cards, visit: https://stripe.com/docs/testing.",
)
NO_MONEY: Final = Decline(
    "card_declined", "insufficient_funds", "Your card has insufficient funds."
)
EXPIRED: Final = Decline("expired_card", "expired_card", "Your card has expired.")
WRONG_CVC: Final = Decline(
    "incorrect_cvc", "incorrect_cvc", "Your card's security code is incorrect."
)
UNAUTHENTICATED: Final = Decline(
    "payment_intent_authentication_failure",
    "authentication_required",
    "We are unable to authenticate your payment method. "
    "Please choose a different payment method and try again.",
)
BANK_REFUSED: Final = Decline(
    "payment_intent_payment_attempt_failed",
    "generic_decline",
    "The bank account could not be debited.",
)

TEST_CARDS: Final[dict[str, tuple[str, str, Outcome, Decline | None]]] = {
    "4242424242424242": ("visa", "credit", "paid", None),
    "4000056655665556": ("visa", "debit", "paid", None),
    "5555555555554444": ("mastercard", "credit", "paid", None),
    "378282246310005": ("amex", "credit", "paid", None),
    "4000002500003155": ("visa", "credit", "authenticate", None),
    "4000000000000259": ("visa", "credit", "disputed", None),
    "4000000000007726": ("visa", "credit", "refunded_later", None),
    "4000000000005126": ("visa", "credit", "refund_fails", None),
    "4000000000000002": ("visa", "credit", "declined", DECLINED),
    "4000000000009995": ("visa", "credit", "declined", NO_MONEY),
    "4000000000000069": ("visa", "credit", "declined", EXPIRED),
    "4000000000000127": ("visa", "credit", "declined", WRONG_CVC),
}
TEST_ACCOUNTS: Final[dict[str, Outcome]] = {
    "AT321904300235473204": "later",
    "AT861904300235473202": "never",
}


def card(number: str, expiry: str, cvc: str, now: int) -> Card:
    """Return the card that was typed. Raises InvalidFields."""
    invalid = {}
    digits = re.sub(r"[\s-]", "", number)
    if not digits:
        invalid["number"] = "Enter the card number"
    elif not re.fullmatch(r"[0-9]{12,19}", digits) or not _luhn_valid(digits):
        invalid["number"] = "Check the card number: a digit is wrong, missing or too many"
    month, year = _expiry(expiry)
    today = datetime.fromtimestamp(now, UTC)
    if not month:
        invalid["expiry"] = "Enter month and year, like 04/30"
    elif (year, month) < (today.year, today.month):
        invalid["expiry"] = "This date is in the past: check the month and year on the card"
    elif year > today.year + 50:
        invalid["expiry"] = "This year is too far away: check the month and year on the card"
    length = 4 if digits.startswith(("34", "37")) else 3
    if not re.fullmatch(rf"[0-9]{{{length}}}", cvc.strip()):
        invalid["cvc"] = f"Enter the {length} digits of the security code"
    if invalid:
        raise InvalidFields(invalid)
    brand, funding, outcome, decline = TEST_CARDS.get(
        digits, ("visa", "credit", "declined", NOT_A_TEST)
    )
    return Card(
        brand=brand,
        last4=digits[-4:],
        exp_month=month,
        exp_year=year,
        funding=funding,
        outcome=outcome,
        decline=decline,
    )


def debit(iban: str) -> Debit:
    """Parse a typed IBAN (ISO 13616). Raises InvalidFields."""
    text = re.sub(r"\s", "", iban).upper()
    if not text:
        raise InvalidFields({"iban": "Enter the IBAN"})
    numeric = "".join(
        str(int(character, 36)) for character in text[4:] + text[:4] if character.isalnum()
    )
    if not re.fullmatch(r"[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}", text) or int(numeric) % 97 != 1:
        raise InvalidFields({"iban": "Check the IBAN: a character is wrong, missing or too many"})
    if text not in TEST_ACCOUNTS:
        raise InvalidFields(
            {"iban": "Use a test account: AT32 1904 3002 3547 3204 or AT86 1904 3002 3547 3202"}
        )
    return Debit(
        country=text[:2],
        bank_code=text[4:9],
        last4=text[-4:],
        outcome=TEST_ACCOUNTS[text],
        decline=BANK_REFUSED if TEST_ACCOUNTS[text] == "never" else None,
    )


def _luhn_valid(digits: str) -> bool:
    """Tell whether the check digit is correct (ISO/IEC 7812-1, Luhn)."""
    total = 0
    for position, character in enumerate(reversed(digits)):
        doubled = int(character) * (2 if position % 2 else 1)
        total += doubled - 9 if doubled > 9 else doubled
    return total % 10 == 0


def _expiry(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"\s*(0?[1-9]|1[0-2])\s*[/\-. ]?\s*((?:20)?[0-9]{2})\s*", text)
    if match is None:
        return 0, 0
    return int(match[1]), int(match[2]) % 100 + 2000
