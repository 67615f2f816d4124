"""YAML with line numbers, without anchors, tags and other special forms."""

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date
from functools import lru_cache
from typing import Final

import yaml

Path = tuple[str | int, ...]

_DEPTH: Final = 20
# Invisible characters that break a header or turn text around; a tab or a new line may stay.
_CONTROL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
_NAME = re.compile(r"[\w-]{1,60}")
_TAG = "tag:yaml.org,2002:"
# PyYAML's messages, by their beginning, and what to do about each.
_ADVICE: Final = {
    "mapping values are not allowed": "text with a colon in it needs quotes around it, "
    "or the line before lacks its colon, or this line is indented too far",
    "could not find expected ':'": "a field name needs a colon after it, "
    "and longer text must be indented under its field",
    "found character '\\t'": "indent with spaces, not with tabs",
    "found character ": "text that begins with a sign like %, @ or ` needs quotes around it",
    "expected <block end>, but found '<scalar>'": "text in quotes ends before the line does",
    "expected <block end>": "a line is indented too far or too little",
    "expected ',' or": "a [ or { is opened and not closed: put quotes around the text",
    "found unexpected end of stream": "a quote is opened and never closed",
    "but found another document": "a line of --- starts a second document: one file holds one",
    "found unknown escape": "use single quotes around text with a backslash",
}
_UNCLOSED: Final = ("found unexpected end of stream", "expected ',' or")


@dataclass(frozen=True, slots=True)
class Spot:
    """The line of a value, from 1, and how it is written."""

    line: int
    written: str


@dataclass(slots=True)
class Document:
    """A file as plain Python (dict, tuple, str, int, float, bool, date, None) and its lines."""

    value: object = None
    spots: dict[Path, Spot] = field(default_factory=dict)
    mistakes: list[tuple[Path, int, str]] = field(default_factory=list)

    def line(self, path: Path) -> int:
        """Return the line of a field, or of its parent when the field is missing."""
        for length in range(len(path), -1, -1):
            if spot := self.spots.get(path[:length]):
                return spot.line
        return 1


@lru_cache(maxsize=1000)
def load(data: bytes) -> Document:
    """Read one file; its YAML errors go to `mistakes` (path, line, message).

    Who edits one file of many waits for that one alone: what was read before is given again, so
    a document is not to be changed.
    """
    document = Document()

    def fail(line: int, message: str) -> Document:
        document.mistakes.append(((), line, message))
        return document

    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        return fail(line, "is not UTF-8 text: save the file as UTF-8")
    try:
        loader = _Loader(text)
    except yaml.reader.ReaderError as error:
        line = text[: int(error.position)].count("\n") + 1
        return fail(line, "has an invisible control character: delete it")
    try:
        node = _quickly(text) or loader.get_single_node()
    except _NotPlainError as error:
        return fail(error.line, error.message)
    except yaml.MarkedYAMLError as error:
        problem = error.problem or ""
        opened = error.context_mark if problem.startswith(_UNCLOSED) else None
        mark = opened or error.problem_mark or error.context_mark
        return fail(mark.line + 1 if mark else 1, f"is not valid YAML: {_advise(problem)}")
    except (ValueError, OverflowError):  # PyYAML turns "\\UFFFFFFFF" into a character unchecked
        return fail(loader.line + 1, "is not valid YAML: there is no such character")
    if node is None:
        return fail(1, "is empty: write the fields of this file")
    document.value = _build(node, (), document)
    return document


class _NotPlainError(Exception):
    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line
        self.message = message


class _Composer(yaml.composer.Composer):
    """Composes without anchors (a few of them can stand for gigabytes) and not too deep."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[attr-defined] # of the loader
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            raise _NotPlainError(
                event.start_mark.line + 1,
                "uses & or * to repeat a part: write it out, or put quotes around the text",
            )
        if getattr(event, "tag", None) is not None:
            raise _NotPlainError(
                event.start_mark.line + 1,
                "begins with ! which has a meaning in YAML: put quotes around the text",
            )
        if self.depth == _DEPTH:
            raise _NotPlainError(event.start_mark.line + 1, "is nested too deeply")
        self.depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1


class _Loader(_Composer, yaml.SafeLoader):
    """PyYAML's own loader in Python, with the best error messages."""


if yaml.__with_libyaml__:  # not where PyYAML was built without it

    class _QuickLoader(_Composer, yaml.CSafeLoader):
        """Reads with libyaml, in a seventh of the time."""

        __init__ = yaml.CSafeLoader.__init__


def _quickly(text: str) -> yaml.Node | None:
    """Compose the text, or return None when it has an error."""
    node: yaml.Node | None = None
    if not yaml.__with_libyaml__:
        return node
    with suppress(yaml.YAMLError):
        node = _QuickLoader(text).get_single_node()
    return node


def _advise(problem: str) -> str:
    for beginning, advice in _ADVICE.items():
        if problem.startswith(beginning):
            return advice
    return "look at the quotes, colons and indentation here"


def _build(node: yaml.Node, path: Path, document: Document) -> object:
    line = node.start_mark.line + 1
    # The line of a field is where its name stands, so a name that was noted before stays.
    spot = document.spots.get(path)
    document.spots[path] = Spot(spot.line if spot else line, _written(node))
    if node.tag not in _PLAIN:
        document.mistakes.append((path, line, "has a meaning in YAML: put quotes around it"))
        return None
    if isinstance(node, yaml.MappingNode):
        return dict(_fields(node, path, document))
    if isinstance(node, yaml.SequenceNode):
        return tuple(_build(item, (*path, i), document) for i, item in enumerate(node.value))
    try:
        value = _scalar(node)
    except ValueError as error:
        document.mistakes.append((path, line, str(error)))
        return None
    if isinstance(value, str) and _CONTROL.search(value):
        document.mistakes.append((path, line, "has an invisible control character: delete it"))
    return value


def _fields(node: yaml.MappingNode, path: Path, document: Document) -> Iterator[tuple[str, object]]:
    seen: dict[str, int] = {}
    for key, value in node.value:
        line = key.start_mark.line + 1
        if key.tag != f"{_TAG}str" or not _NAME.fullmatch(key.value):
            document.mistakes.append(
                (path, line, f"has a field name that is not a plain word: {_written(key)}")
            )
            continue
        name = str(key.value)
        if name in seen:
            message = f"stands here twice, first on line {seen[name]}: keep one of them"
            document.mistakes.append(((*path, name), line, message))
            continue
        seen[name] = line
        document.spots[(*path, name)] = Spot(line, "")
        yield name, _build(value, (*path, name), document)


def _scalar(node: yaml.Node) -> str | int | float | bool | date | None:
    text = str(node.value)
    match node.tag.removeprefix(_TAG):
        case "str":
            return text
        case "null":
            return None
        case "bool":
            return text.lower() in ("yes", "true", "on")
        case "int":
            # YAML 1.1 also reads 010 as eight and 1:30 as ninety.
            if not re.fullmatch(r"-?(0|[1-9][0-9]{0,30})", text):
                raise ValueError(f"must be written in plain digits, like 1200, not {text[:40]}")
            return int(text)
        case "timestamp":
            if re.search(r"\d[Tt\s]", text):
                raise ValueError(f"must be a date without a time, like 2027-01-18, not {text[:40]}")
            try:
                return date.fromisoformat(text)
            except ValueError:
                raise ValueError(f"must be a day of the calendar, not {text[:40]}") from None
        case _:
            return 0.5  # no field takes a fraction: the shape names the mistake


def _written(node: yaml.Node) -> str:
    if not isinstance(node, yaml.ScalarNode):
        return "a list" if isinstance(node, yaml.SequenceNode) else "a group of fields"
    text = " ".join(_CONTROL.sub("?", node.value).split())
    text = text if len(text) <= 40 else f"{text[:39]}…"
    return f"'{text}'" if node.tag == f"{_TAG}str" else text or "nothing"


_PLAIN: Final = {
    _TAG + kind for kind in ("str", "int", "float", "bool", "null", "timestamp", "seq", "map")
}
