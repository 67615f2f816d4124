"""Subject and names in mail headers, encoded and folded without losing a space.

Python's email package loses a space where it folds between two encoded words (seen with 3.11), and
its parser puts spaces where there are none.
"""

import re
import unicodedata
from base64 import b64encode
from collections.abc import Iterable
from email.header import decode_header, make_header
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from email.headerregistry import Address

LINE = 76  # characters, of a line that has an encoded word (RFC 2047 section 2)
WORD = 75  # characters of an encoded word, delimiters included
BREAKS = re.compile(r"\s*[\t\n\v\f\r\x1c-\x1e\x85\u2028\u2029]\s*")
ATOMS = re.compile(r"[\w!#$%&'*+/=?^`{|}~-]+(?: [\w!#$%&'*+/=?^`{|}~-]+)*", re.ASCII)
MAILBOX = re.compile(r"(?P<name>.*)<(?P<address>[^<>]*)>\s*", re.DOTALL)
QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
# What Q encoding may have as it is, in a name as in a subject (RFC 2047 section 5, rule 3).
AS_IT_IS = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!*+-/")


def one_line(text: str) -> str:
    """Return the text on one line, without control characters; other spaces stay as they are."""
    line = BREAKS.sub(" ", text).strip(" ")
    return "".join(one for one in line if unicodedata.category(one) not in ("Cc", "Cs"))


def parse_mailbox(text: str) -> tuple[str, str]:
    """Return name and address of `Name <address>`, or no name and what was given.

    The name may be quoted or not, whatever signs it has: it is typed by a person into a setting.
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
    """Return the whole header line of a subject, folded where it has to be, without its end."""
    text = one_line(text)
    return _plain("Subject:", text) or _encoded("Subject:", text)


def mailboxes(header: str, addresses: Iterable["Address"]) -> str:
    """Return the whole header line of From or To, folded where it has to be, without its end.

    Only an address that is longer than a line makes a longer line: it cannot be folded.
    """
    return ",\r\n".join(
        _mailbox(f"{header}:" if number == 0 else "", address)
        for number, address in enumerate(addresses)
    )


def _mailbox(start: str, address: "Address") -> str:
    name = one_line(address.display_name)
    if not name:
        return f"{start} {address.addr_spec}"
    said = _phrase(name)
    # Its own line when it is long: a quoted name is never folded.
    if not said or len(start) + 1 + len(said) > LINE:
        text = _encoded(start, name)
    else:
        text = f"{start} {said}"
    rest = f"<{address.addr_spec}>"
    last = text.rpartition("\r\n")[2]
    gap = " " if len(last) + 1 + len(rest) <= LINE else "\r\n "
    return text + gap + rest


def _phrase(name: str) -> str:
    """Return a name as atoms or in quotes; nothing when it has to be encoded."""
    if not _is_plain(name):
        return ""
    if ATOMS.fullmatch(name):
        return name
    return '"' + re.sub(r'(["\\])', r"\\\1", name) + '"'


def _is_plain(text: str) -> bool:
    """Tell whether every reader shows the text as it is, and as it was, its spaces included."""
    return text.isascii() and "=?" not in text and "  " not in text


def _plain(start: str, text: str) -> str:
    """Return a header of plain words, folded between them; nothing when it has to be encoded."""
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
    """Return a header of encoded words alone, one a line (RFC 2047).

    Readers drop the space between two of them, so the text's own spaces are within. A character
    is never divided between two.
    """
    cells = [_quoted(letter) for letter in text]
    size = len(text.encode())
    base64 = sum(map(len, cells)) > size * 4 // 3
    lines, part, length = [start], "", 0

    def close() -> None:
        nonlocal part, length
        data = part.encode()
        said = b64encode(data).decode() if base64 else "".join(map(_quoted, part))
        lines.append(f" =?utf-8?{'b' if base64 else 'q'}?{said}?=")
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
