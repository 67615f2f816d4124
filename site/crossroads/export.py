"""Leads as a CSV file: RFC 4180, UTF-8, safe to open in a spreadsheet, at constant memory."""

import csv
import io
import re
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import IO, Any

from sqlalchemy import Engine, func, select

from crossroads.lead_list import LeadFilter
from models import Lead

CHUNK = 5000
# What a spreadsheet takes for a formula, the wide signs of East Asian keyboards included, after
# any quotes an earlier export put before it.
# https://owasp.org/www-community/attacks/CSV_Injection
FORMULA = re.compile(r"'*[=+\-@＝＋－＠\t\r\n]")

COLUMNS = {
    "id": Lead.id,
    "email": Lead.email,
    "name": Lead.name,
    "state": Lead.state,
    "page": Lead.page,
    "utm_source": Lead.utm_source,
    "utm_medium": Lead.utm_medium,
    "utm_campaign": Lead.utm_campaign,
    "utm_term": Lead.utm_term,
    "utm_content": Lead.utm_content,
    "signed_up_at": Lead.created_at,
    "confirmed_at": Lead.confirmed_at,
    "unsubscribed_at": Lead.unsubscribed_at,
}


def write_csv(
    engine: Engine,
    which: LeadFilter,
    file: IO[bytes],
    progress: Callable[[int], object] | None = None,
) -> int:
    """Write the leads that are meant to a binary file, oldest first; return how many.

    Each chunk is read in a transaction of its own, so that no lock outlives it, and leads that
    come in meanwhile are left out. `progress` is called with the number of rows of each chunk.
    """
    text = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
    try:
        writer = csv.writer(text, lineterminator="\r\n")
        writer.writerow(COLUMNS)
        written = 0
        for rows in _chunks(engine, which):
            writer.writerows([_cell(value) for value in row] for row in rows)
            written += len(rows)
            if progress is not None:
                progress(len(rows))
        text.flush()
    finally:
        text.detach()  # or the caller's file would be closed with the wrapper
    return written


def defuse(text: str) -> str:
    """Put a quote before what a spreadsheet would run.

    To undo it, take one quote off a cell whose rest would have got one.
    """
    return f"'{text}" if FORMULA.match(text) else text


def _chunks(engine: Engine, which: LeadFilter) -> Iterator[Sequence[Any]]:
    conditions = which.conditions()
    with engine.connect() as connection:
        highest = connection.scalar(select(func.max(Lead.id))) or 0
    query = select(*COLUMNS.values()).where(*conditions).order_by(Lead.id).limit(CHUNK)
    last = 0
    while last < highest:
        with engine.connect() as connection:
            rows = connection.execute(query.where(Lead.id > last, Lead.id <= highest)).all()
        if rows:
            yield rows
        last = rows[-1].id if len(rows) == CHUNK else highest


def _cell(value: str | int | datetime | None) -> str | int:
    if isinstance(value, str):
        return defuse(value)
    if isinstance(value, datetime):
        return value.isoformat(timespec="seconds")[:19] + "Z"
    return "" if value is None else value
