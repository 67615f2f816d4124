"""Cheap password hashes for tests that sign in but do not test passwords."""

import pytest
from argon2 import PasswordHasher, profiles

from crossroads.staff import accounts

SLOW_HASHER = accounts.hasher


def pytest_configure() -> None:
    """Hash with the cheapest parameters of Argon2 in this process."""
    accounts.hasher = PasswordHasher.from_parameters(profiles.CHEAPEST)


@pytest.fixture
def slow_hashing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hash passwords with the parameters of production."""
    monkeypatch.setattr(accounts, "hasher", SLOW_HASHER)
