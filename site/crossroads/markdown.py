"""Markdown as people of the house write it: to HTML that can do no harm, and to plain text.

Its libraries are loaded by the first text: no site has one when it starts.
"""

from functools import cache
from typing import TYPE_CHECKING, Final

from markupsafe import Markup

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.tree import SyntaxTreeNode

_TAGS: Final = {
    "a", "blockquote", "br", "code", "em", "h2", "h3", "h4", "hr", "li", "ol", "p", "pre", "s",
    "strong", "table", "tbody", "td", "th", "thead", "tr", "ul",
}  # fmt: skip
_SCHEMES: Final = {"http", "https", "mailto"}


@cache
def _markdown() -> "MarkdownIt":
    from markdown_it import MarkdownIt

    return MarkdownIt("js-default")


def to_html(text: str, base_url: str = "") -> Markup:
    """Return the HTML, without scripts, pictures or raw HTML.

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
        case "image":
            return str(node.content)
        case "link":
            words = "".join(_inline(child, base_url) for child in node.children)
            address = _whole(str(node.attrs["href"]), base_url)
            bare = address.removeprefix("mailto:")
            return words if words == bare else f"{words} ({bare})"
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
