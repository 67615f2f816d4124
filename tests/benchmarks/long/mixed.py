"""Hundreds of thousands of requests of every public kind: memory and handles of the web workers."""

from collections.abc import Iterator
from pathlib import Path
from secrets import token_hex

from tests.benchmarks import load, processes
from tests.benchmarks.figures import Row
from tests.benchmarks.long.series import Long, Series
from tests.benchmarks.pages import FETCHED
from tests.benchmarks.sites import PAGE, ask, site

REQUESTS = 500_000
SCRIPT = Path(__file__).with_name("mixed.lua")


def found(told: Long) -> Iterator[Row | Series]:
    with site(told.folder / "site") as ours:
        answer = ask(ours.port, PAGE)
        files = FETCHED.findall(answer.read().decode())
        known = answer.headers["ETag"], *files
        workers = processes.children(ours.process)
        requests = 0
        lines: list[tuple[int, float, float, float, int]] = []
        while requests < REQUESTS * told.size or len(lines) < 2:
            words = token_hex(4), PAGE, *known
            part = load.run(ours.url, seconds=told.seconds, script=SCRIPT, arguments=words)
            if part.refused:
                raise RuntimeError(f"{part.refused} of {part.requests} requests were refused")
            requests += part.requests
            memory = sum(map(processes.memory, workers))
            handles = sum(map(processes.handles, workers))
            lines.append((requests, part.rate, part.p99, memory, handles))
        if processes.children(ours.process) != workers:
            raise RuntimeError("a web worker has ended")
    yield Series(
        name="workers",
        by="requests",
        headings=(("rate", "/s"), ("p99", "ms"), ("memory", "MB"), ("file handles", "open")),
        lines=lines,
    )
    first, last = lines[0], lines[-1]
    what, against = f"{requests:,} mixed requests", f"after {first[0]:,}"
    yield Row(
        what=f"memory (PSS) of the workers after {what}", figures=[last[3]], unit="MB",
        against=against, baselines=[first[3]], most=1.15,
    )  # fmt: skip
    yield Row(
        what=f"their file handles after {what}", figures=[last[4]], against=against,
        baselines=[first[4]], most=1.15,
    )  # fmt: skip
