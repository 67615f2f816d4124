"""Sign-up forms and the text of the response."""

import re
from html import unescape

GOOD = {"email": "maria@example.com", "name": "Maria", "consent": "yes"}


def shown(html: str) -> str:
    """Return the text of a page as a reader sees it."""
    body = re.sub(r"<(script|head)\b.*?</\1>", " ", html, flags=re.S)
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", "", body)))
