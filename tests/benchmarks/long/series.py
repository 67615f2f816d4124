"""Figures measured for a series of numbers, as a table and as plots."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tests.benchmarks.bench import Bench
from tests.benchmarks.figures import columns, number
from tests.benchmarks.long.plot import plot


@dataclass(frozen=True)
class Long(Bench):
    """`size` is the fraction of the usual leads and requests."""

    size: float


@dataclass(frozen=True, kw_only=True)
class Series:
    """Figures measured `by` a number: each line has the number, then a figure for each heading.

    A heading is a name and a unit. Headings with the same unit share a plot.
    """

    name: str
    by: str
    headings: Sequence[tuple[str, str]]
    lines: Sequence[Sequence[float]]

    def table(self) -> str:
        head = (self.by, *(f"{what}, {unit}" for what, unit in self.headings))
        return columns(
            [head, *((f"{x:,.0f}", *map(number, figures)) for x, *figures in self.lines)]
        )

    def plots(self) -> Iterator[tuple[str, str]]:
        """Yield the name and the SVG of each plot."""
        for place, unit in enumerate(dict.fromkeys(unit for _, unit in self.headings), start=1):
            curves = {
                what: [(line[0], line[column]) for line in self.lines]
                for column, (what, of) in enumerate(self.headings, start=1)
                if of == unit
            }
            name = f"{self.name}-by-{self.by}-{place}".replace(" ", "-")
            yield name, plot(f"{self.name}, {unit}", self.by, curves)
