"""Converts staff's Markdown to safe HTML and to plain text.

Its libraries are loaded by the first text: no site has one when it starts.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Final

from markupsafe import Markup

if TYPE_CHECKING:
    from linkify_it.main import Match
    from markdown_it import MarkdownIt
    from markdown_it.rules_core import StateCore
    from markdown_it.token import Token
    from markdown_it.tree import SyntaxTreeNode

_TAGS: Final = {
    "a", "blockquote", "br", "code", "em", "h2", "h3", "h4", "hr", "li", "ol", "p", "pre", "s",
    "strong", "table", "tbody", "td", "th", "thead", "tr", "ul",
}  # fmt: skip
_SCHEMES: Final = {"http", "https", "mailto", "tel"}
_HOST: Final = re.compile(r"([^/?#:]+)(?::\d+)?([/?#]?)")
_FILE_ENDINGS: Final = {"cc", "md", "mm", "mov", "ps", "py", "rs", "sh", "zip"}
# What stays in the text where somebody meant a link: the address has a space, or is refused.
_NO_LINK: Final = re.compile(r"\[[^\[\]\n]*\]\([^)\n]*\)?")


@dataclass(frozen=True)
class Link:
    """A link as it is in the source: its line, its words, and its address; None for no address.

    `source` is the link as it is written, as near as it is known; `bare` is an address in a text.
    """

    line: int
    source: str
    address: str | None
    bare: bool = False


@cache
def _markdown() -> "MarkdownIt":
    from linkify_it.tlds import TLDS
    from markdown_it import MarkdownIt

    made = MarkdownIt("js-default", {"linkify": True}).enable("linkify")
    assert made.linkify is not None  # noqa: S101, its library is installed
    made.linkify.tlds(TLDS)
    found = made.linkify.match
    # Most words with a dot in them are no links: "e.g.this" and "README.md" would be.
    made.linkify.match = lambda text: [one for one in found(text) or () if _is_link(one)]
    for schema in ("ftp:", "//"):
        made.linkify.add(schema, None)
    made.core.ruler.push("pictures", _pictures_as_links)
    return made


def _is_link(found: "Match") -> bool:
    """Return whether a bare address is a link; add https where it has no scheme."""
    if found.schema:
        return True
    host = _HOST.match(found.url.removeprefix("http://"))
    if host is None:
        return False
    name, _, ending = host[1].rpartition(".")
    www = name.lower().startswith("www.")
    # ASP.NET/Core and setup.py/README.md are no hosts, though .NET and .py could be.
    path = host[2] == "/" and ending == ending.lower() and ending not in _FILE_ENDINGS
    found.url = "https://" + found.url.removeprefix("http://")
    return www or path


def _pictures_as_links(state: "StateCore") -> None:
    """Turn each picture into a link with its text, so that nothing is loaded."""
    from markdown_it.token import Token

    for block in state.tokens:
        inside, kept = 0, []
        for one in block.children or []:
            inside += {"link_open": 1, "link_close": -1}.get(one.type, 0)
            if one.type != "image":
                kept.append(one)
                continue
            address = str(one.attrs["src"])
            text = Token("text", "", 0, content=one.content or address)
            if inside:
                kept.append(text)
            else:
                start = Token("link_open", "a", 1, attrs={"href": address}, info="picture")
                kept += [start, text, Token("link_close", "a", -1)]
        if block.children:
            block.children = kept


def links(text: str) -> Iterator[Link]:
    """Yield the links of a text in order, including bare addresses."""
    line = 1
    for block in _markdown().parse(text):
        line = block.map[0] + 1 if block.map else line
        if block.type == "inline":
            yield from _links_of(block, line)


def _links_of(block: "Token", line: int) -> Iterator[Link]:
    """Yield the links of one paragraph, heading or cell, which begins in this line."""
    words: list[str] = []
    begun: tuple[int, str, str] | None = None  # of the link that is open: line, mark and address
    plain = ""
    for one in block.children or []:
        if one.type in ("softbreak", "hardbreak"):
            line += 1
            plain += "\n"
        elif one.type == "link_open":
            mark = one.markup or ("!" if one.info == "picture" else "")
            begun, words = (line, mark, str(one.attrs["href"])), []
        elif one.type == "link_close" and begun is not None:
            start, mark, address = begun
            if mark == "linkify":
                yield Link(start, "".join(words), address, bare=True)
            else:
                mark = mark.removeprefix("autolink")
                yield Link(start, f"{mark}[{''.join(words)}]({address})", address)
            begun = None
        elif one.type in ("text", "code_inline"):
            words.append(one.content)
            in_text = begun is None or begun[1] == "linkify"
            plain += one.content if one.type == "text" and in_text else ""
    first = line - plain.count("\n")
    for found in _NO_LINK.finditer(plain):
        yield Link(first + plain.count("\n", 0, found.start()), found[0], None)


def to_html(text: str, base_url: str = "") -> Markup:
    """Return the HTML, without scripts and raw HTML; a picture is a link to it.

    With `base_url` links to our own pages, which begin with a slash, are made whole.
    """
    import nh3

    def whole(tag: str, name: str, value: str) -> str | None:
        return _whole(value, base_url) if (tag, name) == ("a", "href") else value

    html = nh3.clean(
        _markdown().render(text), tags=_TAGS, url_schemes=_SCHEMES, attribute_filter=whole
    )
    return Markup(html)  # noqa: S704 - nh3 has cleaned it


def to_text(text: str, base_url: str = "") -> str:
    """Return the same words as plain text: a link is followed by its address."""
    from markdown_it.tree import SyntaxTreeNode

    return _blocks(SyntaxTreeNode(_markdown().parse(text)), base_url)


def _blocks(node: "SyntaxTreeNode", base_url: str, gap: str = "\n\n") -> str:
    return gap.join(filter(None, (_block(child, base_url) for child in node.children)))


def _block(node: "SyntaxTreeNode", base_url: str) -> str:
    match node.type:
        case "heading" | "paragraph" | "th" | "td":
            return "".join(_inline(child, base_url) for child in node.children)
        case "bullet_list" | "ordered_list":
            first = int(node.attrs.get("start", 1)) if node.type == "ordered_list" else None
            return "\n".join(
                _indented(
                    "- " if first is None else f"{first + place}. ", _blocks(item, base_url, "\n")
                )
                for place, item in enumerate(node.children)
            )
        case "blockquote":
            return _indented("    ", _blocks(node, base_url))
        case "fence" | "code_block":
            return _indented("    ", node.content.rstrip())
        case "hr":
            return "* * *"
        case "tr":
            return " | ".join(_block(cell, base_url) for cell in node.children)
        case "table" | "thead" | "tbody":
            return _blocks(node, base_url, "\n")
        case _:  # raw HTML, which this reading of Markdown takes for words
            return node.content


def _inline(node: "SyntaxTreeNode", base_url: str) -> str:
    match node.type:
        case "softbreak" | "hardbreak":
            return "\n"
        case "link":
            words = "".join(_inline(child, base_url) for child in node.children)
            address = _whole(str(node.attrs["href"]), base_url)
            bare = address.removeprefix("mailto:").removeprefix("tel:")
            return bare if bare in (words, f"https://{words}") else f"{words} ({bare})"
        case _ if node.children:
            return "".join(_inline(child, base_url) for child in node.children)
        case _:
            return node.content


def _whole(address: str, base_url: str) -> str:
    ours = address.startswith("/") and not address.startswith("//")
    return base_url + address if ours else address


def _indented(mark: str, text: str) -> str:
    rest = "\n" + " " * len(mark)
    return mark + text.replace("\n", rest)
