"""Letters as a search compares them, in Python and in both databases: nunez finds Núñez."""

import unicodedata
from typing import Any, Final

from sqlalchemy import String
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import GenericFunction

# Marks of Latin, Greek and Cyrillic letters. Those of other scripts are letters in their own right.
MARKS: Final = range(0x0300, 0x0370)
# Letters that Unicode does not take apart, as people type them who do not have them.
OTHERS: Final = {
    "ø": "o", "ł": "l", "đ": "d", "ð": "d", "ı": "i", "ħ": "h", "ŧ": "t", "ŋ": "n", "ĸ": "k",
    "ƀ": "b", "ƶ": "z", "ɨ": "i", "ß": "ss", "ẞ": "ss", "æ": "ae", "œ": "oe", "þ": "th",
}  # fmt: skip
_OTHERS = str.maketrans(OTHERS)
# What PostgreSQL is told letter by letter: Latin, Greek, Cyrillic, and the wide Latin ones.
BLOCKS: Final = ((0xA0, 0x250), (0x370, 0x530), (0x1E00, 0x2000), (0xFF21, 0xFF5B))


def fold(text: str) -> str:
    """Return the text without case, accents and wide letters: Łódź and LODZ are lodz."""
    if text.isascii():  # most are: in a tenth of the time
        return text.lower()
    plain = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    apart = unicodedata.normalize("NFD", plain)
    bare = "".join(letter for letter in apart if ord(letter) not in MARKS)
    return unicodedata.normalize("NFC", bare).translate(_OTHERS)


class folded(GenericFunction[str]):  # noqa: N801 - as SQLAlchemy names functions
    """A column as fold() makes it. On PostgreSQL a rare letter that is folded to two stays."""

    type = String()
    inherit_cache = True


@compiles(folded, "sqlite")
def _on_sqlite(element: folded, compiler: Any, **given: Any) -> str:
    column = compiler.process(element.clauses, **given)
    return (
        f"CASE WHEN length(CAST({column} AS BLOB)) = length({column}) THEN lower({column}) "
        f"ELSE fold_letters({column}) END"
    )


@compiles(folded, "postgresql")
def _on_postgresql(element: folded, compiler: Any, **given: Any) -> str:
    column = compiler.process(element.clauses, **given)
    text = f"translate({column}, '{_FROM}', '{_TO}')"
    for letter, two in OTHERS.items():
        if len(two) > 1:
            for case in sorted({letter, letter.upper()}):
                if len(case) == 1:
                    text = f"replace({text}, '{case}', '{two}')"
    return (
        f"CASE WHEN octet_length({column}) = char_length({column}) "
        f'THEN lower({column} COLLATE "C") ELSE lower({text} COLLATE "C") END'
    )


def teach(connection: DBAPIConnection) -> None:
    """Give a connection to SQLite the function that folds letters."""
    connection.create_function("fold_letters", 1, _fold_or_nothing, deterministic=True)


def _fold_or_nothing(text: str | None) -> str | None:
    return None if text is None else fold(text)


_PAIRS = [
    (chr(code), to)
    for block in BLOCKS
    for code in range(*block)
    if len(to := fold(chr(code))) == 1 and to != chr(code) and to != "'"
]
# What has no counterpart is taken out: the marks of a letter that is stored in two parts.
_FROM = "".join(letter for letter, _ in _PAIRS) + "".join(map(chr, MARKS))
_TO = "".join(to for _, to in _PAIRS)
