"""Metrics of all web workers, in the Prometheus text format."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import structlog
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    generate_latest,
    multiprocess,
    values,
)
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
KINDS: Final = ("counter", "histogram")  # a file for each kind of metric below
# There are few labels (routes, methods and statuses), and all of them together take less.
FILE_BYTES: Final = 1024 * 1024

log = structlog.get_logger()

REQUESTS = Counter(
    "crossroads_requests", "Answers by route and status", ["route", "method", "status"]
)
DURATION = Histogram(
    "crossroads_request_seconds",
    "Seconds from the request's headers to the answer, without pages served from memory",
    ["route"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
SIGNUPS = Counter("crossroads_signups", "Sign-up forms by outcome", ["outcome"])


def share_between_processes(folder: Path) -> None:
    """Make this process's children count in files in `folder`, which is emptied first.

    Call it before anything is counted. Each child then calls `count_as`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for file in folder.glob("*.db"):
        file.unlink(missing_ok=True)
    os.environ[VARIABLE] = str(folder)


def count_as(name: str) -> None:
    """Count in files of this name from now on, or in memory alone while the disk is full.

    The library maps sparse files: on a full disk the first count in a new block kills the process
    (SIGBUS). So the blocks are reserved first. A process that replaces another continues with its
    files. Without files, /metrics shows one process at a time.
    """
    folder = os.environ.get(VARIABLE)
    if folder is None:
        return
    try:
        for kind in KINDS:
            _reserve(Path(folder) / f"{kind}_{name}.db")
    except OSError as error:
        log.warning("requests are counted in memory: no room for the counters", error=str(error))
        del os.environ[VARIABLE]
        return
    # The library reads the variable only at its import, before the folder is known.
    values.ValueClass = values.MultiProcessValue(lambda: name)  # type: ignore[no-untyped-call]


def _reserve(file: Path) -> None:
    with file.open("ab") as opened:
        if not hasattr(os, "posix_fallocate"):  # macOS: a developer's machine
            return
        os.posix_fallocate(opened.fileno(), 0, FILE_BYTES)


def text() -> bytes:
    """Return all metrics in the Prometheus text format, summed over processes that share them."""
    if VARIABLE not in os.environ:
        return generate_latest()
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry)


class _Late(Collector):
    """One gauge for one response: a shared metric would have a file for each process."""

    def __init__(self, seconds: Mapping[str, float]) -> None:
        self._seconds = seconds

    def collect(self) -> Iterator[Metric]:
        words = "Seconds for which the oldest work of a kind has been due"
        gauge = GaugeMetricFamily("crossroads_late_seconds", words, labels=["work"])
        for work, number in self._seconds.items():
            gauge.add_metric([work], number)
        yield gauge


def late(seconds: Mapping[str, float]) -> bytes:
    """Return how long each kind of work has been due, in seconds, as Prometheus gauges."""
    registry = CollectorRegistry()
    registry.register(_Late(seconds))
    return generate_latest(registry)
