"""A cohort's sessions keep their local time, in the calendar file and on the page."""

from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from icalendar import Calendar

from crossroads.content import Cohort, load, schedule
from crossroads.content.schema import Weekly
from tests.support.paths import ROOT

COURSE = load(ROOT / "site" / "content").courses[0]
LINK = "https://www.example.com/enrollments/token"
# Each run includes a clock change, in zones that have one.
RUNS = {
    "America/New_York": (date(2027, 3, 2), date(2027, 3, 25)),  # forward on March 14, 2027
    "Europe/Berlin": (date(2027, 10, 19), date(2027, 11, 11)),  # back on October 31, 2027
    "Australia/Lord_Howe": (date(2027, 3, 23), date(2027, 4, 15)),  # back by half an hour
    "Asia/Kolkata": (date(2027, 3, 2), date(2027, 3, 25)),
    "UTC": (date(2027, 3, 2), date(2027, 3, 25)),
}


def cohort(zone: str = "America/New_York", **changed: Any) -> Cohort:
    starts, ends = RUNS[zone]
    given = {"starts": starts, "ends": ends, "timezone": zone, **changed}
    return COURSE.cohorts[0].model_copy(update=given)


def weekly(day: str, starts: str, ends: str) -> Weekly:
    return Weekly(day=day, starts=starts, ends=ends)


def written(run: Cohort) -> Any:
    """Return the calendar file as another program parses it."""
    return Calendar.from_ical(schedule.write(COURSE, run, LINK))


def occurrences(event: Any) -> list[datetime]:
    """Return the start times of an event, from the file's own rule and time zone."""
    first, last = event["DTSTART"].dt, event["RRULE"]["UNTIL"][0]
    zone = first.tzinfo
    found, day = [], first.replace(tzinfo=None)
    while day.replace(tzinfo=zone).astimezone(UTC) <= last:
        found.append(day.replace(tzinfo=zone))
        day += timedelta(weeks=1)
    return found


@pytest.mark.parametrize("zone", RUNS)
def test_session_keeps_its_local_time_over_a_clock_change(zone: str) -> None:
    run = cohort(zone)
    met = schedule.meetings(run)
    assert len(met) == 8
    for meeting in met:
        assert (f"{meeting.starts:%H:%M}", f"{meeting.ends:%H:%M}") == ("18:00", "19:30")
        assert meeting.starts.tzinfo == ZoneInfo(zone)
    offsets = {meeting.starts.utcoffset() for meeting in met}
    assert len(offsets) == (1 if zone in ("Asia/Kolkata", "UTC") else 2)


@pytest.mark.parametrize("zone", RUNS)
def test_calendar_file_has_the_sessions_of_the_page(zone: str) -> None:
    run = cohort(zone)
    events = written(run).walk("VEVENT")
    listed = sorted(moment for event in events for moment in occurrences(event))
    met = [meeting.starts for meeting in schedule.meetings(run)]
    assert [moment.astimezone(UTC) for moment in listed] == [one.astimezone(UTC) for one in met]
    assert {event["DTEND"].dt - event["DTSTART"].dt for event in events} == {timedelta(minutes=90)}


@pytest.mark.parametrize("zone", [zone for zone in RUNS if zone != "UTC"])
def test_calendar_file_includes_the_rules_of_its_zone(zone: str) -> None:
    run = cohort(zone)
    file = written(run)
    (rules,) = file.walk("VTIMEZONE")
    assert rules["TZID"] == zone
    for event in file.walk("VEVENT"):
        assert event["DTSTART"].params["TZID"] == zone
    # A program that knows no zone names has only these rules.
    alone = rules.to_tz(lookup_tzid=False)
    for meeting in schedule.meetings(run):
        assert meeting.starts.replace(tzinfo=alone).utcoffset() == meeting.starts.utcoffset()


def test_series_ends_with_the_last_session() -> None:
    run = cohort(ends=date(2027, 3, 25))  # a Thursday with a session
    series = {f"{one['DTSTART'].dt:%A}": occurrences(one) for one in written(run).walk("VEVENT")}
    assert series["Thursday"][-1].date() == date(2027, 3, 25)
    assert series["Tuesday"][-1].date() == date(2027, 3, 23)
    for event in written(run).walk("VEVENT"):
        assert event["RRULE"]["UNTIL"][0].utcoffset() == timedelta(0)


def test_session_past_midnight_ends_on_the_next_day() -> None:
    run = cohort(weekly=(weekly("Friday", "23:00", "00:30"),))
    (event,) = written(run).walk("VEVENT")
    assert event["DTEND"].dt - event["DTSTART"].dt == timedelta(minutes=90)
    assert event["DTSTART"].dt.date() == date(2027, 3, 5)


def test_weekday_outside_a_short_cohort_has_no_session() -> None:
    week: Any = {"starts": date(2027, 3, 2), "ends": date(2027, 3, 4)}  # Tuesday to Thursday
    days = (weekly("Monday", "18:00", "19:00"), weekly("Wednesday", "18:00", "19:00"))
    run = cohort(**week, weekly=days)
    assert [meeting.starts.date() for meeting in schedule.meetings(run)] == [date(2027, 3, 3)]
    (event,) = written(run).walk("VEVENT")
    assert event["DTSTART"].dt.date() == date(2027, 3, 3)


def test_cohort_without_weekly_sessions_is_one_long_event() -> None:
    run = cohort(weekly=())
    assert schedule.meetings(run) == []
    (event,) = written(run).walk("VEVENT")
    assert (event["DTSTART"].dt, event["DTEND"].dt) == (run.starts, run.ends + timedelta(days=1))


def test_calendar_file_names_the_course_and_links_to_the_page() -> None:
    file = schedule.write(COURSE, cohort(), LINK)
    assert max(map(len, file.split(b"\r\n"))) <= 75  # RFC 5545 section 3.1
    events: Any = Calendar.from_ical(file).walk("VEVENT")
    assert {str(event["SUMMARY"]) for event in events} == {COURSE.title}
    assert all(LINK in event["DESCRIPTION"] for event in events)
    names = [str(event["UID"]) for event in events]
    assert len(set(names)) == len(names)
    again = written(cohort()).walk("VEVENT")
    assert [str(event["UID"]) for event in again] == names


def test_next_session_is_the_running_one_until_it_ends() -> None:
    run = cohort()
    first, second = schedule.meetings(run)[:2]
    assert schedule.upcoming(run, first.starts - timedelta(days=30)) == first
    assert schedule.upcoming(run, first.ends - timedelta(seconds=1)) == first
    assert schedule.upcoming(run, first.ends) == second
    assert schedule.upcoming(run, schedule.meetings(run)[-1].ends) is None


def test_cohort_starts_and_ends_at_midnight_of_its_own_zone() -> None:
    run = cohort("Asia/Kolkata")  # midnight is at 18:30 UTC
    assert schedule.state(run, datetime(2027, 3, 1, 18, 29, tzinfo=UTC)) == "ahead"
    assert schedule.state(run, datetime(2027, 3, 1, 18, 30, tzinfo=UTC)) == "running"
    assert schedule.state(run, datetime(2027, 3, 25, 18, 29, tzinfo=UTC)) == "running"
    assert schedule.state(run, datetime(2027, 3, 25, 18, 30, tzinfo=UTC)) == "over"
