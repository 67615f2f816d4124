"""Repairs mailed links: removes characters that mail programs and people add to an address."""

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
# Characters that follow an address in a text or in HTML; none of our paths ends with one.
SIGNS = " \t\r\n\f\v\u00a0.,;:!)]}>\"'*=\\|\u00bb\u2018\u2019\u201c\u201d/"
ENTITY = re.compile(r"&(?:gt|quot|nbsp|#\d{1,4})\Z")  # its semicolon is one of the signs
# A longer path is not one of our addresses with a few characters added.
LONGEST = 1000


def token(text: str) -> str:
    """Return the token within this part of the address; the text itself if there is none."""
    if TOKEN.fullmatch(text):
        return text
    shown = visible(text)
    for one in (shown, BREAKS.sub("", shown), unquote(BREAKS.sub("", shown))):
        if found := TOKEN.search(one):
            return found[0]
    return text


def reference(text: str) -> str:
    """Return the reference in ?mail= without the characters that were added after it."""
    found = REFERENCE.match(visible(text).strip())
    return found[0] if found else ""


def clean(path: str) -> tuple[str, str] | None:
    """Return path and query of a damaged path's page; None if there is nothing to repair.

    The path is decoded, as in WSGI. Does not check whether the page exists.
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
        bare, _, query = shown.partition("?")  # an encoded ?
        bare, _, more = bare.partition("&") if "&utm_" in bare else (bare, "", "")
        bare = "/" + _unstuck(bare).strip("/")
        query = "&".join(one for one in (query, more) if one)
    return (bare, query) if bare != path else None


def _unstuck(text: str) -> str:
    """Return the text without the SIGNS and entities at its end.

    In a loop: one pattern that repeats both would try every way to split a long run of them,
    which is very slow.
    """
    while True:
        bare = text.rstrip(SIGNS)
        found = ENTITY.search(bare[-6:])
        if found is None:
            return bare
        text = bare[: len(bare) - len(found[0])]
