"""A CSV file of leads, from our own export or from elsewhere, read and checked line by line."""

import csv
import io
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import IO, Any, Final

from email_validator import EmailNotValidError

from crossroads import addresses, export
from models.lead import CONFIRMED, STATES, UNSUBSCRIBED
from models.suppression import BOUNCED, ERASED

MISTAKES_TOLD = 50
DELIMITERS = (",", ";", "\t")
SAME: Final = {"e-mail": "email", "email_address": "email", "e-mail_address": "email"}
TOUCH = ("page", "utm_source", "utm_medium", "utm_campaign", "utm_term", "utm_content")
# The columns that hold text, and how many characters of it.
TEXTS: Final[Mapping[str, int]] = {
    "name": 100,
    **dict.fromkeys(TOUCH, 200),
    **dict.fromkeys((f"last_{name}" for name in TOUCH), 200),
    "consent_source": 1000,
}
TIMES = ("signed_up_at", "last_signup_at", "confirmed_at", "unsubscribed_at")
COLUMNS = frozenset({"email", "state", "suppressed", *TEXTS, *TIMES})
UNPRINTED = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
# A byte that is no UTF-8, as Python keeps it.
FOREIGN = re.compile(r"[\udc80-\udcff]")


class NoLeads(Exception):
    """The file cannot be read as a list of leads at all; the text says what to do."""


class Wrong(Exception):
    """A line that cannot be taken; the text says what to do."""


class LeadFile:
    """Yields what a file says of each person who agreed or left, in the file's order.

    A row is a mapping with `address`, `state` (confirmed or unsubscribed), `suppressed` (why their
    mail is held back, or None), and the columns of TEXTS and TIMES, None where nothing is said.
    Who never confirmed is left out and counted. Lines with a mistake are told in `mistakes`, the
    first 50 of them, and counted in `wrong`; nothing is known of them before the end.
    """

    def __init__(self, file: IO[bytes], *, suppression_key: str, source: str = "") -> None:
        """Read the first line. `source` is where they agreed, for lines that do not say it.

        Raises NoLeads.
        """
        self.mistakes: list[str] = []
        self.wrong = self.lines = self.unconfirmed = 0
        self._key = suppression_key
        self._source = source
        self._text = io.TextIOWrapper(
            file, encoding="utf-8-sig", errors="surrogateescape", newline=""
        )
        first = self._text.readline()
        found = [(one, _names(first, one)) for one in DELIMITERS]
        self._delimiter, self._names = max(found, key=lambda one: len(COLUMNS.intersection(one[1])))
        self.ignored = [name for name in self._names if name and name not in COLUMNS]
        if "email" not in self._names:
            raise NoLeads(
                'line 1: no column is called "email": the first line names the columns, and the '
                "file is CSV in UTF-8"
            )
        for name in COLUMNS:
            if self._names.count(name) > 1:
                raise NoLeads(f"line 1: two columns are called {name}: take one of them out")
        if not source and "consent_source" not in self._names:
            raise NoLeads(
                "where did they agree to be mailed, and to what? Say it with --consent-source, or "
                "for each line in a column consent_source"
            )

    def __iter__(self) -> Iterator[dict[str, Any]]:
        reader = csv.reader(self._text, delimiter=self._delimiter, strict=True)
        while True:
            number = reader.line_num + 2  # the first line was read apart
            try:
                cells = next(reader)
            except StopIteration:
                break
            except csv.Error:
                self._note(f"line {number}: a quote is open or stands in the middle of a cell")
                break
            if not any(cells):
                continue
            self.lines += 1
            try:
                row = self._row(cells)
            except Wrong as mistake:
                self._note(f"line {number}: {mistake}")
                continue
            if row is not None:
                yield row
        self._text.detach()  # or the caller's file would be closed with the wrapper

    def _note(self, mistake: str) -> None:
        self.wrong += 1
        if self.wrong <= MISTAKES_TOLD:
            self.mistakes.append(mistake)

    def _row(self, cells: list[str]) -> dict[str, Any] | None:
        """Return what a line says, None for who never confirmed. Raises Wrong."""
        if len(cells) != len(self._names):
            raise Wrong(
                f"has another number of cells than the first line ({len(cells)}, not "
                f"{len(self._names)}): put quotes around a cell that holds the sign between cells"
            )
        given = {
            name: export.undo(cell).strip()
            for name, cell in zip(self._names, cells, strict=True)
            if name in COLUMNS
        }
        state = given.pop("state", "") or CONFIRMED
        if state not in STATES:
            raise Wrong(f"state: is one of {', '.join(STATES)}, or empty for confirmed")
        if state not in (CONFIRMED, UNSUBSCRIBED):
            self.unconfirmed += 1
            return None
        suppressed = given.pop("suppressed", "") or None
        if suppressed not in (None, BOUNCED, ERASED):
            raise Wrong(f"suppressed: is {BOUNCED}, {ERASED} or empty")
        email = given.pop("email")
        row: dict[str, Any] = {"state": state, "suppressed": suppressed}
        row["address"] = self._address(email)
        for name, most in TEXTS.items():
            row[name] = _text(name, given.get(name, ""), most)
        row["consent_source"] = row["consent_source"] or self._source
        if not row["consent_source"]:
            raise Wrong("consent_source: say where they agreed, or give --consent-source for all")
        for name in TIMES:
            row[name] = _time(name, given.get(name, ""))
        return row

    def _address(self, email: str) -> addresses.Address:
        if FOREIGN.search(email):
            raise Wrong("email: is not UTF-8: save the file as CSV UTF-8")
        try:
            return addresses.read(email, self._key)
        except EmailNotValidError as error:
            raise Wrong(f"email: {error}") from None


def _names(line: str, delimiter: str) -> list[str]:
    """Return the columns that the first line names, in the words of our own export."""
    try:
        cells = next(csv.reader([line], delimiter=delimiter), [])
    except csv.Error:  # a cell without end
        return []
    names = [export.undo(cell).strip().casefold().replace(" ", "_") for cell in cells]
    return [SAME.get(name, name) for name in names]


def _text(name: str, text: str, most: int) -> str | None:
    if FOREIGN.search(text):
        raise Wrong(f"{name}: is not UTF-8: save the file as CSV UTF-8")
    if UNPRINTED.search(text):
        raise Wrong(f"{name}: is one line, without control characters")
    if len(text) > most:
        raise Wrong(f"{name}: has {len(text)} characters, and at most {most} are kept")
    return text or None


def _time(name: str, text: str) -> datetime | None:
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            raise ValueError
        return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise Wrong(f"{name}: is a time with its zone, like 2026-11-23T08:00:00Z") from None
