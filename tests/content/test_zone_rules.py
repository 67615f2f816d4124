"""The calendar file is right in every time zone for programs that ignore RDATE, such as Outlook."""

from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

import pytest

from crossroads.content import Cohort, load, schedule
from crossroads.content.schema import Weekly
from tests.support import calendar_reader
from tests.support.paths import ROOT
from tests.support.walks import WHOLE, each, walk

COURSE = load(ROOT / "site" / "content").courses[0]
LINK = "https://www.example.com/enrollments/token"
# A northern summer, a southern summer and two longer runs: each covers the difficult days of other
# zones.
RUNS = [
    (date(2027, 2, 1), date(2027, 6, 30)),
    (date(2026, 9, 1), date(2027, 5, 31)),
    (date(2028, 1, 1), date(2028, 12, 31)),
    (date(2029, 8, 1), date(2031, 4, 30)),
]
WEEKLY = (
    Weekly(day="Tuesday", starts="18:00", ends="19:30"),
    Weekly(day="Saturday", starts="23:00", ends="00:30"),
    Weekly(day="Sunday", starts="01:15", ends="03:45"),  # over the clock change
)
BY_RULE = ["America/New_York", "Europe/Berlin", "Europe/Dublin", "Australia/Sydney",
           "Australia/Lord_Howe", "Pacific/Auckland", "Asia/Jerusalem"]  # fmt: skip


@cache
def signature(name: str) -> tuple[timedelta | None, ...]:
    """Return the offsets that distinguish a zone in these years: most zone names are aliases."""
    zone, start = ZoneInfo(name), datetime(2025, 1, 1, tzinfo=UTC)
    hours = range(0, 7 * 365 * 24, 12)
    return tuple((start + timedelta(hours=hour)).astimezone(zone).utcoffset() for hour in hours)


def cohort(zone: str, run: tuple[date, date], weekly: tuple[Weekly, ...] = WEEKLY) -> Cohort:
    given = {"starts": run[0], "ends": run[1], "timezone": zone, "weekly": weekly}
    return COURSE.cohorts[0].model_copy(update=given)


def held(run: Cohort) -> set[tuple[datetime, datetime]]:
    """Return the sessions in UTC, computed here without the code under test."""
    zone, found = ZoneInfo(run.timezone), set()
    day = run.starts
    while day <= run.ends:
        for one in run.weekly:
            if f"{day:%A}" == one.day:
                starts, ends = (
                    datetime.combine(day, time.fromisoformat(text), zone)
                    for text in (one.starts, one.ends)
                )
                ends = ends if one.ends > one.starts else ends + timedelta(days=1)
                found.add((starts.astimezone(UTC), ends.astimezone(UTC)))
        day += timedelta(days=1)
    return found


def zones(names: Iterable[str]) -> list[str]:
    """Return one of these zones for each pattern of offsets."""
    kinds: dict[tuple[timedelta | None, ...], str] = {}
    for name in names:
        kinds.setdefault(signature(name), name)
    return list(kinds.values())


@walk
@pytest.mark.parametrize("run", RUNS, ids=str)
def test_sessions_are_right_in_every_zone_without_rdate(run: tuple[date, date]) -> None:
    every = sorted(available_timezones() - {"localtime", "Factory"})
    names = zones(each(every, 40, 10 * RUNS.index(run)))
    assert len(names) > (60 if WHOLE else 10)
    wrong = []
    for name in names:
        one = cohort(name, run)
        if calendar_reader.sessions(schedule.write(COURSE, one, LINK)) != held(one):
            wrong.append(name)
    assert wrong == []


@pytest.mark.parametrize("zone", BY_RULE)
def test_zone_with_yearly_rules_keeps_one_local_time_series(zone: str) -> None:
    evening = (Weekly(day="Tuesday", starts="18:00", ends="19:30"),)
    file = schedule.write(COURSE, cohort(zone, RUNS[2], evening), LINK)
    assert file.count(b"BEGIN:VEVENT") == 1
    assert f"DTSTART;TZID={zone}:20280104T180000".encode() in file


def test_zone_without_yearly_rules_is_written_in_utc() -> None:
    evening = (Weekly(day="Tuesday", starts="18:00", ends="19:30"),)
    file = schedule.write(COURSE, cohort("Africa/Casablanca", RUNS[2], evening), LINK)
    assert b"VTIMEZONE" not in file and b"TZID" not in file
    assert file.count(b"BEGIN:VEVENT") == 3  # before, during and after Ramadan
    uids = [line for line in file.split(b"\r\n") if line.startswith(b"UID:")]
    assert len(set(uids)) == 3


def test_april_session_in_new_york_has_the_right_time() -> None:
    evening = (Weekly(day="Tuesday", starts="18:00", ends="19:30"),)
    run = cohort("America/New_York", (date(2027, 4, 6), date(2027, 5, 25)), evening)
    found = calendar_reader.sessions(schedule.write(COURSE, run, LINK))
    assert min(found)[0] == datetime(2027, 4, 6, 22, tzinfo=UTC)
    assert {f"{starts:%H:%M}" for starts, _ in found} == {"22:00"}
