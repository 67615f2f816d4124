"""What a campaign link says of where its reader comes from, also when programs have mangled it.

HTML pasted as text leaves `&amp;` between the parameters, a program that encodes an encoded address
makes %2520 of %20, one that appends its own parameters writes a second `?`, a form leaves empty
twins, and text copied from a page carries signs that nobody sees.
"""

import html
import re
from urllib.parse import unquote, unquote_plus

from crossroads.addresses import visible

TAGS = ("utm_source", "utm_medium", "utm_campaign", "utm_term", "utm_content")
QUERY_LENGTH = 8000  # what a web server takes of an address, about
ENCODINGS = 3  # times that an address is encoded, at most
ENCODED = re.compile(r"%[0-9A-Fa-f]{2}")
# What an ampersand becomes: &amp; split at its own ampersand, in any number, or as a JSON escape.
AMPERSAND = r"(?:(?:amp|#0*38|#[xX]0*26);)*"
BEGINS = re.compile(rf"[\s?]*{AMPERSAND}[\s?]*")
# A parameter within what was one: after an encoded ampersand any, after other signs one of ours.
WITHIN = re.compile(
    rf"(?:&|\\u0026){AMPERSAND}(?=\s*[A-Za-z][\w.-]*\s*=)|[?;#]{AMPERSAND}(?=\s*utm_[a-z]+\s*=)",
    re.IGNORECASE,
)


def read(query: str) -> dict[str, str]:
    """Return the utm_* parameters of a query as it came, encoded; the first that says something.

    Values are decoded, and not yet cut to what is stored.
    """
    if "utm_" not in query.lower():
        return {}
    found: dict[str, str] = {}
    for piece in query[:QUERY_LENGTH].split("&"):
        for name, value in _parameters(piece):
            if name in TAGS and value and name not in found:
                found[name] = value
    return found


def _parameters(piece: str) -> list[tuple[str, str]]:
    """Return names and values of what stands between two ampersands."""
    text = _decoded(piece)
    parts = WITHIN.split(text)
    pairs = (BEGINS.sub("", part, count=1).partition("=") for part in parts)
    return [(name.strip().lower(), _plain(value)) for name, _, value in pairs]


def _decoded(text: str) -> str:
    """Return a text decoded as often as it was encoded, without signs that nobody sees."""
    form = "=" not in text  # then the whole is encoded, with its plus signs
    text = unquote_plus(text)
    for _ in range(ENCODINGS - 1):
        if not ENCODED.search(text):
            break
        once = unquote_plus(text) if form else unquote(text)
        if "\ufffd" in once:  # no encoding of a text: the percent sign was meant
            break
        form = form and "=" not in text
        text = once
    return visible(text)


def _plain(value: str) -> str:
    return (html.unescape(value) if "&" in value and ";" in value else value).strip()
