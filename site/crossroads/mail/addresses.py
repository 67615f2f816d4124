"""Email addresses and names: clean, parse, compare and hash them."""

import hmac
import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import unquote

import idna
from email_validator import EmailSyntaxError, validate_email

KEY_LENGTH = 320  # characters in the columns
EMAIL_LENGTH = 254  # RFC 5321 section 4.5.3.1.3, less the angle brackets
PLAIN = re.compile(r"[a-z0-9._+-]+@[a-z0-9.-]*[a-z0-9]")  # like most addresses: nothing to clean
# Invisible letters and marks, besides the category Cf:
# https://www.unicode.org/reports/tr44/#Default_Ignorable_Code_Point
UNSEEN = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
# Of these, the variation selectors: they choose a letter's shape, as in some Japanese names.
SHAPES = re.compile("[\u180b-\u180f\ufe00-\ufe0f\U000e0100-\U000e01ef]")
QUOTES = re.compile('["\u201c-\u201f\u00ab\u00bb\uff02]')
SCHEME = re.compile(r"mailto:(?://)?", re.IGNORECASE)
NAMED = re.compile(r"([^<>]*)<([^<>]*)>[ .,;]*")
AROUND_AT = re.compile(r" *@ *")
DOTS = str.maketrans("\u3002\uff61", "..")  # the dot on a Japanese keyboard
# An apostrophe inside a mailbox's name belongs to it; at either end it is a pasted quote.
APOSTROPHES = "'\u2018\u2019"
OPENING = f'<(["\u201c\u201e\u00ab{APOSTROPHES}'
CLOSING = f'>)]"\u201d\u201c\u00bb.,;: {APOSTROPHES}'
JOINERS = "\u200c\u200d"


@dataclass(frozen=True, kw_only=True)
class Address:
    """An address as it is mailed, the key that all its spellings share, and the key's hash.

    `typed` is the cleaned spelling, the only one that is mailed. `former` is the hash of the key
    that releases before migration 0016 made, None where it is the same: suppressions of erased
    people are stored under it.
    """

    typed: str
    key: str
    hash: str
    former: str | None = None


def parse(email: str, suppression_key: str) -> Address:
    """Parse an address that was typed or pasted. Raises email_validator.EmailNotValidError."""
    key = email_key(email)
    address_text = cleaned(email)
    hashed = address_hash(key, suppression_key)
    if address_text.isascii():
        return Address(typed=address_text, key=key, hash=hashed)
    former = former_key(key)
    other = address_hash(former, suppression_key) if former != key else None
    return Address(typed=address_text, key=key, hash=hashed, former=other)


@lru_cache(maxsize=256)  # a form, its response and its mail use the same address
def cleaned(text: str) -> str:
    """Return the one spelling of a typed or pasted address, as it is shown, stored and mailed.

    Removes invisible characters, a mailto:, a name before the address, and brackets, quotes and
    punctuation around it. Makes full-width letters plain, and all letters lower case: two spellings
    with one key are one mailbox, so typing an address in another form first cannot divert mail.
    RFC 5321 section 2.4 allows mailboxes that differ only in case, and discourages them; we know
    of no provider that has them.
    A text that is not a single address only loses invisible characters and outer spaces: the form
    shows the value as it was entered.
    """
    if PLAIN.fullmatch(text):
        return text
    text = visible(text).strip()
    found = unicodedata.normalize("NFKC", text)
    if not found.isprintable():  # a line break is not a typing error
        return text
    found = SCHEME.sub("", found, count=1) if (link := SCHEME.match(found)) else found
    if link:
        found = visible(unquote(found.partition("?")[0]))
    found = _bare(_from_named(found))
    if found.count("@") != 1 or QUOTES.search(found):  # a quoted mailbox is not changed
        return text
    mailbox, _, domain = AROUND_AT.sub("@", found).partition("@")
    return f"{folded(mailbox)}@{domain.translate(DOTS).lower()}"


def at_signs(text: str) -> int:
    """Count the @ signs in a text, full-width and small ones included."""
    return unicodedata.normalize("NFKC", text).count("@")


def folded(text: str) -> str:
    """Return the text for comparison: compatibility forms as plain letters, in lower case.

    Lower case as in RFC 8265 section 3.3, not case folding: that turns ß into "ss" and both small
    sigmas into one, but those are different mailboxes. A capital I with a dot becomes two code
    points, i and a dot above.
    """
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).lower())


def visible(text: str) -> str:
    """Return a text without invisible characters and with one kind of space."""
    if text.isascii():
        return text.replace("\t", " ")
    return _without_format(UNSEEN.sub("", text))


def cleaned_name(text: str) -> str:
    """Return a typed or pasted name of a person, as it is shown, stored and mailed.

    Removes invisible characters except those that choose a letter's shape, and leaves one kind of
    space. A control character or a line break stays: validation reports it.
    """
    if text.isascii():
        return text.strip()
    letters = "".join(sign for sign in text if not UNSEEN.fullmatch(sign) or SHAPES.fullmatch(sign))
    shown = _without_format(letters).strip()
    return shown if SHAPES.sub("", shown) else ""


def _without_format(text: str) -> str:
    shown = []
    for place, sign in enumerate(text):
        kind = unicodedata.category(sign)
        if kind != "Cf" or (sign in JOINERS and _joins(text, place)):
            shown.append(" " if kind == "Zs" or sign == "\t" else sign)
    return "".join(shown)


@lru_cache(maxsize=256)
def email_key(email: str) -> str:
    """Return the key that all spellings of one mailbox share: cleaned, with an ASCII domain.

    Raises email_validator.EmailNotValidError, also when the key is too long to store:
    normalization turns one letter into up to eighteen.
    """
    address_text = cleaned(email)
    if at_signs(address_text) > 1:
        raise EmailSyntaxError("An email address has a single @.")
    if QUOTES.search(folded(address_text)):
        raise EmailSyntaxError("An email address has no quotes: write it without them.")
    address = validate_email(address_text, check_deliverability=False)
    key = f"{folded(address.local_part)}@{address.ascii_domain or address.domain}"
    if len(key) > KEY_LENGTH or len(address_text) > EMAIL_LENGTH:
        raise EmailSyntaxError("The address is too long.")
    return key


def former_key(key: str) -> str:
    """Return the address's key as before migration 0016, which used full case folding."""
    mailbox, _, domain = key.rpartition("@")
    return f"{unicodedata.normalize('NFKC', mailbox).casefold()}@{domain}"


def address_hash(key: str, suppression_key: str) -> str:
    """Return the HMAC-SHA256 of an address's key in hex: not guessable without the secret."""
    return hmac.digest(suppression_key.encode(), key.encode(), "sha256").hex()


def _joins(text: str, place: int) -> bool:
    """Return whether a joiner is valid here: without it, the address would be a different one.

    https://www.rfc-editor.org/rfc/rfc5892#appendix-A.1
    """
    try:
        return idna.core.valid_contextj(text, place)
    except ValueError:  # a character without a Unicode name
        return False


def _from_named(text: str) -> str:
    """Return the address of `Name <address>`, unless the name is a different address."""
    match = NAMED.fullmatch(text)
    if match is None:
        return text
    name, address = _bare(match[1]), _bare(match[2])
    same = "@" not in name or folded(name) == folded(address)
    return address if same and "@" in address else text


def _bare(text: str) -> str:
    """Return a text without brackets, quotes, punctuation and spaces around it."""
    return text.strip().lstrip(OPENING + " ").rstrip(CLOSING)
