"""A CSV file of leads, from our export or another program, checked line by line."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from typing import IO, Any, Final

from email_validator import EmailNotValidError

from crossroads import export
from crossroads.leads.imports import columns, status, suspects, times
from crossroads.leads.imports.columns import TEXTS, TIMES, Column, Unclear
from crossroads.leads.imports.csv_rows import Broken, NoTable, Table
from crossroads.leads.imports.status import NotKnown, Rule, Standing
from crossroads.leads.imports.survey import survey
from crossroads.mail import addresses
from models import now
from models.lead import LeadState
from models.suppression import SuppressionReason

MISTAKES_TOLD: Final = 50
AHEAD: Final = timedelta(days=1)  # how far a time that is read in the wrong zone can be ahead
UNPRINTED: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
# A byte that is no UTF-8, as Python keeps it.
FOREIGN: Final = re.compile(r"[\udc80-\udcff]")
NOT_UTF8: Final = (
    'is not UTF-8: save the file as "CSV UTF-8", or give --encoding windows-1252 if it is that'
)
# A long number after a spreadsheet rewrote it: its other digits are lost.
ROUNDED: Final = re.compile(r"[+-]?\d[.,]\d+E\+\d+")
ORDER: Final = list(Standing)  # the last one that any column says counts


class NoLeads(Exception):
    """The file is not a readable list of leads; the text says what to do."""


class Wrong(Exception):
    """A line that cannot be imported; the text says what to do."""


class LeadFile:
    """Yields what a file says of each person who agreed or left, in the file's order.

    A row is a mapping with `address`, `state` (confirmed or unsubscribed), `suppressed` (why no
    mail is sent to them, or None), `reason` (the column and the word by which they left, or None),
    and the columns of TEXTS and TIMES, None where the file has no value. People who never confirmed
    are left out and counted. `mistakes` lists the first 50 lines with a mistake, and `wrong` counts
    all of them; neither is complete before the end.
    """

    def __init__(
        self,
        file: IO[bytes],
        *,
        suppression_key: str,
        source: str = "",
        name: str = "file",
        named: Mapping[str, str] | None = None,
        ignored: Iterable[str] = (),
        encoding: str = "",
        zone: tzinfo | None = None,
        day_first: bool | None = None,
    ) -> None:
        """Look through the file, which is read again for its rows.

        `source` is where they agreed, for lines that do not say it, and `name` the file's, for
        the proof that someone left. `named` maps our names of
        columns to the file's, `ignored` are columns to leave out. `zone` is that of times without
        one, and `day_first` tells whether 1/2/2026 is in February. Raises NoLeads.
        """
        self.mistakes: list[str] = []
        self.wrong = self.lines = self.unconfirmed = 0
        self._key = suppression_key
        self._source = source
        self._name = name
        self._zone = zone
        named = named or {}
        try:
            self._table = Table(
                file,
                encoding=encoding,
                fits=lambda heads: columns.fits(heads, named.values()),
            )
            heads = self._table.heads
            if any(map(FOREIGN.search, heads)):
                raise NoLeads(f"line {self._table.line}: {NOT_UTF8}")
            self._plan = columns.plan(heads, named, ignored)
        except NoTable as error:
            raise NoLeads(f"line 1: {error}") from None
        except Unclear as error:
            raise NoLeads(f"line {self._table.line}: {error}") from None
        self._reads = self._plan.reads
        self._check()
        # Only what our own export put before a formula is taken off again.
        self._ours = {"signed_up_at", "last_signup_at"} <= set(heads)
        found = survey(self._plan, self._surveyed(), day_first)
        if found.problems:
            raise NoLeads("\n".join(found.problems))
        self._first = found.day_first
        self._judges = [one for one in self._plan.judges if one[0].head not in found.harmless]
        # In our own export the state counts: they may have signed up again after they left.
        self._newer = heads.index("state") if found.ours else None
        if not self._judges and (word := suspects.exclusion_word(name)):
            raise NoLeads(
                f'the file\'s name says that the people in it left ("{word}"), and no column does: '
                "add a column status with unsubscribed in each of their lines, or rename the file "
                "if they did not"
            )
        self.ignored = [*self._plan.left_out, *sorted(found.harmless)]
        self.judged = [
            column.head
            for column, _ in self._judges
            if not (found.ours and column.head == "unsubscribed_at")
        ]
        self.as_utc = zone is None and any(
            column.head != name for name in TIMES for column in self._reads.get(name, ())
        )

    def _check(self) -> None:
        """Raise NoLeads when a required column is missing."""
        if "email" not in self._reads:
            if any("@" in head for head in self._table.heads):  # Sendy writes no heads
                raise NoLeads(
                    f"line {self._table.line}: holds an address, not the names of columns. Put a "
                    "line above it, like name,email. Such a file does not say who left: if it has "
                    "people who did, add a column status with active or unsubscribed"
                )
            heads = ", ".join(self._table.heads) or "none"
            raise NoLeads(
                f'line {self._table.line}: no column is called "email". If another one '
                f'holds the addresses, give --column email="…" with its name. The columns are: '
                f"{heads}"
            )
        if not self._source and "consent_source" not in self._reads:
            raise NoLeads(
                "where did they agree to be mailed, and to what? Say it with --consent-source, or "
                "for each line in a column consent_source"
            )

    def _surveyed(self) -> Iterator[Sequence[str]]:
        """Yield the rows up to one that is not CSV: it is reported when the rows are read."""
        try:
            for _, cells in self._table.rows():
                yield cells
        except Broken:
            return

    def __iter__(self) -> Iterator[dict[str, Any]]:
        try:
            for number, cells in self._table.rows():
                self.lines += 1
                try:
                    row = self._row(cells)
                except Wrong as mistake:
                    self._note(f"line {number}: {mistake}")
                    continue
                if row is not None:
                    yield row
        except Broken as error:
            self._note(f"line {error.line}: {error}")

    def _note(self, mistake: str) -> None:
        self.wrong += 1
        if self.wrong <= MISTAKES_TOLD:
            self.mistakes.append(mistake)

    def _row(self, cells: list[str]) -> dict[str, Any] | None:
        """Return a line's values; None for a person who never confirmed. Raises Wrong."""
        if any(cells[len(self._table.heads) :]):
            raise Wrong(
                f"has more cells than the first line ({len(cells)}, not "
                f"{len(self._table.heads)}): put quotes around a cell that holds the sign between "
                "cells"
            )
        standing, reason = self._standing(cells)
        suppressed = self._text(cells, "suppressed") or None
        if suppressed not in (None, SuppressionReason.BOUNCED, SuppressionReason.ERASED):
            standing, reason = self._judged(
                standing, reason, self._reads["suppressed"][0], Rule.GONE, cells
            )
            suppressed = None
        if standing is Standing.UNCONFIRMED:
            self.unconfirmed += 1
            return None
        gone = standing in (Standing.LEFT, Standing.BOUNCED)
        row: dict[str, Any] = {"state": LeadState.UNSUBSCRIBED if gone else LeadState.CONFIRMED}
        row["reason"] = f"{self._name}: {reason}" if gone else None
        row["suppressed"] = suppressed or (
            SuppressionReason.BOUNCED if standing is Standing.BOUNCED else None
        )
        row["address"] = self._address(self._text(cells, "email"))
        for name, most in TEXTS.items():
            text = self._text(cells, name)
            row[name] = _text(name, addresses.cleaned_name(text) if name == "name" else text, most)
        row["name"] = row["name"] or self._full_name(cells)
        row["consent_source"] = row["consent_source"] or self._source
        if not row["consent_source"]:
            raise Wrong("consent_source: say where they agreed, or give --consent-source for all")
        for name in TIMES:
            row[name] = self._time(cells, name)
        return row

    def _standing(self, cells: list[str]) -> tuple[Standing, str | None]:
        """Return the person's worst status in any column, and that column."""
        standing, reason = Standing.AGREED, None
        newer = self._newer is not None and cells[self._newer].strip()
        for column, rule in self._judges:
            if newer and column.head == "unsubscribed_at":
                continue
            standing, reason = self._judged(standing, reason, column, rule, cells)
        return standing, reason

    def _judged(
        self, before: Standing, reason: str | None, column: Column, rule: Rule, cells: list[str]
    ) -> tuple[Standing, str | None]:
        cell = cells[column.place].strip()
        try:
            found = status.standing(rule, cell)
        except NotKnown:
            raise Wrong(
                f'{column.head}: "{cell[:40]}" is not known here: write active, pending, bounced '
                "or unsubscribed, whichever it means"
            ) from None
        if found is None or ORDER.index(found) <= ORDER.index(before):
            return before, reason
        free = rule in (Rule.LEFT_WHEN, Rule.BOUNCED_WHY)  # reasons may name people
        return found, column.head if free or not cell else f'{column.head}: "{cell[:40]}"'

    def _text(self, cells: list[str], name: str) -> str:
        """Return what the first column that says something holds under a name of ours."""
        for column in self._reads.get(name, ()):
            if cell := self._cell(cells, column):
                return cell
        return ""

    def _cell(self, cells: list[str], column: Column) -> str:
        cell = cells[column.place]
        return (export.undo(cell) if self._ours else cell).strip()

    def _full_name(self, cells: list[str]) -> str | None:
        parts = [addresses.cleaned_name(self._text(cells, name)) for name in columns.PARTS]
        return _text("name", " ".join(filter(None, parts)), TEXTS["name"])

    def _address(self, email: str) -> addresses.Address:
        if FOREIGN.search(email):
            raise Wrong(f"email: {NOT_UTF8}")
        try:
            return addresses.parse(email, self._key)
        except EmailNotValidError as error:
            raise Wrong(f"email: {error}") from None

    def _time(self, cells: list[str], name: str) -> datetime | None:
        for column in self._reads.get(name, ()):
            cell = self._cell(cells, column)
            if not cell or status.NO_TIME.fullmatch(cell) or cell == "0":
                continue
            if name == "unsubscribed_at" and not times.looks_like_time(cell):
                continue  # the column may as well hold a yes
            # Our own export writes the zone: a time without it was rewritten by another program.
            zone = self._zone or (None if column.head == name else UTC)
            try:
                moment = times.read(cell, zone, self._first[column.place])
            except times.NoTime as error:
                raise Wrong(f"{column.head}: {error}") from None
            if moment > now() + AHEAD:
                raise Wrong(f'{column.head}: "{cell[:40]}" is in the future: correct the time')
            return moment
        return None


def _text(name: str, text: str, most: int) -> str | None:
    if FOREIGN.search(text):
        raise Wrong(f"{name}: {NOT_UTF8}")
    if UNPRINTED.search(text):
        raise Wrong(f"{name}: is one line, without control characters")
    if len(text) > most:
        raise Wrong(f"{name}: has {len(text)} characters, and at most {most} are kept")
    if "utm_" in name and ROUNDED.fullmatch(text):
        raise Wrong(
            f'{name}: "{text}" is a long number that a spreadsheet has rounded: take the column '
            f"from the first file, or give --ignore {name}"
        )
    return text or None
