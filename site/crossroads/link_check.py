"""Links in a text for a mail: whether each leads anywhere from there, and what was meant if not."""

import re
from collections.abc import Iterator
from urllib.parse import unquote, urlsplit

from email_validator import EmailNotValidError, validate_email

from crossroads import markdown

SCHEME = re.compile(r"([a-z][a-z0-9+.-]*):(?!\d+(?:/|$))", re.IGNORECASE)  # and no host:port
HOST = re.compile(r"(?!-)[^\s/?#@:\\]+(?:\.[^\s/?#@:\\.]+)*\.(?:[^\W\d_]{2,}|xn--[a-z0-9-]+)\.?")
NUMBER = re.compile(r"\+?[0-9][0-9().-]{2,}(?:;[\w=;-]*)?")
# Endings of a file, which no host has: a link to it begins with a slash.
FILES = re.compile(r"\.(?:html?|php|pdf|png|jpe?g|gif|svg|webp|md|txt|docx?|xlsx?)$", re.IGNORECASE)
WHOLE = (
    "write the whole address, such as https://example.com/page, or begin with / for our own page"
)


def problems(text: str, base_url: str) -> Iterator[str]:
    """Yield a sentence for each link in this Markdown that leads nowhere, with a proposal."""
    for link in markdown.links(text):
        if link.address is None:
            yield (
                f"line {link.line}: {link.source} is not read as a link: its address has no spaces "
                "and begins with https://, http://, mailto: or tel:"
            )
        elif not _leads(link.address, base_url):
            meant = _meant(link.address, base_url)
            proposal = f"did you mean {meant}?" if meant else WHOLE
            yield f"line {link.line}: {unquote(link.source)} leads nowhere: {proposal}"


def _leads(address: str, base_url: str) -> bool:
    if address.startswith("/"):
        return not address.startswith("//")
    scheme, _, rest = address.partition(":")
    match scheme.lower():
        case "http" | "https":
            return _is_web(address, base_url)
        case "mailto":
            return _is_mailbox(unquote(rest.partition("?")[0]))
        case "tel":
            return NUMBER.fullmatch(unquote(rest)) is not None
        case _:
            return False


def _is_web(address: str, base_url: str) -> bool:
    try:
        parts = urlsplit(address)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        return False
    own = urlsplit(base_url).hostname
    numbered = re.fullmatch(r"\d+(\.\d+){3}", host) is not None or ":" in host
    return bool(host) and (HOST.fullmatch(host) is not None or host == own or numbered)


def _is_mailbox(address: str) -> bool:
    try:
        validate_email(address, check_deliverability=False, test_environment=True)
    except EmailNotValidError:
        return False
    return True


def _meant(address: str, base_url: str) -> str:
    """Return the address that was meant, nothing where that cannot be told."""
    scheme = SCHEME.match(address)
    # What is twice there, or has one slash too few or too many, is said once and whole.
    bare = re.sub(r"^(?:https?:?/*)+", "", address, flags=re.IGNORECASE).lstrip("/")
    if scheme and scheme[1].lower() == "tel":
        digits = re.sub(r"[^0-9+]", "", unquote(address))
        return f"tel:{digits}" if NUMBER.fullmatch(digits) else ""
    if scheme and scheme[1].lower() not in ("http", "https"):
        return ""
    if _is_mailbox(unquote(bare)):
        return f"mailto:{unquote(bare)}"
    first = re.split(r"[/?#:]", bare)[0]
    web = f"https://{bare}"
    if HOST.fullmatch(first) and not FILES.search(first) and _is_web(web, base_url):
        return web
    relative = not scheme and not address.startswith(("/", "#", "?", ".", "\\"))
    return f"/{address}" if relative and address else ""
