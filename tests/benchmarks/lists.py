"""The desk's list with a million leads, compared with a thousand; sign-ups during an export.

The sites are those of exports.py, because filling one takes a minute.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import cycle, islice
from statistics import quantiles
from typing import Final

from tests.benchmarks.bench import Bench
from tests.benchmarks.desk import Desk
from tests.benchmarks.figures import Row, interleave
from tests.benchmarks.signups import sign_up
from tests.benchmarks.sites import Site

TIMES: Final = 80  # requests per address, in turn with the smaller site
LOOKS: Final = {
    "all": ["", "sort=email", "sort=oldest"],
    "its last page": ["after=51", "sort=oldest&before=51"],
    "search, common": ["q=mailhaus", "q=Example.com", "q=m"],
    "search, some thousands": ["q=maria", "q=katrin&sort=email", "q=Balogun"],
    "search, two letters": ["q=jo", "q=zo", "q=ma"],
    "search, rare": ["q=Maria+Silva", "q=anna.koch", "q=o%27brien"],
    "search, none": ["q=nobody.at.all", "q=%25%5F%27"],
    "filtered": [
        "campaign=weekly",
        "state=held",
        "page=/signup&state=unsubscribed&campaign=weekly",
    ],
    "search, filtered": ["q=mailhaus&state=held", "q=jo&campaign=weekly"],
}
EXPORTING: Final = 10  # seconds: enough to write the file and to send a part of it
SLOW: Final = 64 * 1024  # bytes, ten times a second


def rows(many: Site, few: Site, database: str) -> Iterator[Row]:
    """Request the same from both sites in turn; the goal is for the 95th percentile."""
    slowest = 0.0
    desks = Desk(many.port), Desk(few.port)
    for name, queries in LOOKS.items():
        took: tuple[list[float], list[float]] = ([], [])
        for query in islice(cycle(queries), TIMES):
            for desk, seconds in zip(desks, took, strict=True):
                began = time.perf_counter()
                desk.get(f"/admin/leads?{query}")
                seconds.append(time.perf_counter() - began)
        figure, baseline = (quantiles(seconds, n=20)[-1] * 1000 for seconds in took)
        slowest = max(slowest, figure)
        yield Row(
            what=f"list of leads, p95, {name}, {database}", figures=[figure], unit="ms",
            against="1,000 leads", baselines=[baseline], most=3,
        )  # fmt: skip
    yield Row(
        what=f"the slowest of these, {database}", figures=[slowest], unit="ms", most=200
    )  # fmt: skip


def beside_export(bench: Bench, ours: Site, rounds: int) -> Row:
    """Return the rate of sign-ups during an export and a slow download of it."""
    desk = Desk(ours.port)

    def measure() -> float:
        with exporting(desk):
            return sign_up(replace(bench, rounds=1, seconds=EXPORTING), ours.url).rate

    alone: Callable[[], float] = lambda: sign_up(bench, ours.url).rate  # noqa: E731
    figures, baselines = interleave(rounds, measure, alone)
    return Row(
        what="sign-ups, while 1,000,000 leads are exported", figures=figures, unit="/s",
        against="sign-ups alone", baselines=baselines, least=0.6,
    )  # fmt: skip


@contextmanager
def exporting(desk: Desk) -> Iterator[None]:
    """Export all leads, and download them slowly. Raises RuntimeError when the export fails."""
    over = threading.Event()
    status: list[int] = []

    def download() -> None:
        answer = desk.send("/admin/leads/export", {"format": "csv"}, "/admin/password")
        status.append(answer.status)
        while not over.wait(0.1) and answer.read(SLOW):
            pass
        answer.close()

    thread = threading.Thread(target=download)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
    if status != [200]:
        raise RuntimeError(f"no export: {status}")
