"""Email addresses: as typed, as compared, and as a keyed hash that outlives them."""

import hmac
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

from email_validator import EmailSyntaxError, validate_email

KEY_LENGTH = 320  # what the columns hold


@dataclass(frozen=True, kw_only=True)
class Address:
    """An address as typed, where mail goes; its key, by which spellings are one; the key's hash."""

    typed: str
    key: str
    hash: str


def read(email: str, suppression_key: str) -> Address:
    """Return an address that was typed. Raises email_validator.EmailNotValidError."""
    key = email_key(email)
    return Address(typed=email, key=key, hash=address_hash(key, suppression_key))


@lru_cache(maxsize=256)  # a form, its answer and its mail ask for the same one in turn
def email_key(email: str) -> str:
    """Return what two spellings of one person's address have in common.

    Case and Unicode form do not tell people apart, and a domain is one in both its spellings:
    RFC 5321 lets a mailbox name be case-sensitive, but no provider of note does so.
    Raises email_validator.EmailNotValidError, also for an address whose key grows too long to
    keep: there are letters that stand for eighteen others.
    """
    address = validate_email(email, check_deliverability=False)
    local = unicodedata.normalize("NFKC", address.local_part).casefold()
    key = f"{local}@{address.ascii_domain or address.domain}"
    if len(key) > KEY_LENGTH:
        raise EmailSyntaxError("The address is too long.")
    return key


def address_hash(key: str, suppression_key: str) -> str:
    """Return the HMAC-SHA256 of an address's key in hex: nobody without the key can guess it."""
    return hmac.digest(suppression_key.encode(), key.encode(), "sha256").hex()
