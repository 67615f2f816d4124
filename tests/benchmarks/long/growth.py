"""Growth of the cost: with worker processes, with connections, and with stored leads."""

import time
from collections.abc import Iterator

import click

from tests.benchmarks import load, signups
from tests.benchmarks.desk import Desk
from tests.benchmarks.exports import filled
from tests.benchmarks.long.series import Long, Series
from tests.benchmarks.sites import PAGE, Site, site

WORKERS = (1, 2, 4)
CONNECTIONS = (1, 4, 16, 64, 200, 500)
LEADS = (1_000, 10_000, 100_000, 1_000_000, 10_000_000)
BROTLI = {"Accept-Encoding": "br"}
SPEED = (("pages", "/s"), ("sign-ups", "/s"), ("pages, p99", "ms"), ("sign-ups, p99", "ms"))
SEARCHES = 20


def workers(told: Long) -> Iterator[Series]:
    lines = []
    for number in WORKERS:
        with site(told.folder / str(number), workers=str(number)) as ours:
            lines.append((number, *speed(told, ours, load.CONNECTIONS)))
    yield Series(name="speed", by="workers", headings=SPEED, lines=lines)


def connections(told: Long) -> Iterator[Series]:
    with site(told.folder / "site") as ours:
        lines = [(number, *speed(told, ours, number)) for number in CONNECTIONS]
    yield Series(name="speed", by="connections", headings=SPEED, lines=lines)


def speed(told: Long, ours: Site, number: int) -> tuple[float, float, float, float]:
    """Return the figures under SPEED for this many connections."""
    pages = load.run(ours.url + PAGE, seconds=told.seconds, connections=number, headers=BROTLI)
    if pages.refused:
        raise RuntimeError(f"{pages.refused} of {pages.requests} requests were refused")
    taken = signups.sign_up(told, ours.url, connections=number)
    return pages.rate, taken.rate, pages.p99, taken.p99


def leads(told: Long) -> Iterator[Series]:
    """Measure with more and more leads on SQLite, the database of `make serve`."""
    lines = []
    for number in LEADS:
        if number > max(LEADS[0], LEADS[-1] * told.size):
            continue
        with filled(told.folder / str(number), number) as ours:
            taken = signups.sign_up(told, ours.url)
            desk = Desk(ours.port)
            began = time.perf_counter()
            for turn in range(SEARCHES):
                desk.get(f"/admin/leads?q=maria{turn}")
            searched = time.perf_counter()
            desk.export("csv")
            exported = time.perf_counter() - searched
            size = ours.database.stat().st_size / 2**20
        searching = (searched - began) / SEARCHES * 1000
        lines.append((number, taken.rate, taken.p99, searching, exported, size))
        # Printed now: the next size takes ten times as long, and the disk may be too small for it.
        click.echo("  " + "  ".join(f"{figure:,.1f}" for figure in lines[-1]), err=True)
    headings = (
        ("sign-ups", "/s"),
        ("sign-ups, p99", "ms"),
        ("search at the desk", "ms"),
        ("export as CSV", "s"),
        ("database", "MB"),
    )
    yield Series(name="cost", by="leads", headings=headings, lines=lines)
