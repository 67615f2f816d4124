"""What the processes of a web server cost: memory, file handles, time on the processor."""

import os
from pathlib import Path

PROC = Path("/proc")
TICKS = os.sysconf("SC_CLK_TCK")


def children(parent: int) -> list[int]:
    """Return the processes that a process has forked."""
    said = (PROC / str(parent) / "task" / str(parent) / "children").read_text("ascii")
    return [int(number) for number in said.split()]


def memory(process: int) -> float:
    """Return the memory of a process in MB, what it shares divided among those who share it."""
    for line in (PROC / str(process) / "smaps_rollup").read_text("ascii").splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"process {process} has no memory")


def handles(process: int) -> int:
    """Return how many files, sockets and pipes a process has open."""
    return sum(1 for _ in (PROC / str(process) / "fd").iterdir())
