"""When a cohort meets, moment by moment, and as a calendar file."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from crossroads.content import Cohort, Course
from crossroads.content_fields import DAYS
from crossroads.content_schema import Weekly
from models.base import now

if TYPE_CHECKING:
    from icalendar import Event

State = Literal["ahead", "running", "over"]

A_DAY = timedelta(days=1)
A_WEEK = timedelta(days=7)


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
    """Return the session that is on or comes next; None after the last one."""
    return next((meeting for meeting in meetings(cohort) if meeting.ends > at), None)


def state(cohort: Cohort, at: datetime) -> State:
    """Tell whether the cohort lies ahead, runs or is over, by the calendar of its time zone."""
    today = local(cohort, at).date()
    if today < cohort.starts:
        return "ahead"
    return "running" if today <= cohort.ends else "over"


def eve(cohort: Cohort) -> date:
    """Return the day before the cohort starts."""
    return cohort.starts - A_DAY


def local(cohort: Cohort | None, at: datetime) -> datetime:
    """Return a moment by the clocks where the cohort is; in UTC when that is not known."""
    return at.astimezone(ZoneInfo(cohort.timezone) if cohort else UTC)


def write(course: Course, cohort: Cohort, link: str) -> bytes:
    """Return an iCalendar file (RFC 5545) with one weekly event for each weekly session.

    Times are in the cohort's time zone, whose rules the file carries along: 6 pm stays 6 pm
    when the clocks change. A cohort without weekly sessions gets one event over all its days.
    """
    from icalendar import Calendar, vRecur  # here alone: it takes as long to import as Flask

    calendar = Calendar()
    calendar.add("prodid", "-//Crossroads//EN")
    calendar.add("version", "2.0")
    for number, weekly in enumerate(cohort.weekly):
        days = _days(cohort, weekly)
        if not days:
            continue
        first = _meeting(cohort, weekly, days[0])
        event = _event(course, cohort, link, f"{number}")
        event.add("dtstart", first.starts)
        event.add("dtend", first.ends)
        # The end counts in UTC and is part of the series (RFC 5545 section 3.3.10).
        last = _meeting(cohort, weekly, days[-1]).starts.astimezone(UTC)
        event.add("rrule", vRecur({"FREQ": "WEEKLY", "UNTIL": last}))
        calendar.add_component(event)
    if not calendar.events:
        event = _event(course, cohort, link, "all")
        event.add("dtstart", cohort.starts)
        event.add("dtend", cohort.ends + A_DAY)  # the end is not part of it
        calendar.add_component(event)
    # The rules of the years around: those of half a century would outweigh the rest of the file.
    calendar.add_missing_timezones(
        first_date=date(cohort.starts.year - 1, 1, 1), last_date=date(cohort.ends.year + 2, 1, 1)
    )
    return bytes(calendar.to_ical())


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
