"""Surveys a whole file before the import: which columns may mark people as unsubscribed."""

import re
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from crossroads.leads.imports import status
from crossroads.leads.imports import suspects as import_suspects
from crossroads.leads.imports import times as import_times
from crossroads.leads.imports.columns import TIMES, Column, Plan
from crossroads.leads.imports.status import NotKnown, Rule, fold
from models.lead import LeadState

SHOWN: Final = 5  # values of a column that are listed
KEPT: Final = 2000  # values of a column that are counted separately
OUR_STATES: Final = frozenset(
    {LeadState.CONFIRMED, LeadState.ERASED, LeadState.PENDING, LeadState.UNSUBSCRIBED}
)
# Columns that may hold a part of a country: "State/Region" is HubSpot's, MailingState Salesforce's.
REGION_HEAD: Final = re.compile(
    r"((mailing|billing|shipping|home|work|other|address|us|default|company) )*"
    r"(state|province|region|bundesland|kanton|canton|provinz|provincia|provincie|región|regione"
    r"|région|estado|stato|état|staat|regio|delstat)"
    r"( (or|state|province|region|territory|county|code|name))*"
)


@dataclass(kw_only=True)
class DistinctValues:
    """The different values of a column, the first 2,000 of them; empty ones are not counted."""

    values: dict[str, None] = field(default_factory=dict)

    def add(self, cell: str) -> None:
        if cell and len(self.values) < KEPT:
            self.values.setdefault(cell[:200])


@dataclass(frozen=True, kw_only=True)
class Survey:
    """The result of reading a whole file. `problems` stop the import; each is one line.

    `harmless` are heads that sound like a status and hold, for instance, states of the USA.
    `ours` is set when the file is our own export, by its heads and by the words of its states.
    `day_first` has for each time whether the day comes before the month, None if that is open.
    """

    problems: Sequence[str]
    harmless: frozenset[str]
    ours: bool
    day_first: dict[int, bool | None]


def survey(plan: Plan, rows: Iterable[Sequence[str]], day_first: bool | None) -> Survey:
    """Read the whole file once and return what it holds.

    `day_first` is the importer's own choice for numeric dates, None without one.
    """
    judged = {column.place: DistinctValues() for column, _ in plan.judges}
    suspects = {column.place: DistinctValues() for column in plan.suspects}
    plain: dict[int, str] = {}
    times = {column.place: _Dates() for name in TIMES for column in plan.reads.get(name, ())}
    rest = [
        column.place
        for column in plan.rest
        if column.place not in plan.ignored and not status.other_channel(fold(column.head))
    ]
    others = {place: DistinctValues() for place in rest}
    watched = [*judged.items(), *suspects.items(), *others.items()]
    for cells in rows:
        for place, seen in watched:
            seen.add(cells[place].strip())
        for place, dates in times.items():
            dates.add(cells[place])
        for place in rest:
            if place not in plain and (sign := import_suspects.plain_exclusion(cells[place])):
                plain[place] = sign
    problems = []
    harmless = set()
    for column, rule in plan.judges:
        problem, region = _judged(column, rule, judged[column.place])
        problems += [problem] if problem else []
        harmless |= {column.head} if region else set()
    for column in plan.suspects:
        values = suspects[column.place].values
        if values and not all(_region(column, value) for value in values):
            problems.append(_stop(column, values))
    for column in plan.rest:
        values = others[column.place].values if column.place in others else {}
        if column.place in plain:
            problems.append(_stop(column, [plain[column.place]]))
        elif import_suspects.could_say_no(fold(column.head), values):
            problems.append(_stop(column, values))
    firsts: dict[int, bool | None] = {}
    for place, dates in times.items():
        try:
            firsts[place] = dates.day_first() if day_first is None else day_first
        except import_times.NoTime as error:
            problems.append(f"{error} (column {place + 1})")
    states = [
        seen
        for column, rule in plan.judges
        if rule is Rule.STATE
        for seen in judged[column.place].values
    ]
    ours = plan.ours and OUR_STATES.issuperset(states)
    return Survey(problems=problems, harmless=frozenset(harmless), ours=ours, day_first=firsts)


class _Dates:
    """Whether the dates of a column have the day first, if any date shows it."""

    def __init__(self) -> None:
        self._told: dict[bool, str] = {}

    def add(self, cell: str) -> None:
        if cell and len(self._told) < 2:
            first = import_times.day_first([cell])
            if first is not None:
                self._told.setdefault(first, cell)

    def day_first(self) -> bool | None:
        return import_times.day_first(self._told.values())


def _judged(column: Column, rule: Rule, seen: DistinctValues) -> tuple[str, bool]:
    """Return what is wrong with a column that tells who left, and whether it holds regions."""
    known: list[str] = []
    regions: list[str] = []
    unknown: list[str] = []
    for value in seen.values:
        try:
            status.standing(rule, value)
            known.append(value)
        except NotKnown:
            (regions if _region(column, value) else unknown).append(value)
    if regions and not known and not unknown and rule in (Rule.STATE, Rule.STATUS):
        return "", True
    if regions and known:
        return (
            f'column "{column.head}" holds both states of a country ({_shown(regions)}) and who '
            f"may be mailed ({_shown(known)}): keep them in two columns, and call the first Region",
            False,
        )
    if rule not in (Rule.STATE, Rule.STATUS) and (
        unsure := import_suspects.unsure_signs(seen.values)
    ):
        return _stop(column, [*unsure, *(one for one in seen.values if one not in unsure)]), False
    if unknown and not known:
        return _stop(column, [*unknown, *regions]), False
    return "", False  # a value that is not known beside others is a mistake of its line


def _region(column: Column, value: str) -> bool:
    return REGION_HEAD.fullmatch(fold(column.head)) is not None and fold(value) in REGIONS


def _stop(column: Column, values: Iterable[str]) -> str:
    return (
        f'column "{column.head}" could say who left ({_shown(values)}), in words not known here. '
        f"If it does not, give --ignore {shlex.quote(column.head)}. If it does, write active, "
        "pending, bounced or unsubscribed instead, and give --column "
        f"{shlex.quote('status=' + column.head)}"
    )


def _shown(values: Iterable[str]) -> str:
    few = list(values)
    shown = ", ".join(f'"{value[:40]}"' for value in few[:SHOWN])
    return f"{shown}, …" if len(few) > SHOWN else shown


def _regions() -> frozenset[str]:
    """Return states and provinces, which a column "State" may hold.

    Of the USA, Canada, Germany and Australia: https://www.usps.com (appendix B of Publication 28),
    ISO 3166-2:CA, -DE and -AU.
    """
    short = """
        al ak az ar ca co ct de fl ga hi id il in ia ks ky la me md ma mi mn ms mo mt ne nv nh nj nm
        ny nc nd oh ok or pa ri sc sd tn tx ut vt va wa wv wi wy dc as gu mp pr vi um aa ae ap ab bc
        mb nb nl ns nt nu on pe qc sk yt bw by be bb hb hh he mv ni nw rp sl sn st sh th nsw qld sa
        tas vic act
    """
    names = """
        alabama, alaska, arizona, arkansas, california, colorado, connecticut, delaware, florida,
        georgia, hawaii, idaho, illinois, indiana, iowa, kansas, kentucky, louisiana, maine,
        maryland,
        massachusetts, michigan, minnesota, mississippi, missouri, montana, nebraska, nevada, new
        hampshire, new jersey, new mexico, new york, north carolina, north dakota, ohio, oklahoma,
        oregon, pennsylvania, rhode island, south carolina, south dakota, tennessee, texas, utah,
        vermont, virginia, washington, west virginia, wisconsin, wyoming, district of columbia,
        puerto rico, guam, alberta, british columbia, manitoba, new brunswick, newfoundland and
        labrador, nova scotia, ontario, prince edward island, quebec, québec, saskatchewan, yukon,
        nunavut, northwest territories, baden württemberg, bayern, bavaria, berlin, brandenburg,
        bremen, hamburg, hessen, hesse, mecklenburg vorpommern, niedersachsen, lower saxony,
        nordrhein westfalen, north rhine westphalia, rheinland pfalz, saarland, sachsen, saxony,
        sachsen anhalt, schleswig holstein, thüringen, thuringia, new south wales, queensland, south
        australia, tasmania, victoria, western australia, australian capital territory, northern
        territory
    """
    return frozenset(short.split()) | {" ".join(name.split()) for name in names.split(",")}


REGIONS: Final = _regions()
