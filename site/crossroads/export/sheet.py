"""What an export holds, and how a cell of it is made harmless."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import FromClause

# What a spreadsheet takes for a formula, the wide signs of East Asian keyboards included, after
# any quotes an earlier export put before it.
# https://owasp.org/www-community/attacks/CSV_Injection
SIGNS = "=+-@＝＋－＠\t\r\n"
FORMULA = re.compile(f"'*[{re.escape(SIGNS)}]")


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
    """Put a quote before what a spreadsheet would run."""
    return f"'{text}" if FORMULA.match(text) else text


def undo(cell: str) -> str:
    """Return what defuse() made a cell of."""
    return cell[1:] if cell.startswith("'") and FORMULA.match(cell[1:]) else cell
