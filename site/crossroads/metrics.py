"""What the site counts, summed over all web workers, in Prometheus's text format."""

import os
from pathlib import Path

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    generate_latest,
    multiprocess,
    values,
)

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"

REQUESTS = Counter(
    "crossroads_requests", "Answers by route and status", ["route", "method", "status"]
)
DURATION = Histogram(
    "crossroads_request_seconds",
    "Seconds from the whole head read to the answer, pages kept in memory not counted",
    ["route"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
SIGNUPS = Counter("crossroads_signups", "Sign-up forms by outcome", ["outcome"])


def share_between_processes(folder: Path) -> None:
    """Make this process's children count into `folder`, emptied first.

    Call before anything is counted. The library itself looks for the variable only while it is
    imported, which is before the folder is known; hence the last line.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for file in folder.glob("*.db"):
        file.unlink(missing_ok=True)
    os.environ[VARIABLE] = str(folder)
    values.ValueClass = values.MultiProcessValue()  # type: ignore[no-untyped-call]


def text() -> bytes:
    """Return all counters as Prometheus reads them, summed over processes when they share."""
    if VARIABLE not in os.environ:
        return generate_latest()
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry)
