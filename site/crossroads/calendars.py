"""A cohort's sessions as a calendar file, right across changes of summer time."""

from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

from icalendar import Calendar, Event, vRecur

from crossroads.content import Cohort, Course
from crossroads.content_fields import DAYS
from models.base import now


def write(course: Course, cohort: Cohort, link: str) -> bytes:
    """Return an iCalendar file (RFC 5545) with one weekly event for each weekly session.

    Times are in the cohort's time zone, whose rules the file carries along: 6 pm stays 6 pm
    when the clocks change. A cohort without weekly sessions gets one event over all its days.
    """
    zone = ZoneInfo(cohort.timezone)
    calendar = Calendar()
    calendar.add("prodid", "-//Crossroads//EN")
    calendar.add("version", "2.0")
    for number, weekly in enumerate(cohort.weekly):
        first = cohort.starts
        while DAYS[first.weekday()] != weekly.day:
            first += timedelta(days=1)
        event = _event(course, cohort, link, f"{number}")
        event.add("dtstart", datetime.combine(first, time.fromisoformat(weekly.starts), zone))
        event.add("dtend", datetime.combine(first, time.fromisoformat(weekly.ends), zone))
        last = datetime.combine(cohort.ends, time.max, zone).replace(microsecond=0)
        event.add("rrule", vRecur({"FREQ": "WEEKLY", "UNTIL": last.astimezone(ZoneInfo("UTC"))}))
        calendar.add_component(event)
    if not cohort.weekly:
        event = _event(course, cohort, link, "all")
        event.add("dtstart", cohort.starts)
        event.add("dtend", cohort.ends + timedelta(days=1))  # the end is not part of it
        calendar.add_component(event)
    calendar.add_missing_timezones()
    return bytes(calendar.to_ical())


def _event(course: Course, cohort: Cohort, link: str, number: str) -> Event:
    event = Event()
    event.add("uid", f"{course.slug}-{cohort.code}-{number}@crossroads")
    event.add("dtstamp", now())
    event.add("summary", course.title)
    event.add("description", f"{cohort.meets}\n{link}")
    return event
