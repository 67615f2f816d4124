"""Checks the Stripe account: the key, its rights, mode, and clock."""

import re
from collections.abc import Callable, Generator, Iterator
from datetime import timedelta
from secrets import token_hex
from typing import Final
from urllib.parse import urlsplit

from crossroads.ops.doctor.finding import Finding, unclear
from crossroads.payments import (
    TOLERANCE,
    Account,
    Gateway,
    PaymentsDenied,
    PaymentsError,
    PaymentsForbidden,
    PaymentsRefused,
    PaymentsUnclear,
)
from crossroads.settings import Settings
from models import now

# https://docs.stripe.com/keys#obtain-api-keys
SECRET_KEY: Final = re.compile(r"(sk|rk)_(test|live)_[A-Za-z0-9_]+")
STRIPE: Final = "https://api.stripe.com"
SKEW: Final = timedelta(seconds=60)
DAY: Final = timedelta(days=1)

# What a restricted key must be allowed, and a question that tells. One that could change something
# is about a thing that there cannot be.
# https://docs.stripe.com/keys#limit-access
RIGHTS: Final[dict[str, Callable[[Gateway], object]]] = {
    "Balance: Read": lambda gateway: gateway.account(),
    "Checkout Sessions: Write": lambda gateway: gateway.expire("cs_none"),
    "PaymentIntents: Read": lambda gateway: next(gateway.checkouts(now() - DAY), None),
    "Charges and Refunds: Write": lambda gateway: gateway.refund(
        "pi_none", None, key=f"doctor-{token_hex(8)}", reference="doctor"
    ),
    "Invoices: Read": lambda gateway: gateway.newest_invoice(),
    "Disputes: Read": lambda gateway: next(gateway.disputes("pi_none"), None),
    "Events: Read": lambda gateway: next(gateway.events(now() - DAY), None),
    "Webhook Endpoints: Read": lambda gateway: next(gateway.endpoints(), None),
}


def examine(settings: Settings, gateway: Gateway) -> Generator[Finding, None, Account | None]:
    """Yield findings about the key; return its account, or None when that is unknown."""
    yield from (Finding("wrong", fault) for fault in _faults(settings))
    if settings.stripe_test:
        yield Finding("note", "STRIPE_TEST: the site takes no real money, and its pages say so")
    # An invalid key is not tried, and a live key is sent to Stripe only.
    base = _base(settings)
    key = settings.stripe_secret_key
    if not SECRET_KEY.fullmatch(key):
        return None
    if base != STRIPE and (settings.production or gateway.live):
        return None
    try:
        lacking = list(_lacking(gateway)) if key.startswith("rk_") else []
        for right in lacking:
            yield Finding(
                "wrong",
                f"STRIPE_SECRET_KEY: the restricted key lacks the right {right}: "
                "give it that in Stripe's dashboard",
            )
        found = gateway.account()
    except PaymentsForbidden:
        return None  # reported above
    except PaymentsDenied:
        yield Finding(
            "wrong", "STRIPE_SECRET_KEY: Stripe refuses it: copy it again from the dashboard"
        )
        return None
    except PaymentsUnclear as error:
        yield unclear("Stripe's balance", error)
        return None
    except PaymentsError as error:
        hint = "" if base == STRIPE else "; start the sandbox with flask sandbox"
        yield Finding("wrong", f"Stripe does not answer at {base}: {error}{hint}")
        return None
    yield from _account(found, base)
    return found


def _account(found: Account, base: str) -> Iterator[Finding]:
    who = "Stripe" if base == STRIPE else f"Stripe sandbox at {base}"
    yield Finding("fine", f"{who} accepts the key, in {'live' if found.live else 'test'} mode")
    ahead = now() - found.clock
    if abs(ahead) < SKEW:
        yield Finding("fine", "clock, within a minute of Stripe's")
    else:
        seconds = round(ahead.total_seconds())
        way = "ahead of" if seconds > 0 else "behind"
        yield Finding(
            "wrong",
            f"clock: this machine's is {abs(seconds)} seconds {way} Stripe's: set it by NTP; "
            f"from {TOLERANCE} on no webhook verifies",
        )


def _lacking(gateway: Gateway) -> Iterator[str]:
    """Yield the rights that the key lacks, by Stripe's names."""
    reported = set()
    for name, ask in RIGHTS.items():
        try:
            ask(gateway)
        except PaymentsForbidden as error:
            right = error.right or name
            if right not in reported:
                yield right
            reported.add(right)
        except (PaymentsRefused, PaymentsUnclear):
            pass  # not found, or misread: the key has the right to ask


def _faults(settings: Settings) -> Iterator[str]:
    key = settings.stripe_secret_key
    if not key:
        yield "STRIPE_SECRET_KEY: set it to the secret key of your Stripe account"
    elif not SECRET_KEY.fullmatch(key):
        yield "STRIPE_SECRET_KEY: is no secret key of Stripe's: those begin with sk_ or rk_"
    if settings.production and _base(settings) != STRIPE:
        yield f"STRIPE_API_BASE: points to {_base(settings)}, and this is production: leave it out"


def _base(settings: Settings) -> str:
    """Return the address of Stripe's API, without a password in it."""
    if not settings.stripe_api_base:
        return STRIPE
    parts = urlsplit(settings.stripe_api_base)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
