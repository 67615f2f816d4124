"""Fixtures of fault tests: a site in real processes, on either database."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.faults.shop import Shop, shop


@pytest.fixture
def open_shop(tmp_path: Path, database_url: str) -> Iterator[Callable[..., Shop]]:
    """Opens a site with the given number of web workers."""
    with ExitStack() as stack:
        yield lambda workers: stack.enter_context(shop(tmp_path, database_url, workers))
