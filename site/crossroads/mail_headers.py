"""Encodes and folds subject and names in mail headers without losing a space.

Python's email package loses a space where it folds between two encoded words (seen with 3.11), and
its parser adds spaces where there are none.
"""

import re
import unicodedata
from base64 import b64encode
from collections.abc import Iterable
from email.header import decode_header, make_header
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from email.headerregistry import Address

LINE = 76  # characters of a line with an encoded word (RFC 2047 section 2)
WORD = 75  # characters of an encoded word, delimiters included
BREAKS = re.compile(r"\s*[\t\n\v\f\r\x1c-\x1e\x85\u2028\u2029]\s*")
ATOMS = re.compile(r"[\w!#$%&'*+/=?^`{|}~-]+(?: [\w!#$%&'*+/=?^`{|}~-]+)*", re.ASCII)
MAILBOX = re.compile(r"(?P<name>.*)<(?P<address>[^<>]*)>\s*", re.DOTALL)
QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
# Bytes that Q encoding leaves unchanged, in names and subjects (RFC 2047 section 5, rule 3).
AS_IT_IS = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!*+-/")


def one_line(text: str) -> str:
    """Return the text on one line, without control characters; other spaces do not change."""
    line = BREAKS.sub(" ", text).strip(" ")
    return "".join(one for one in line if unicodedata.category(one) not in ("Cc", "Cs"))


def parse_mailbox(text: str) -> tuple[str, str]:
    """Return name and address of `Name <address>`, or an empty name and the text.

    The name may contain any characters, quoted or not: a person types it into a setting.
    """
    found = MAILBOX.fullmatch(text)
    if found is None:
        return "", text.strip()
    name = one_line(found["name"])
    if quoted := QUOTED.fullmatch(name):
        name = re.sub(r"\\(.)", r"\1", quoted[1])
    elif "=?" in name:  # copied from the source of a mail
        name = one_line(str(make_header(decode_header(name))))
    return name, found["address"].strip()


def subject(text: str) -> str:
    """Return the header line of a subject, folded where necessary, without the final CRLF."""
    text = one_line(text)
    return _plain("Subject:", text) or _encoded("Subject:", text)


def mailboxes(header: str, addresses: Iterable["Address"]) -> str:
    """Return the header line of From or To, folded where necessary, without the final CRLF.

    A line is too long only if a single address is: an address cannot be folded.
    """
    return ",\r\n".join(
        _mailbox(f"{header}:" if number == 0 else "", address)
        for number, address in enumerate(addresses)
    )


def _mailbox(start: str, address: "Address") -> str:
    name = one_line(address.display_name)
    if not name:
        return f"{start} {address.addr_spec}"
    encoded = _phrase(name)
    # A quoted name is never folded, so a long one is encoded.
    if not encoded or len(start) + 1 + len(encoded) > LINE:
        text = _encoded(start, name)
    else:
        text = f"{start} {encoded}"
    rest = f"<{address.addr_spec}>"
    last = text.rpartition("\r\n")[2]
    gap = " " if len(last) + 1 + len(rest) <= LINE else "\r\n "
    return text + gap + rest


def _phrase(name: str) -> str:
    """Return a name as atoms or in quotes; empty when it must be encoded."""
    if not _is_plain(name):
        return ""
    if ATOMS.fullmatch(name):
        return name
    return '"' + re.sub(r'(["\\])', r"\\\1", name) + '"'


def _is_plain(text: str) -> bool:
    """Return whether all mail programs show the unencoded text unchanged, spaces included."""
    return text.isascii() and "=?" not in text and "  " not in text


def _plain(start: str, text: str) -> str:
    """Return a header of plain words, folded between them; empty when it must be encoded."""
    if not _is_plain(text):
        return ""
    lines = [start]
    for word in text.split(" "):
        if len(word) >= LINE - 1:
            return ""
        if len(lines[-1]) + 1 + len(word) <= LINE:
            lines[-1] += f" {word}"
        else:
            lines.append(f" {word}")
    return "\r\n".join(lines)


def _encoded(start: str, text: str) -> str:
    """Return a header of encoded words only, one per line (RFC 2047).

    Mail programs drop the space between two encoded words, so the text's own spaces are encoded.
    A character is never split between two words.
    """
    cells = [_quoted(letter) for letter in text]
    size = len(text.encode())
    base64 = sum(map(len, cells)) > size * 4 // 3
    lines, part, length = [start], "", 0

    def close() -> None:
        nonlocal part, length
        data = part.encode()
        encoded = b64encode(data).decode() if base64 else "".join(map(_quoted, part))
        lines.append(f" =?utf-8?{'b' if base64 else 'q'}?{encoded}?=")
        part, length = "", 0

    room = min(WORD, LINE - len(start) - 1) - len("=?utf-8?q??=")
    for letter, cell in zip(text, cells, strict=True):
        more = len(letter.encode()) if base64 else len(cell)
        whole = -(-(length + more) // 3) * 4 if base64 else length + more
        if part and whole > room:
            close()
            room = WORD - len("=?utf-8?q??=")
        part += letter
        length += more
    close()
    return lines[0] + "\r\n".join(lines[1:])


def _quoted(letter: str) -> str:
    if letter == " ":
        return "_"
    return "".join(chr(byte) if byte in AS_IT_IS else f"={byte:02X}" for byte in letter.encode())
