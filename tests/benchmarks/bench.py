"""Parameters of every benchmark: its folder, the number of rounds, and the time of a load."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self


@dataclass(frozen=True)
class Bench:
    """`folder` is empty, and on the disk on which a database of the site would be."""

    folder: Path
    rounds: int
    seconds: int

    @property
    def shared(self) -> Path:
        """The folder for results of one subject that others use, too."""
        return self.folder.parent

    def in_seconds(self) -> Self:
        """Measure one second at a time, with the same total time.

        More frequent turns with the baseline reduce the influence of other work on the machine.
        Use it only for measurements that need no more than a second.
        """
        return replace(self, rounds=self.rounds * self.seconds, seconds=1)
