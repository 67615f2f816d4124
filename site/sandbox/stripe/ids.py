"""Ids as Stripe makes them: a prefix that tells the kind, then letters and digits by chance."""

import secrets
import string

LETTERS = string.ascii_letters + string.digits


def new(prefix: str, length: int = 24) -> str:
    """Return a fresh id, like `pi_3…`; 24 letters and digits are more than 128 bits."""
    return f"{prefix}{''.join(secrets.choice(LETTERS) for _ in range(length))}"


def new_session(*, live: bool) -> str:
    """Return a fresh id of a Checkout Session; whoever knows it sees the pay page."""
    return new("cs_live_" if live else "cs_test_", 58)
