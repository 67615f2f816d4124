"""What a mail tells its one reader: the words and links that its templates ask for."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime

from crossroads import outbox
from crossroads.content import Comparison, Content, Course
from models.lead import Lead
from models.message import Message

LINKED = re.compile(r"[/:@\\<>]|\.\S")


@dataclass(frozen=True, kw_only=True)
class Page:
    """A page of ours as a mail names it."""

    title: str
    link: str


def context(message: Message, lead: Lead, content: Content, base_url: str) -> dict[str, object]:
    """Return what the templates of the message's kind are rendered with.

    `link` is where the button leads. Only mail of a kind that one can be taken off has an
    `unsubscribe_link`; only the request to confirm has `until`, when its link stops working.
    """
    words: dict[str, object] = {
        "site": content.site,
        "base_url": base_url,
        "page": _page(content, lead.page, base_url),
    }
    if message.kind == outbox.CONFIRM:
        # Nobody has shown yet that the address is theirs. With the name in it, the form would be
        # a way to mail one's own words to strangers.
        words["link"] = f"{base_url}/confirm/{lead.confirm_token}"
        words["until"] = _moment(lead.confirm_until)
    else:
        words["name"] = _greetable(lead.name)
        words["link"] = f"{base_url}/compare"
        words["unsubscribe_link"] = f"{base_url}/unsubscribe/{lead.unsubscribe_token}"
    return words


def _greetable(name: str) -> str:
    """Return the name on one line, or nothing when mail programs would make a link of it."""
    name = " ".join(name.split())
    return "" if LINKED.search(name) else name


def _page(content: Content, path: str | None, base_url: str) -> Page | None:
    """Return the page of ours at this path, or None: a form can claim to come from anywhere."""
    kind, _, slug = (path or "").strip("/").partition("/")
    found: Comparison | Course | None = None
    if kind == "compare":
        found = content.comparison(slug)
    elif kind == "courses":
        found = content.course(slug)
    return Page(title=found.title, link=f"{base_url}/{kind}/{slug}") if found else None


def _moment(time: datetime) -> str:
    time = time.astimezone(UTC)
    return f"{time:%B} {time.day}, {time.year}, {time:%H:%M} UTC"
