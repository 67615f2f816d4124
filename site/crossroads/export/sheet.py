"""The columns of an export, and how a cell is made safe for a spreadsheet."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import FromClause

# What a spreadsheet takes for a formula at the start of a cell, the wide signs of East Asian
# keyboards included, after spaces and quotes and after what an earlier export put before it.
# https://owasp.org/www-community/attacks/CSV_Injection
OPERATORS = "=+-@＝＋－＠"
SIGNS = f"{OPERATORS}\t\r\n"
SKIPPED = " '\""
# What a program may take for the end of a cell: Excel separates by `;` where the decimal sign is a
# comma, and others guess. For a program with another separator our quotes are ordinary characters,
# so they protect nothing, and a line break within them ends the row.
SEPARATORS = ";|:\t,\r\n"
FORMULA = re.compile(f"[{SKIPPED}]*[{re.escape(SIGNS)}]")
AHEAD = f"(?=[{SKIPPED}]*[{re.escape(OPERATORS)}])"
INNER = re.compile(f"([{SEPARATORS}]){AHEAD}")
DEFUSED = re.compile(f"([{SEPARATORS}])'{AHEAD}")


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """What an export holds: the columns by name, read from `source` where it takes a join.

    `name` is what its rows are called, in the plural. The first column is a number that no other
    row has; rows come in its order. The columns named in `amounts` count the smallest unit of the
    row's column "currency", an ISO code, and are written as decimals.
    """

    name: str
    columns: Mapping[str, Any]
    source: FromClause | None = None
    amounts: frozenset[str] = frozenset()


def defuse(text: str) -> str:
    """Put a quote before what a spreadsheet would run, whatever it takes for a separator."""
    safe = INNER.sub(r"\1'", text)
    return f"'{safe}" if FORMULA.match(text) else safe


def undo(cell: str) -> str:
    """Return what defuse() made a cell of."""
    first = cell[1:] if cell.startswith("'") and FORMULA.match(cell[1:]) else cell
    return DEFUSED.sub(r"\1", first)
