"""Object ids: a prefix for the kind, then random letters and digits."""

import secrets
import string

LETTERS = string.ascii_letters + string.digits


def new(prefix: str, length: int = 24) -> str:
    """Return a new id, like `pi_3…`; 24 random characters are more than 128 bits."""
    return f"{prefix}{''.join(secrets.choice(LETTERS) for _ in range(length))}"


def new_session(*, live: bool) -> str:
    """Return a new id of a Checkout Session; it gives access to the payment page."""
    return new("cs_live_" if live else "cs_test_", 58)
