"""A finding of the doctor: one line per check."""

from dataclasses import dataclass
from typing import Literal

from crossroads.payments import PaymentsUnclear


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. A note is worth knowing, and right in development."""

    weight: Literal["fine", "note", "wrong"]
    text: str


def unclear(what: str, error: PaymentsUnclear) -> Finding:
    """Say that an answer of Stripe's about `what` was misread; the error names its field."""
    return Finding("wrong", f"{what}: {error}: this version of the site misreads Stripe: update it")
