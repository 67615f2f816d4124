"""Checks the links of a mail, and proposes a correction for a broken one."""

import re
from collections.abc import Collection, Iterator
from difflib import get_close_matches
from urllib.parse import SplitResult, unquote, urlsplit

from email_validator import EmailNotValidError, validate_email

from crossroads.content import Content, markdown

SCHEME = re.compile(r"([a-z][a-z0-9+.-]*):(?!\d+(?:/|$))", re.IGNORECASE)  # and no host:port
HOST = re.compile(r"(?!-)[^\s/?#@:\\]+(?:\.[^\s/?#@:\\.]+)*\.(?:[^\W\d_]{2,}|xn--[a-z0-9-]+)\.?")
NUMBER = re.compile(r"\+?[0-9][0-9().-]{2,}(?:;[\w=;-]*)?")
# Endings of a file, which no host has: a link to it begins with a slash.
FILES = re.compile(r"\.(?:html?|php|pdf|png|jpe?g|gif|svg|webp|md|txt|docx?|xlsx?)$", re.IGNORECASE)
PORTS = {"http": 80, "https": 443}
ENDS = re.compile(r"[?#]")  # of a path
NO_PAGE = "this site has no such page"
WHOLE = (
    "write the whole address, such as https://example.com/page, or begin with / for our own page"
)


def own_paths(content: Content) -> frozenset[str]:
    """Return every path that mail may link to, with the parameter that a page needs."""
    pictures = ("site", *(page[1:] for page in content.pages if page.count("/") == 2))
    return frozenset(
        (
            *content.pages,
            *("/signup", "/sitemap.xml", "/robots.txt", "/favicon.ico"),
            *(f"/courses/{course.slug}/enroll" for course in content.courses),
            *(
                f"/courses/{course.slug}/waiting-list?cohort={cohort.code}"
                for course in content.courses
                for cohort in course.cohorts
            ),
            *(f"/share/{name}.png" for name in pictures),
        )
    )


def problems(text: str, base_url: str, pages: Collection[str]) -> Iterator[str]:
    """Yield a sentence for each broken link in this Markdown, with a proposal.

    `pages` are the paths of this site that a mail may lead to, each with the parameter that it
    needs. Other sites are not checked.
    """
    for link in markdown.links(text):
        if link.address is None:
            yield (
                f"line {link.line}: {link.source} is not read as a link: its address has no spaces "
                "and begins with https://, http://, mailto: or tel:"
            )
            continue
        ours = _own_path(link.address, base_url)
        if ours is not None:
            if not _is_page(ours, pages):
                whole = "" if link.address.startswith("/") else base_url
                yield _wrong(link, _nearest(ours, pages, whole), NO_PAGE)
        elif not link.bare and not _leads(link.address, base_url):
            yield _wrong(link, _suggest(link.address, base_url, pages), WHOLE)


def _wrong(link: markdown.Link, suggestion: str, otherwise: str) -> str:
    proposal = f"did you mean {suggestion}?" if suggestion else otherwise
    return f"line {link.line}: {unquote(link.source)} leads nowhere: {proposal}"


def _own_path(address: str, base_url: str) -> str | None:
    """Return what an address of this site has behind the host, None for another site's."""
    if address.startswith("/"):
        return None if address.startswith("//") else address
    try:
        parts, own = urlsplit(address), urlsplit(base_url)
        if parts.scheme not in PORTS or not parts.hostname or parts.hostname != own.hostname:
            return None
        # The other of http and https is ours, too, where neither names a port.
        same = parts.port == own.port or _port(parts) == _port(own)
    except ValueError:
        return None
    return parts._replace(scheme="", netloc="").geturl() or "/" if same else None


def _port(parts: SplitResult) -> int | None:
    return parts.port or PORTS.get(parts.scheme)


def _is_page(path: str, pages: Collection[str]) -> bool:
    bare = unquote(ENDS.split(path)[0]).removesuffix("/") or "/"
    # Some pages exist only with a parameter.
    given = path.partition("#")[0].partition("?")[2].split("&")
    return bare in pages or any(f"{bare}?{one}" in pages for one in given)


def _nearest(path: str, pages: Collection[str], base_url: str = "") -> str:
    """Return the most similar page of this site, with the typed query; "" for none."""
    bare = unquote(ENDS.split(path)[0])
    typed = bare.rstrip("/").lower()
    last = typed.rpartition("/")[2]
    ordered = sorted(pages)
    named = [page for page in ordered if last and page.partition("?")[0].endswith(f"/{last}")]
    near = get_close_matches(typed, named, n=1, cutoff=0) or get_close_matches(
        typed, ordered, n=1, cutoff=0.7
    )
    if not near:
        return ""
    behind = "" if "?" in near[0] else path[len(ENDS.split(path)[0]) :]
    return f"{base_url}{near[0]}{behind}"


def _leads(address: str, base_url: str) -> bool:
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


def _suggest(address: str, base_url: str, pages: Collection[str]) -> str:
    """Return the address that the link was probably meant to have; "" when unclear."""
    scheme = SCHEME.match(address)
    # A repeated scheme, or one with too few or too many slashes, is dropped and added once.
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
    return _nearest(f"/{address}", pages) if relative and address else ""
