"""Sign-ups and events on slower disks, compared with raw inserts.

With a disk that reports a flush as done at once, only the work of the processor is compared.
`strace` delays each flush, for the site and for the raw inserts alike.
"""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from tests.benchmarks import commits, signups, webhooks
from tests.benchmarks.figures import Row
from tests.benchmarks.long.series import Long, Series
from tests.benchmarks.sites import site

DELAYS = (0, 500, 1000, 2000, 5000)  # microseconds added to each flush
ROWS = {"sign-ups": signups.signup_rows, "events": webhooks.event_rows}


def found(told: Long) -> Iterator[Row | Series]:
    if not shutil.which("strace"):
        yield Row(what="slower disks", skipped="apt-get install strace")
        return
    lines = []
    for delay in DELAYS:
        slow = ["strace", "-D", "-f", "-qq", "--seccomp-bpf", "-e", "trace=fsync,fdatasync", "-o"]
        slow += ["/dev/null", "-e", f"inject=fsync,fdatasync:delay_exit={delay}"]
        lines.append((delay, *against_raw(told, told.folder / str(delay), slow)))
    yield Series(
        name="storing",
        by="microseconds a flush is slowed by",
        headings=[
            heading
            for what in ROWS
            for heading in ((what, "/s"), (f"raw {what}", "/s"), (f"{what}, of raw", "times"))
        ],
        lines=lines,
    )


def against_raw(told: Long, folder: Path, slow: list[str]) -> Iterator[float]:
    """Yield the rate of the site, the rate of raw inserts and the ratio, for each kind of rows."""
    with site(folder / "site", slow) as ours:
        signups.sign_up(told, ours.url)
        taken = signups.sign_up(told, ours.url).rate
        webhooks.send(told, ours, 1)
        rates = (taken, webhooks.send(told, ours, told.seconds))
    for what, rate in zip(ROWS, rates, strict=True):
        raw = folder / f"{what}.db"
        commits.copy(ours.database, raw)
        words = [sys.executable, "-m", __spec__.name, what, str(ours.database), str(raw)]
        done = subprocess.run(
            [*slow, *words, str(told.seconds)], capture_output=True, text=True, check=True
        )
        yield from (rate, float(done.stdout), rate / float(done.stdout))


if __name__ == "__main__":
    what, ours, raw, seconds = sys.argv[1:]
    click.echo(commits.rate(Path(raw), ROWS[what](Path(ours)), float(seconds)))
