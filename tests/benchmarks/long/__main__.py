"""Measure growth and long runs of the site: `make bench-long`, or a part of it.

`make bench-long ARGS="leads --size 0.01"` takes minutes. All of it takes two hours, and 45 GB of
disk. Leaves tables and plots in instance/bench-long/.
"""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from tests.benchmarks import load
from tests.benchmarks.figures import Row, table
from tests.benchmarks.long import disk, growth, lighthouse, mixed, slow
from tests.benchmarks.long.series import Long, Series
from tests.benchmarks.sites import ROOT

FOUND = ROOT / "instance" / "bench-long"
PARTS: dict[str, Callable[[Long], Iterator[Row | Series]]] = {
    "workers": growth.workers,
    "connections": growth.connections,
    "leads": growth.leads,
    "mixed": mixed.found,
    "slow": slow.found,
    "disk": disk.found,
    "lighthouse": lighthouse.found,
}


@click.command()
@click.argument("parts", nargs=-1, type=click.Choice(list(PARTS)))
@click.option("--size", default=1.0, show_default=True, help="Fraction of the leads and requests.")
@click.option("--seconds", default=5, show_default=True, help="How long a load lasts.")
def bench(parts: tuple[str, ...], size: float, seconds: int) -> None:
    """Measure these PARTS, or all of them."""
    if not load.is_there():
        raise click.ClickException("the load comes from wrk: apt-get install wrk")
    began = time.monotonic()
    FOUND.mkdir(parents=True, exist_ok=True)
    texts = []
    # Not in /tmp, which may be memory, where a commit costs nothing.
    with TemporaryDirectory(prefix="bench-", dir=FOUND.parent) as folder:
        for part in parts or PARTS:
            click.echo(f"{part} …", err=True)
            told = Long(Path(folder) / part, 1, seconds, size)
            told.folder.mkdir()
            texts.append(f"## {part}\n\n{said(list(PARTS[part](told)))}")
            click.echo(texts[-1] + "\n")
            (FOUND / "report.md").write_text("\n\n".join(texts) + "\n", encoding="utf-8")
    click.echo(f"{time.monotonic() - began:.0f} s; also in {FOUND.relative_to(ROOT)}/.")


def said(found: list[Row | Series]) -> str:
    """Return the results as text, and write their plots."""
    texts = []
    for series in (one for one in found if isinstance(one, Series)):
        texts.append(series.table())
        for name, drawing in series.plots():
            (FOUND / f"{name}.svg").write_text(drawing, encoding="utf-8")
            texts.append(f"![{series.name} by {series.by}]({name}.svg)")
    rows = [one for one in found if isinstance(one, Row)]
    return "\n\n".join(texts + ([table(rows)] if rows else []))


if __name__ == "__main__":
    bench()
