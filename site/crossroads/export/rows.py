"""The rows of an export, read in the snapshot of the caller's transaction.

Times and amounts become text in SQL, which is much faster than in Python.
"""

from collections.abc import Iterator, Sequence
from typing import Any, cast

from sqlalchemy import (
    ColumnElement,
    Connection,
    Integer,
    Select,
    String,
    Text,
    case,
    func,
    select,
    type_coerce,
)
from sqlalchemy.sql.base import ReadOnlyColumnCollection

from crossroads import money
from crossroads.database.pagination import Filter
from crossroads.export.sheet import Sheet
from models.base import UTCDateTime

AT_ONCE = 1000
ISO = 'YYYY-MM-DD"T"HH24:MI:SS"Z"'


Columns = ReadOnlyColumnCollection[str, Any]


def is_time(column: ColumnElement[Any]) -> bool:
    return isinstance(column.type, UTCDateTime)


def is_number(column: ColumnElement[Any]) -> bool:
    return isinstance(column.type, Integer)


def selected(sheet: Sheet, which: Filter) -> Select[Any]:
    """Return the query for the selected rows, lowest id first."""
    query = select(*(column.label(name) for name, column in sheet.columns.items()))
    if sheet.source is not None:
        query = query.select_from(sheet.source)
    return query.where(*which.conditions()).order_by(next(iter(sheet.columns.values())))


def batches(connection: Connection, query: Select[Any]) -> Iterator[Sequence[tuple[Any, ...]]]:
    """Yield the rows of a query, up to a thousand at a time."""
    found = connection.execute(query, execution_options={"yield_per": AT_ONCE})
    for part in found.partitions():
        yield [tuple(row) for row in part]


def formatted(sheet: Sheet, columns: Columns, dialect: str) -> dict[str, Any]:
    """Return the columns with amounts as decimals, and times in ISO 8601 and UTC, to the second."""
    result = {}
    for name, column in columns.items():
        if name in sheet.amounts:
            result[name] = decimal(column, columns["currency"])
        elif is_time(column) and dialect == "sqlite":
            stored = type_coerce(column, String)
            result[name] = func.replace(func.substr(stored, 1, 19), " ", "T").concat("Z")
        elif is_time(column):
            result[name] = func.to_char(func.timezone("UTC", column), ISO)
        else:
            result[name] = column
    return result


def decimal(amount: ColumnElement[int], currency: ColumnElement[str]) -> ColumnElement[str]:
    """Return the SQL expression that formats an amount as money.decimal does; NULL stays NULL."""

    def written(digits: int) -> ColumnElement[str]:
        if not digits:
            return amount.cast(Text)
        size, unit = func.abs(amount, type_=Integer), 10**digits
        rest = func.substr((size % unit + unit).cast(Text), 2)
        sign = case((amount < 0, "-"), else_="")
        return sign.concat((size // unit).cast(Text)).concat(".").concat(rest)

    others = {digits for digits in money.DIGITS.values() if digits != 2}
    cases = [
        (
            currency.in_([code for code, has in money.DIGITS.items() if has == digits]),
            written(digits),
        )
        for digits in sorted(others)
    ]
    return cast(ColumnElement[str], case(*cases, else_=written(2)))
