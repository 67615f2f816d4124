"""People in tests, by their addresses as the site knows them."""

from crossroads import addresses
from crossroads.addresses import Address

# What a test hashes is found by the site that it runs.
SUPPRESSION_KEY = "a key for tests that hashes addresses"


def address(email: str = "maria@example.com") -> Address:
    """Return an address as the site reads it."""
    return addresses.read(email, SUPPRESSION_KEY)


def hashed(email: str = "maria@example.com") -> str:
    """Return the keyed hash of an address."""
    return address(email).hash
