"""A strict parser of mail headers, written from RFC 2047 and RFC 5322."""

import base64
import re

WORD = re.compile(r"=\?utf-8\?([bq])\?([!->@-~]*)\?=")
Q_SIGNS = re.compile(r"(?:[A-Za-z0-9!*+/_-]|=[0-9A-F]{2})*")


def raw(data: bytes, name: str) -> str:
    """Return a header as received, with its folds. Asserts that there is one, and its syntax."""
    head = data.partition(b"\r\n\r\n")[0].decode("ascii")
    fields = re.split(r"\r\n(?![ \t])", head)
    (found,) = [field for field in fields if field.lower().startswith(f"{name.lower()}: ")]
    for line in found.split("\r\n"):
        assert len(line) <= 76, line
        assert line.strip(), "a line of spaces alone"
    return found.partition(":")[2]


def text(folded: str) -> str:
    """Return the text of a subject."""
    unfolded = folded.replace("\r\n", "")
    assert "\r" not in unfolded and "\n" not in unfolded
    said, within = "", False
    for gap, part in re.findall(r"([ \t]*)([^ \t]+)", unfolded):
        word = WORD.fullmatch(part)
        # Between two encoded words the space is not shown (section 6.2).
        said += "" if word and within else gap
        said += _decoded(part, *word.groups()) if word else part
        within = word is not None
    return said[1:]  # the space after the colon


def mailbox(folded: str) -> tuple[str, str]:
    """Return the name and the address of a From or To."""
    unfolded = folded.replace("\r\n", "").strip()
    found = re.fullmatch(r"(?:(.*) )?<([^<> ]+)>", unfolded)
    if found is None:
        assert " " not in unfolded
        return "", unfolded
    name = found[1] or ""
    if name.startswith('"'):
        inner = re.fullmatch(r'"((?:[^"\\]|\\.)*)"', name)
        assert inner, name
        assert "=?" not in name
        return re.sub(r"\\(.)", r"\1", inner[1]), found[2]
    if "=?" not in name:
        assert re.fullmatch(r"[\w!#$%&'*+/=?^`{|}~ -]*", name, re.ASCII), name
    return text(f" {name}"), found[2]


def _decoded(word: str, encoding: str, content: str) -> str:
    assert len(word) <= 75, word
    if encoding == "b":
        return base64.b64decode(content, validate=True).decode("utf-8")
    assert Q_SIGNS.fullmatch(content), content
    signs = content.replace("_", " ").encode()
    # A character split between two words is invalid UTF-8, and raises.
    data = re.sub(rb"=([0-9A-F]{2})", lambda found: bytes.fromhex(found[1].decode()), signs)
    return data.decode("utf-8")
