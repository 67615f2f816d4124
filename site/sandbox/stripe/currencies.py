"""The currencies that Stripe charges in: decimals, limits and formatted amounts.

Source: https://docs.stripe.com/currencies
"""

from typing import Final

ZERO_DECIMAL: Final = frozenset(
    "bif clp djf gnf jpy kmf krw mga pyg rwf vnd vuv xaf xof xpf".split()  # noqa: SIM905
)
# The last digit must be 0, as card networks take two decimals.
THREE_DECIMAL: Final = frozenset("bhd jod kwd omr tnd".split())  # noqa: SIM905
TWO_DECIMAL: Final = frozenset(
    """usd aed afn all amd ang aoa ars aud awg azn bam bbd bdt bgn bmd bnd bob brl bsd bwp byn bzd
    cad cdf chf cny cop crc cve czk dkk dop dzd egp etb eur fjd fkp gbp gel gip gmd gtq gyd hkd hnl
    htg huf idr ils inr isk jmd kes kgs khr kyd kzt lak lbp lkr lrd lsl mad mdl mkd mmk mnt mop mur
    mvr mwk mxn myr mzn nad ngn nio nok npr nzd pab pen pgk php pkr pln qar ron rsd rub sar sbd scr
    sek sgd shp sle sos srd std szl thb tjs top try ttd twd tzs uah ugx uyu uzs wst xcd yer zar
    zmw""".split()  # noqa: SIM905
)
ALL: Final = ZERO_DECIMAL | THREE_DECIMAL | TWO_DECIMAL

MAXIMUM: Final = 99_999_999  # eight digits, in nearly every currency
# The minimum charge, in the smallest unit; none where Stripe's list has none.
MINIMUM: Final = {
    "usd": 50, "aed": 200, "aud": 50, "bgn": 100, "brl": 50, "cad": 50, "chf": 50, "czk": 1500,
    "dkk": 250, "eur": 50, "gbp": 30, "hkd": 400, "huf": 17500, "inr": 50, "jpy": 50, "mxn": 1000,
    "myr": 200, "nok": 300, "nzd": 50, "pln": 200, "ron": 200, "sek": 300, "sgd": 50, "thb": 1000,
}  # fmt: skip
SIGNS: Final = {"usd": "$", "eur": "€", "gbp": "£", "jpy": "¥"}


def digits(currency: str) -> int:
    """Return the number of decimals of a currency."""
    return 0 if currency in ZERO_DECIMAL else 3 if currency in THREE_DECIMAL else 2


def formatted(amount: int, currency: str) -> str:
    """Return an amount in the smallest unit as text: `$1,999.00`, `KWD 12.340`."""
    places = digits(currency)
    number = f"{amount / 10**places:,.{places}f}"
    sign = SIGNS.get(currency)
    return f"{sign}{number}" if sign else f"{currency.upper()} {number}"
