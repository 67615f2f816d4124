"""The sessions of a cohort with their times, also as a calendar file."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import groupby
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from crossroads.content import Cohort, Course, zone_rules
from crossroads.content.fields import DAYS
from crossroads.content.schema import Weekly
from crossroads.content.zone_rules import Zone
from models.base import now

if TYPE_CHECKING:
    from icalendar import Event, Timezone

State = Literal["ahead", "running", "over"]

A_DAY = timedelta(days=1)
A_WEEK = timedelta(days=7)
GREENWICH = Zone(timedelta())


@dataclass(frozen=True, kw_only=True, order=True)
class Meeting:
    """One live session: from when to when, in the cohort's time zone."""

    starts: datetime
    ends: datetime


def meetings(cohort: Cohort) -> list[Meeting]:
    """Return every live session of the cohort, the first one first."""
    return sorted(
        _meeting(cohort, weekly, day) for weekly in cohort.weekly for day in _days(cohort, weekly)
    )


def upcoming(cohort: Cohort, at: datetime) -> Meeting | None:
    """Return the current or next session; None after the last one."""
    return next((meeting for meeting in meetings(cohort) if meeting.ends > at), None)


def state(cohort: Cohort, at: datetime) -> State:
    """Return whether the cohort is upcoming, running or over, by the date in its time zone."""
    today = local(cohort, at).date()
    if today < cohort.starts:
        return "ahead"
    return "running" if today <= cohort.ends else "over"


def day_before_start(cohort: Cohort) -> date:
    """Return the day before the cohort starts."""
    return cohort.starts - A_DAY


def local(cohort: Cohort | None, at: datetime) -> datetime:
    """Return a moment in the cohort's time zone; in UTC when the zone is unknown."""
    return at.astimezone(ZoneInfo(cohort.timezone) if cohort else UTC)


def write(course: Course, cohort: Cohort, link: str) -> bytes:
    """Return an iCalendar file (RFC 5545) with one weekly event for each weekly session.

    Times are in the cohort's time zone, whose rules the file carries along: 6 pm stays 6 pm
    when the clocks change. Where they follow no yearly rule, as around Ramadan in Morocco, a weekly
    session is one event in UTC for each stretch between two changes: that is right for programs
    that read no exceptions, too. A cohort without weekly sessions is one event over all its days.
    """
    from icalendar import Calendar  # here alone: it takes as long to import as Flask

    calendar = Calendar()
    calendar.add("prodid", "-//Crossroads//EN")
    calendar.add("version", "2.0")
    held = [[_meeting(cohort, one, day) for day in _days(cohort, one)] for one in cohort.weekly]
    moments = [moment for line in held for one in line for moment in (one.starts, one.ends)]
    zone = zone_rules.simple(cohort.timezone, moments) if moments else None
    if zone is not None and zone != GREENWICH:
        calendar.add_component(_timezone(cohort.timezone, zone, min(moments).year))
    for number, line in enumerate(held):
        if zone is not None and zone != GREENWICH:
            stretches = [(f"{number}", line)] if line else []
        else:
            stretches = [
                (f"{number}" if part == 0 else f"{number}-{part}", _in_utc(some))
                for part, some in enumerate(_by_offset(line))
            ]
        for name, some in stretches:
            calendar.add_component(_series(course, cohort, link, name, some))
    if not moments:
        event = _event(course, cohort, link, "all")
        event.add("dtstart", cohort.starts)
        event.add("dtend", cohort.ends + A_DAY)  # the end is not part of it
        calendar.add_component(event)
    return bytes(calendar.to_ical())


def _by_offset(line: list[Meeting]) -> list[list[Meeting]]:
    """Divide a weekly session where the clocks change, before or within it."""

    def offsets(one: Meeting) -> tuple[timedelta | None, timedelta | None]:
        return one.starts.utcoffset(), one.ends.utcoffset()

    return [list(some) for _, some in groupby(line, key=offsets)]


def _in_utc(line: list[Meeting]) -> list[Meeting]:
    return [
        Meeting(starts=one.starts.astimezone(UTC), ends=one.ends.astimezone(UTC)) for one in line
    ]


def _series(course: Course, cohort: Cohort, link: str, name: str, line: list[Meeting]) -> "Event":
    from icalendar import vRecur

    event = _event(course, cohort, link, name)
    event.add("dtstart", line[0].starts)
    event.add("dtend", line[0].ends)
    # The end counts in UTC and is part of the series (RFC 5545 section 3.3.10).
    event.add("rrule", vRecur({"FREQ": "WEEKLY", "UNTIL": line[-1].starts.astimezone(UTC)}))
    return event


def _timezone(name: str, zone: Zone, year: int) -> "Timezone":
    """Return the zone as a part of the file, its rules in force from the year before this one."""
    from icalendar import Timezone, TimezoneDaylight, TimezoneStandard, vRecur

    component = Timezone()
    component.add("tzid", name)
    if not zone.rules:
        always = TimezoneStandard()
        always.add("dtstart", datetime(year - 1, 1, 1))  # noqa: DTZ001 - by the clocks there
        always.add("tzoffsetfrom", zone.standard)
        always.add("tzoffsetto", zone.standard)
        component.add_component(always)
    for rule in zone.rules:
        change = TimezoneStandard() if rule.after == zone.standard else TimezoneDaylight()
        change.add("dtstart", rule.first_onset(year - 1))
        change.add("rrule", vRecur(rule.recurrence))
        change.add("tzoffsetfrom", rule.before)
        change.add("tzoffsetto", rule.after)
        component.add_component(change)
    return component


def _days(cohort: Cohort, weekly: Weekly) -> list[date]:
    """Return the days of the run on which a weekly session is held."""
    ahead = (DAYS.index(weekly.day) - cohort.starts.weekday()) % 7
    first = cohort.starts + ahead * A_DAY
    weeks = (cohort.ends - first) // A_WEEK
    return [first + week * A_WEEK for week in range(weeks + 1)]


def _meeting(cohort: Cohort, weekly: Weekly, day: date) -> Meeting:
    zone = ZoneInfo(cohort.timezone)
    starts, ends = time.fromisoformat(weekly.starts), time.fromisoformat(weekly.ends)
    last = day if ends > starts else day + A_DAY  # it goes on past midnight
    return Meeting(
        starts=datetime.combine(day, starts, zone), ends=datetime.combine(last, ends, zone)
    )


def _event(course: Course, cohort: Cohort, link: str, number: str) -> "Event":
    from icalendar import Event

    event = Event()
    host = urlsplit(link).hostname or "crossroads"
    event.add("uid", f"{course.slug}-{cohort.code}-{number}@{host}")
    event.add("dtstamp", now())
    event.add("summary", course.title)
    event.add("description", f"{cohort.meets}\n{link}")
    return event
