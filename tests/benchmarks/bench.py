"""What every benchmark is told: where it may write, how often and how long it measures."""

from dataclasses import dataclass
from pathlib import Path


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
