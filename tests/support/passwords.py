"""Password hashes that cost little, for tests that sign in to get to something else."""

import pytest
from argon2 import PasswordHasher, profiles

from crossroads.staff import accounts

SLOW_HASHER = accounts.hasher


def pytest_configure() -> None:
    """Hash with the least that Argon2 allows, in this process."""
    accounts.hasher = PasswordHasher.from_parameters(profiles.CHEAPEST)


@pytest.fixture
def slow_hashing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hash passwords as outside of tests."""
    monkeypatch.setattr(accounts, "hasher", SLOW_HASHER)
