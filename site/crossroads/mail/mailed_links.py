"""Repairs mailed links: removes what mail programs and people add to the end of an address."""

import re
from urllib.parse import unquote

from crossroads.mail.addresses import visible

# A token is 32 letters of URL-safe base64, and may end with - or _.
TOKEN = re.compile(r"[A-Za-z0-9_-]{32}")
REFERENCE = re.compile(r"[A-Za-z0-9_-]*")
# A line end of quoted-printable within a token, with or without its white space (RFC 2045, 6.7).
BREAKS = re.compile(r"=?\s+|=")
MAILED = re.compile(r"/+(confirm|unsubscribe|orders|enrollments|waiting-list)/(.*)", re.DOTALL)
BELOW = ("/calendar.ics", "/invoice")
# What stands behind an address in a text, also as HTML, and is no end of one of our pages.
SIGNS = " \t\r\n\f\v\u00a0.,;:!)]}>\"'*=\\|\u00bb\u2018\u2019\u201c\u201d/"
ENTITY = re.compile(r"&(?:gt|quot|nbsp|#\d{1,4})\Z")  # its semicolon is one of the signs
# Longer ones are no address of ours with something stuck to it.
LONGEST = 1000


def token(text: str) -> str:
    """Return the token in what the address has in its place; the text itself if there is none."""
    if TOKEN.fullmatch(text):
        return text
    shown = visible(text)
    for one in (shown, BREAKS.sub("", shown), unquote(BREAKS.sub("", shown))):
        if found := TOKEN.search(one):
            return found[0]
    return text


def reference(text: str) -> str:
    """Return the part of ?mail= that names a mail: what follows it was stuck to the link."""
    found = REFERENCE.match(visible(text).strip())
    return found[0] if found else ""


def clean(path: str) -> tuple[str, str] | None:
    """Return path and query of the page that a mangled path means, None when it has nothing to it.

    The path is decoded, as WSGI has it. Whether there is such a page is not known here.
    """
    if len(path) > LONGEST:
        return None
    shown = visible(path)
    mailed = MAILED.match(shown)
    if mailed:
        found = TOKEN.search(mailed[2])
        if found is None:
            return None
        rest = mailed[2][found.end() :]
        below = next((one for one in BELOW if rest.startswith(one)), "")
        bare, query = f"/{mailed[1]}/{found[0]}{below}", ""
    else:
        bare, _, query = shown.partition("?")  # a ? that was encoded
        bare, _, more = bare.partition("&") if "&utm_" in bare else (bare, "", "")
        bare = "/" + _unstuck(bare).strip("/")
        query = "&".join(one for one in (query, more) if one)
    return (bare, query) if bare != path else None


def _unstuck(text: str) -> str:
    """Return the text without the signs at its end.

    Taken off one after the other: a pattern that repeats both signs and entities tries every way
    to part a long run of them, which takes very long.
    """
    while True:
        bare = text.rstrip(SIGNS)
        found = ENTITY.search(bare[-6:])
        if found is None:
            return bare
        text = bare[: len(bare) - len(found[0])]
