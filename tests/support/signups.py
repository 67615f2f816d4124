"""Sign-up forms and the words of the page that answers."""

import re
from html import unescape

GOOD = {"email": "maria@example.com", "name": "Maria", "consent": "yes"}


def shown(html: str) -> str:
    """Return the words of a page as a reader gets them."""
    body = re.sub(r"<(script|head)\b.*?</\1>", " ", html, flags=re.S)
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", "", body)))
