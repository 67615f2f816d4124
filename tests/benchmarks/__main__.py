"""Measure the site against its goals: `make bench`, or `make bench ARGS="page start"` for a part.

Prints a table and leaves it in instance/bench.md.
"""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from tests.benchmarks import doors, exports, load, pages, signins, signups, starts, webhooks
from tests.benchmarks.bench import Bench
from tests.benchmarks.figures import Row, table
from tests.benchmarks.sites import ROOT

TABLE = ROOT / "instance" / "bench.md"
SUBJECTS: dict[str, Callable[[Bench], Iterator[Row]]] = {
    "page": pages.rows,
    "signup": signups.rows,
    "signin": signins.rows,
    "webhook": webhooks.rows,
    "doors": doors.rows,
    "start": starts.rows,
    "exports": exports.rows,
}


@click.command()
@click.argument("subjects", nargs=-1, type=click.Choice(list(SUBJECTS)))
@click.option("--rounds", default=5, show_default=True, help="How often each thing is measured.")
@click.option("--seconds", default=2, show_default=True, help="How long a load lasts.")
def bench(subjects: tuple[str, ...], rounds: int, seconds: int) -> None:
    """Measure these SUBJECTS, or all of them."""
    if not load.is_there():
        raise click.ClickException("the load comes from wrk: apt-get install wrk")
    rows: list[Row] = []
    began = time.monotonic()
    # Not in /tmp, which may be memory, where a commit costs nothing.
    with TemporaryDirectory(prefix="bench-", dir=TABLE.parent) as folder:
        for subject in subjects or SUBJECTS:
            click.echo(f"{subject} …", err=True)
            measured = Bench(Path(folder) / subject, rounds, seconds)
            measured.folder.mkdir()
            rows += SUBJECTS[subject](measured)
    text = table(rows)
    TABLE.write_text(text + "\n", encoding="utf-8")
    click.echo(text)
    missed = sum(not row.skipped and not row.reached for row in rows)
    seconds_taken = time.monotonic() - began
    click.echo(
        f"\n{missed} goals missed. {seconds_taken:.0f} s; also in {TABLE.relative_to(ROOT)}."
    )


if __name__ == "__main__":
    bench()
