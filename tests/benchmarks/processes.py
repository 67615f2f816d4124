"""Resources of the processes of a web server: memory and file handles."""

from pathlib import Path

PROC = Path("/proc")


def children(parent: int) -> list[int]:
    """Return the child processes of a process."""
    said = (PROC / str(parent) / "task" / str(parent) / "children").read_text("ascii")
    return [int(number) for number in said.split()]


def memory(process: int) -> float:
    """Return the memory (PSS) of a process in MB: shared memory is divided among its users."""
    for line in (PROC / str(process) / "smaps_rollup").read_text("ascii").splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"process {process} has no memory")


def handles(process: int) -> int:
    """Return the number of open files, sockets and pipes of a process."""
    return sum(1 for _ in (PROC / str(process) / "fd").iterdir())
