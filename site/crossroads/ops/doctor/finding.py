"""A finding of the doctor: one line per check."""

from dataclasses import dataclass
from typing import Literal

from crossroads.payments import PaymentsUnclear


@dataclass(frozen=True)
class Finding:
    """The result of one check. A note is worth knowing, and normal in development."""

    weight: Literal["fine", "note", "wrong"]
    text: str


def unclear(what: str, error: PaymentsUnclear) -> Finding:
    """Return the finding that an answer about `what` was misread; the error names its field."""
    return Finding("wrong", f"{what}: {error}: this version of the site misreads Stripe: update it")
