"""What every benchmark is told: where it may write, how often and how long it measures."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self


@dataclass(frozen=True)
class Bench:
    """`folder` is on the disk that a database of the site would be on, and is empty."""

    folder: Path
    rounds: int
    seconds: int

    @property
    def shared(self) -> Path:
        """The folder for what one subject makes and others use, too."""
        return self.folder.parent

    def in_seconds(self) -> Self:
        """Measure for a second at a time, and as long in all.

        The more often it is taken in turn with its baseline, the less of the machine's ups and
        downs is left between the two. It is for what a second is enough for.
        """
        return replace(self, rounds=self.rounds * self.seconds, seconds=1)
