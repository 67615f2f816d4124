"""Amounts in display format."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossroads import money
from sandbox.stripe import currencies


@pytest.mark.parametrize(
    ("amount", "currency", "shown"),
    [
        (120000, "USD", "$1,200"),
        (120050, "USD", "$1,200.50"),
        (5, "USD", "$0.05"),
        (0, "USD", "$0"),
        (-120005, "USD", "-$1,200.05"),
        (99900, "EUR", "€999"),
        (120000, "JPY", "¥120,000"),
        (1200000, "KWD", "KWD\N{NO-BREAK SPACE}1,200"),
        (1200005, "KWD", "KWD\N{NO-BREAK SPACE}1,200.005"),
    ],
)
def test_money_is_shown_in_full_units(amount: int, currency: str, shown: str) -> None:
    assert money.display(amount, currency) == shown


@given(amount=st.integers(), currency=st.sampled_from(sorted(money.DIGITS)))
def test_displayed_amount_keeps_every_digit(amount: int, currency: str) -> None:
    shown = money.display(amount, currency)
    whole, _, rest = "".join(c for c in shown if c in "-.0123456789").partition(".")
    rest = rest or "0" * money.DIGITS[currency]
    assert int(whole + rest) == amount
    assert len(rest) == money.DIGITS[currency]


def test_unknown_currency_raises_key_error() -> None:
    with pytest.raises(KeyError):
        money.display(1, "XXX")


@pytest.mark.parametrize(
    ("amount", "currency", "written"),
    [
        (120000, "USD", "1200.00"),
        (5, "EUR", "0.05"),
        (-120005, "USD", "-1200.05"),
        (120000, "JPY", "120000"),
        (1200005, "KWD", "1200.005"),
    ],
)
def test_decimal_amount_has_all_digits_and_no_currency_sign(
    amount: int, currency: str, written: str
) -> None:
    assert money.decimal(amount, currency) == written


@pytest.mark.parametrize(
    ("currency", "least"), [("USD", 50), ("EUR", 50), ("GBP", 30), ("JPY", 50), ("KWD", None)]
)
def test_minimum_charge_at_stripe_is_known(currency: str, least: int | None) -> None:
    assert money.minimum(currency) == least


def test_minimum_charge_is_the_same_in_site_and_sandbox() -> None:
    known = {code: money.minimum(code) for code in money.DIGITS}
    assert known == {code: currencies.MINIMUM.get(code.lower()) for code in money.DIGITS}
