"""What the doctor says: one line for each thing that was looked at."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. A note is worth knowing, and right in development."""

    weight: Literal["fine", "note", "wrong"]
    text: str
