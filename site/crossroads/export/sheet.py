"""The columns of an export, and how a cell is made safe for a spreadsheet."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import FromClause

# Signs that start a formula in a spreadsheet, including the wide ones of East Asian keyboards. They
# may follow spaces and quotes, including the quote that an earlier export added.
# https://owasp.org/www-community/attacks/CSV_Injection
OPERATORS = "=+-@＝＋－＠"
SIGNS = f"{OPERATORS}\t\r\n"
SKIPPED = " '\""
# Signs that a program may treat as the end of a cell: Excel separates by `;` where the decimal sign
# is a comma, and other programs guess. With another separator our quotes are ordinary characters:
# they protect nothing, and a line break within them ends the row.
SEPARATORS = ";|:\t,\r\n"
FORMULA = re.compile(f"[{SKIPPED}]*[{re.escape(SIGNS)}]")
AHEAD = f"(?=[{SKIPPED}]*[{re.escape(OPERATORS)}])"
INNER = re.compile(f"([{SEPARATORS}]){AHEAD}")
DEFUSED = re.compile(f"([{SEPARATORS}])'{AHEAD}")


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """The columns of an export by name, read from `source` where a join is needed.

    `name` is the plural name of its rows. The first column is a unique number; rows are written in
    its order. The columns in `amounts` count the smallest unit of the row's column "currency", an
    ISO code, and are written as decimals.
    """

    name: str
    columns: Mapping[str, Any]
    source: FromClause | None = None
    amounts: frozenset[str] = frozenset()


def defuse(text: str) -> str:
    """Put a quote before each possible formula, for every possible separator."""
    safe = INNER.sub(r"\1'", text)
    return f"'{safe}" if FORMULA.match(text) else safe


def undo(cell: str) -> str:
    """Return the text that defuse() made the cell from."""
    first = cell[1:] if cell.startswith("'") and FORMULA.match(cell[1:]) else cell
    return DEFUSED.sub(r"\1", first)
