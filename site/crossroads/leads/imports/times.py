"""Parses times in the formats of other programs."""

import re
from collections.abc import Iterable
from datetime import UTC, datetime, tzinfo
from typing import Final

# Day and month as numbers, in an order that differs by country, then the year.
NUMBERS: Final = re.compile(r"(\d{1,2})([/.-])(\d{1,2})\2(\d{4})(?:,?\s+(.+))?")
# 2018-02-12 17:59:31, with what may follow: a fraction, a zone.
ISO: Final = re.compile(r"\d{4}-\d\d-\d\d([T ].*)?")
SECONDS: Final = re.compile(r"\d{9,10}")  # since 1970, up to the year 2286
CLOCKS: Final = ("%H:%M:%S", "%H:%M", "%I:%M:%S %p", "%I:%M %p")
WORDED: Final = ("%d %b %Y", "%d %B %Y", "%b %d %Y", "%B %d %Y")
LETTERS: Final = re.compile(r"(?:\d{1,2} )?[A-Za-z]{3,9} (?:\d{1,2} )?\d{4}\b")


class NoTime(Exception):
    """A time cannot be parsed; the text says why and what to do."""


def day_first(cells: Iterable[str]) -> bool | None:
    """Return whether the day comes first in numeric dates; None if they do not show it.

    Raises NoTime when some say so and others the opposite.
    """
    firsts = set()
    for cell in cells:
        if (found := NUMBERS.fullmatch(cell.strip())) and found[2] != ".":
            firsts |= {True} if int(found[1]) > 12 else set()
            firsts |= {False} if int(found[3]) > 12 else set()
    if len(firsts) == 2:
        raise NoTime("some dates have the day first, others the month: write all in one way")
    return firsts.pop() if firsts else None


def looks_like_time(text: str) -> bool:
    """Return whether a cell looks like a date or a time."""
    shapes = (ISO, NUMBERS, SECONDS)
    return any(shape.fullmatch(text) for shape in shapes) or bool(
        LETTERS.match(text.replace(",", ""))
    )


def read(text: str, zone: tzinfo | None, first: bool | None) -> datetime:
    """Return the moment in UTC. `zone` is that of times that name none.

    `first` tells whether 1/2/2026 is a day in February. Raises NoTime.
    """
    if SECONDS.fullmatch(text):
        return datetime.fromtimestamp(int(text), UTC)
    try:
        moment = _iso(text) or _numbers(text, first) or _worded(text)
        if moment is None:
            raise ValueError
        if moment.tzinfo is None:
            if zone is None:
                raise NoTime(
                    "is a time with its zone, like 2026-11-23T08:00:00Z: if another program wrote "
                    "it without, give --time-zone"
                )
            moment = moment.replace(tzinfo=zone)
        return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise NoTime("is a time, like 2026-11-23T08:00:00Z") from None


def _iso(text: str) -> datetime | None:
    if not ISO.fullmatch(text):
        return None
    return datetime.fromisoformat(text.removesuffix(" UTC"))


def _numbers(text: str, first: bool | None) -> datetime | None:
    found = NUMBERS.fullmatch(text)
    if found is None:
        return None
    one, sign, other, year, clock = found.groups()
    if sign == ".":  # only ever written with the day first
        first = True
    if first is None and one != other:
        raise NoTime("may have the day or the month first: give --dates day-first or month-first")
    day, month = (one, other) if first else (other, one)
    return _at(datetime(int(year), int(month), int(day)), clock)  # noqa: DTZ001 - the zone follows


def _worded(text: str) -> datetime | None:
    plain = " ".join(text.replace(",", " ").split())
    found = LETTERS.match(plain)
    if found is None:
        return None
    for form in WORDED:
        try:
            day = datetime.strptime(found[0], form)  # noqa: DTZ007 - the zone follows
        except ValueError:
            continue
        return _at(day, plain[found.end() :].strip())
    return None


def _at(day: datetime, clock: str | None) -> datetime:
    if not clock:
        return day
    for form in CLOCKS:
        try:
            at = datetime.strptime(clock.strip().upper(), form)  # noqa: DTZ007 - the zone follows
        except ValueError:
            continue
        return day.replace(hour=at.hour, minute=at.minute, second=at.second)
    raise ValueError(clock)
