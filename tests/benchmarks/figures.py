"""Results of a benchmark: figures, their baselines and goals, and a table of them."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import median

HEADINGS = ("what", "figure", "against", "baseline", "ratio", "spread", "goal", "")


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the table: one thing measured in several rounds, with or without a baseline.

    `baselines` are from the same rounds as `figures`, in the same unit. With them, `least` and
    `most` are limits of the ratio, otherwise of the figure. `skipped` is the reason why there are
    no figures.
    """

    what: str
    figures: Sequence[float] = ()
    unit: str = ""
    against: str = ""
    baselines: Sequence[float] = ()
    least: float | None = None
    most: float | None = None
    skipped: str = ""

    @property
    def judged(self) -> list[float]:
        """The values compared with the goal, one per round."""
        if not self.baselines:
            return list(self.figures)
        return [ours / theirs for ours, theirs in zip(self.figures, self.baselines, strict=True)]

    @property
    def reached(self) -> bool:
        value = median(self.judged)
        return (self.least is None or value >= self.least) and (
            self.most is None or value <= self.most
        )

    @property
    def goal(self) -> str:
        if self.least is None and self.most is None:
            return ""
        return f"≥ {self.least:g}" if self.least is not None else f"≤ {self.most:g}"

    def cells(self) -> tuple[str, ...]:
        """Return the cells of the line as text, under HEADINGS."""
        if self.skipped:
            return (self.what, "", self.against, "", "", "", self.goal, f"skipped: {self.skipped}")
        figure = f"{number(median(self.figures))} {self.unit}"
        spread = f"{number(min(self.judged))} to {number(max(self.judged))}"
        baseline = ratio = ""
        if self.baselines:
            baseline = f"{number(median(self.baselines))} {self.unit}"
            ratio = number(median(self.judged))
        verdict = ("reached" if self.reached else "MISSED") if self.goal else ""
        return (self.what, figure, self.against, baseline, ratio, spread, self.goal, verdict)


def number(value: float) -> str:
    """Return a number with three significant digits, or as an integer from 100 on."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def table(rows: Iterable[Row]) -> str:
    """Return the rows as a table in Markdown."""
    return columns([HEADINGS, *(row.cells() for row in rows)])


def columns(lines: Sequence[Sequence[str]]) -> str:
    """Return lines of cells, the first one with headings, as an aligned Markdown table."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    rule = ["-" * width for width in widths]
    padded = [
        [cell.ljust(width) for cell, width in zip(line, widths, strict=True)] for line in lines
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in [padded[0], rule, *padded[1:]])


def interleave(rounds: int, *measures: Callable[[], float]) -> list[list[float]]:
    """Take every measurement once per round, in rotating order; return the figures of each.

    Other work on the machine then affects all of them equally.
    """
    found: list[list[float]] = [[] for _ in measures]
    for turn in range(rounds):
        for place in range(len(measures)):
            which = (place + turn) % len(measures)
            found[which].append(measures[which]())
    return found
