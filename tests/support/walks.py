"""Walks through many cases: a part of them in `make test`, all of them in `make faults`.

A test with cases from here is marked with `walk`, so that `make faults` selects it.
"""

import os
from collections.abc import Sequence
from typing import Final, TypeVar

import pytest

WHOLE: Final = bool(os.environ.get("WHOLE_WALKS"))
walk = pytest.mark.walk

T = TypeVar("T")


def each(cases: Sequence[T], nth: int, first: int = 0) -> list[T]:
    """Return all cases, or every nth one, beginning with the case at `first`."""
    return list(cases) if WHOLE else list(cases[first::nth])


def examples(whole: int, some: int) -> int:
    """Return how many examples to generate."""
    return whole if WHOLE else some
