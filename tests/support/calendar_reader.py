"""A reader of calendar files with the limits of Outlook: yearly rules, and no RDATE.

[MS-STANOICAL] section 2.2.47. It shares nothing with the code that writes them.
"""

import re
from calendar import Calendar as Months
from datetime import UTC, date, datetime, timedelta

DAYS = ["MO", "TU", "WE", "TH", "FR", "SA", "SU"]
YEARLY = re.compile(r"FREQ=YEARLY;BYDAY=(-1|[1-5])([A-Z]{2});BYMONTH=(\d{1,2})")

Properties = dict[str, str]


def sessions(file: bytes) -> set[tuple[datetime, datetime]]:
    """Return start and end of each event in the file, in UTC."""
    found: set[tuple[datetime, datetime]] = set()
    rules = [part for name, part in _parts(file) if name in ("STANDARD", "DAYLIGHT")]
    zones = [part["TZID"] for name, part in _parts(file) if name == "VTIMEZONE"]
    assert len(zones) <= 1
    for name, event in _parts(file):
        if name == "VEVENT":
            first, last = (_local(event, key) for key in ("DTSTART", "DTEND"))
            zone = _parameter(event, "DTSTART")
            assert zone == _parameter(event, "DTEND") and (zone is None or [zone] == zones)
            week = timedelta()
            until = re.fullmatch(r"FREQ=WEEKLY;UNTIL=(\d{8}T\d{6})Z", event["RRULE"])
            assert until, event["RRULE"]
            while True:
                starts, ends = (
                    one.replace(tzinfo=UTC) if zone is None else _utc(one, rules)
                    for one in (first + week, last + week)
                )
                if starts > _moment(until[1]).replace(tzinfo=UTC):
                    break
                assert (starts, ends) not in found
                found.add((starts, ends))
                week += timedelta(days=7)
    return found


def _utc(local: datetime, rules: list[Properties]) -> datetime:
    """Return a local time in UTC, by the last clock change before it."""
    onsets = [
        (onset, rule["TZOFFSETTO"])
        for rule in rules
        for year in (local.year - 1, local.year)
        if (onset := _onset(rule, year)) <= local
    ]
    found = re.fullmatch(r"([+-])(\d\d)(\d\d)", max(onsets)[1])
    assert found
    sign, hours, minutes = found.groups()
    offset = timedelta(hours=int(hours), minutes=int(minutes))
    return (local - offset if sign == "+" else local + offset).replace(tzinfo=UTC)


def _onset(rule: Properties, year: int) -> datetime:
    start = _moment(rule["DTSTART"])
    if "RRULE" not in rule:
        return start
    yearly = YEARLY.fullmatch(";".join(sorted(rule["RRULE"].split(";"), key=_order)))
    assert yearly, rule["RRULE"]
    nth, month = int(yearly[1]), int(yearly[3])
    days = [
        day
        for day in Months().itermonthdates(year, month)
        if day.month == month and day.weekday() == DAYS.index(yearly[2])
    ]
    day: date = days[nth - 1 if nth > 0 else -1]
    assert start.year <= year, "the rule begins too late"
    assert start.year < year or start.date() == day, "DTSTART is no onset of its own rule"
    return datetime.combine(day, start.time())


def _order(part: str) -> int:
    return ["FREQ", "BYDAY", "BYMONTH"].index(part.partition("=")[0])


def _parts(file: bytes) -> list[tuple[str, Properties]]:
    """Return the properties of each component, in the file's order."""
    found: list[tuple[str, Properties]] = []
    open_ones: list[Properties] = []
    for line in file.decode().replace("\r\n ", "").split("\r\n")[:-1]:
        name, _, value = line.partition(":")
        if name == "BEGIN":
            open_ones.append({})
            found.append((value, open_ones[-1]))
        elif name == "END":
            open_ones.pop()
        else:
            assert "RDATE" not in name and "EXDATE" not in name
            key, _, parameter = name.partition(";")
            open_ones[-1][key] = value
            open_ones[-1][f"{key};"] = parameter
    return found


def _parameter(event: Properties, key: str) -> str | None:
    zone = event[f"{key};"]
    assert zone.startswith("TZID=") is not event[key].endswith("Z")
    return zone.removeprefix("TZID=").strip('"') or None


def _local(event: Properties, key: str) -> datetime:
    return _moment(event[key].removesuffix("Z"))


def _moment(text: str) -> datetime:
    return datetime.strptime(text, "%Y%m%dT%H%M%S")  # noqa: DTZ007 - by some clocks
