"""A time zone as two yearly rules: the only form that Outlook reads in a calendar file.

It reads TZID, DTSTART, RRULE and the offsets, and no RDATE ([MS-STANOICAL] section 2.2.47):
https://learn.microsoft.com/openspecs/office_standards/ms-stanoical
"""

from calendar import monthrange
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

DAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
AHEAD = 8  # years in which a rule has to hold mostly, or it would be a rule by chance
A_DAY = timedelta(days=1)
A_WEEK = timedelta(days=7)  # no zone changes its clocks twice within one


@dataclass(frozen=True)
class Rule:
    """Each year the clocks change once to `after`, from `before`: on the nth weekday of a month.

    `nth` is 1 to 5, or -1 for the last one; `at` is the time that the clocks show then.
    """

    month: int
    weekday: int
    nth: int
    at: time
    before: timedelta
    after: timedelta

    def onset(self, year: int) -> datetime | None:
        """Return the moment by the clocks as they were, None in a year without that weekday."""
        length = monthrange(year, self.month)[1]
        if self.nth > 0:
            first = date(year, self.month, 1)
            day = 1 + (self.weekday - first.weekday()) % 7 + 7 * (self.nth - 1)
        else:
            day = length - (date(year, self.month, length).weekday() - self.weekday) % 7
        return datetime.combine(date(year, self.month, day), self.at) if day <= length else None

    def first_onset(self, year: int) -> datetime:
        """Return the last onset up to this year. A fifth weekday is not in every year."""
        while (onset := self.onset(year)) is None:
            year -= 1
        return onset

    @property
    def recurrence(self) -> dict[str, object]:
        """Return it as the parts of an RRULE (RFC 5545 section 3.3.10)."""
        day = f"{self.nth}{DAYS[self.weekday]}"
        return {"FREQ": "YEARLY", "BYMONTH": self.month, "BYDAY": day}


@dataclass(frozen=True)
class Zone:
    """Standard time all year, or the change to standard time and the one to summer time."""

    standard: timedelta
    rules: tuple[Rule, ...] = ()


def simple(name: str, moments: Sequence[datetime]) -> Zone | None:
    """Return the zone in the form that gives these moments, which are in it, their right offsets.

    None when no such form does: where the clocks follow the moon, or change once for good.
    """
    zone = ZoneInfo(name)
    years = range(min(moments).year, max(moments).year + 1)
    changes = list(_changes(zone, years.start, years.stop))
    if not changes:
        found = Zone(_offset(zone, datetime(years.start, 1, 1, tzinfo=UTC)))
    else:
        rules = _rules(zone, changes, years)
        if rules is None:
            return None
        found = Zone(min(rule.after for rule in rules), rules)
    right = all(_gives(found, one.replace(tzinfo=None)) == one.utcoffset() for one in moments)
    return found if right else None


def _gives(zone: Zone, local: datetime) -> timedelta:
    onsets = [
        (onset, rule.after)
        for rule in zone.rules
        for year in (local.year - 1, local.year)
        if (onset := rule.onset(year)) is not None and onset <= local
    ]
    return max(onsets)[1] if onsets else zone.standard


def _rules(zone: ZoneInfo, changes: list["_Change"], years: range) -> tuple[Rule, ...] | None:
    """Return the two rules that make exactly these changes, None when there are none."""
    if len(changes) != 2 * len(years):
        return None
    ahead = list(_changes(zone, years.start, years.start + AHEAD))
    rules = []
    for part in (changes[0::2], changes[1::2]):
        fitting = [
            (sum(rule in one.rules() for one in ahead), rule)
            for rule in part[0].rules()
            if all(rule in one.rules() for one in part)
        ]
        held, best = max(fitting, key=lambda one: one[0], default=(0, None))
        if best is None or held <= AHEAD // 2:
            return None
        rules.append(best)
    return tuple(rules)


@dataclass(frozen=True)
class _Change:
    """The clocks change: what they show then, and the offsets before and after."""

    local: datetime
    before: timedelta
    after: timedelta

    def rules(self) -> list[Rule]:
        """Return the rules that it may follow: that of the nth weekday, and of the last one."""
        day = self.local.date()
        found = [(day.day - 1) // 7 + 1]
        if day.day + 7 > monthrange(day.year, day.month)[1]:
            found.append(-1)
        return [
            Rule(day.month, day.weekday(), nth, self.local.time(), self.before, self.after)
            for nth in found
        ]


def _changes(zone: ZoneInfo, first: int, end: int) -> Iterator[_Change]:
    """Yield the changes of the years from `first` on, before the year `end`, by local time."""
    week = datetime(first, 1, 1, tzinfo=UTC) - A_DAY
    last = datetime(end, 1, 1, tzinfo=UTC) + A_DAY
    while week < last:
        if _offset(zone, week) != _offset(zone, week + A_WEEK):
            moment = _moment(zone, week)
            before = _offset(zone, moment - timedelta(minutes=1))
            change = _Change((moment + before).replace(tzinfo=None), before, _offset(zone, moment))
            if first <= change.local.year < end:
                yield change
        week += A_WEEK


def _moment(zone: ZoneInfo, week: datetime) -> datetime:
    """Return the minute of this week, in UTC, from which on the offset is another."""
    low, high = 0, A_WEEK // timedelta(minutes=1)
    while high - low > 1:
        middle = (low + high) // 2
        same = _offset(zone, week + timedelta(minutes=middle)) == _offset(zone, week)
        low, high = (middle, high) if same else (low, middle)
    return week + timedelta(minutes=high)


def _offset(zone: ZoneInfo, moment: datetime) -> timedelta:
    return moment.astimezone(zone).utcoffset() or timedelta()
