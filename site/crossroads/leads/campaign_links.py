"""Reads campaign tags from a link, also from one that another program has damaged.

HTML pasted as text leaves `&amp;` between the parameters, a program that encodes an encoded address
makes %2520 of %20, one that appends its own parameters writes a second `?`, a form leaves empty
twins, and text copied from a page carries signs that nobody sees.
"""

import html
import re
from collections.abc import Iterator
from urllib.parse import unquote, unquote_plus

from crossroads.mail.addresses import visible

TAGS = ("utm_source", "utm_medium", "utm_campaign", "utm_term", "utm_content")
QUERY_LENGTH = 8000  # what a web server takes of an address, about
ENCODINGS = 3  # times that an address is encoded, at most
ENCODED = re.compile(r"%[0-9A-Fa-f]{2}")
# What an ampersand becomes: &amp; split at its own ampersand, in any number, or as a JSON escape.
AMPERSAND = r"(?:(?:amp|#0*38|#[xX]0*26);)*"
BEGINS = re.compile(rf"[\s?]*{AMPERSAND}[\s?]*")
ANY, OURS = r"(?=\s*[A-Za-z][\w.-]*\s*=)", r"(?=\s*utm_[a-z]+\s*=)"
# A parameter within what was one: one of ours after any of these signs, and another one after an
# ampersand that a program wrote in its own way. A sound value may hold an address with parameters.
WITHIN = re.compile(
    rf"(?:&{AMPERSAND.removesuffix('*')}+|\\u0026{AMPERSAND}){ANY}|[&?;#]{AMPERSAND}{OURS}",
    re.IGNORECASE,
)
# The same where an equals sign of the value is not encoded: a program that encodes a value
# encodes both.
WITHIN_MANGLED = re.compile(rf"&{AMPERSAND}{ANY}|{WITHIN.pattern}", re.IGNORECASE)
ENTITY = re.compile(r"&(?:#\d+|#[xX][0-9a-fA-F]+|[A-Za-z]\w*);")


def read(query: str) -> dict[str, str]:
    """Return the utm_* parameters of a query as it came, encoded; the first that says something.

    Values are decoded, and not yet cut to what is stored.
    """
    if "utm_" not in query.lower():
        return {}
    found: dict[str, str] = {}
    for piece, encodings in _pieces(query[:QUERY_LENGTH], ENCODINGS):
        for name, value in _parameters(piece, encodings):
            if name in TAGS and value and name not in found:
                found[name] = value
    return found


def _pieces(query: str, encodings: int) -> Iterator[tuple[str, int]]:
    """Yield what stands between two ampersands, and how often it may still be encoded.

    What has no equals sign is a query that was encoded as a whole.
    """
    for piece in query.split("&"):
        if "=" in piece or encodings == 1 or not ENCODED.search(piece):
            yield piece, encodings
        else:
            yield from _pieces(unquote_plus(piece), encodings - 1)


def _parameters(piece: str, encodings: int) -> list[tuple[str, str]]:
    """Return names and values of what stands between two ampersands."""
    sound = "=" not in piece.partition("=")[2]
    parts = (WITHIN if sound else WITHIN_MANGLED).split(_decoded(piece, encodings))
    pairs = (BEGINS.sub("", part, count=1).partition("=") for part in parts)
    return [(name.strip().lower(), _plain(value)) for name, _, value in pairs]


def _decoded(text: str, encodings: int) -> str:
    """Return a text decoded as often as it was encoded, without signs that nobody sees."""
    text = unquote_plus(text)
    for _ in range(encodings - 1):
        if not ENCODED.search(text):
            break
        once = unquote(text)
        if "\ufffd" in once:  # no encoding of a text: the percent sign was meant
            break
        text = once
    return visible(text)


def _plain(value: str) -> str:
    return ENTITY.sub(lambda found: html.unescape(found[0]), value).strip()
