"""Load on a web server of this machine, made by wrk."""

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

CONNECTIONS = 32
PATIENCE = 30  # seconds after which a request counts as refused
UNITS = {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60_000.0}


@dataclass(frozen=True)
class Load:
    """What wrk saw: answers a second, the 99th percentile of an answer's time in ms, and trouble.

    `refused` counts answers that were no 2xx or 3xx, and requests without any.
    """

    rate: float
    p99: float
    requests: int
    refused: int


def is_there() -> bool:
    return shutil.which("wrk") is not None


def run(
    url: str,
    *,
    seconds: int,
    connections: int = CONNECTIONS,
    headers: dict[str, str] | None = None,
    script: Path | None = None,
    arguments: tuple[str, ...] = (),
) -> Load:
    """Ask for the address as fast as answers come. Raises RuntimeError when wrk cannot.

    `script` is a wrk script in Lua that makes the requests from `arguments`.
    """
    threads = min(2, connections)
    command = ["wrk", f"-t{threads}", f"-c{connections}", f"-d{seconds}s", "--latency"]
    command += ["--timeout", f"{PATIENCE}s"]
    for name, value in (headers or {}).items():
        command += ["-H", f"{name}: {value}"]
    if script is not None:
        command += ["-s", str(script)]
    done = subprocess.run(
        [*command, "--", url, *arguments], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"wrk failed: {done.stderr or done.stdout}")
    return _read(done.stdout)


def _read(said: str) -> Load:
    rate = re.search(r"Requests/sec:\s+([\d.]+)", said)
    p99 = re.search(r"99%\s+([\d.]+)(us|ms|s|m)\b", said)
    requests = re.search(r"(\d+) requests in", said)
    if rate is None or p99 is None or requests is None:
        raise RuntimeError(f"wrk said something else than it does: {said}")
    errors = re.search(r"connect (\d+), read (\d+), write (\d+), timeout (\d+)", said)
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", said)
    return Load(
        rate=float(rate[1]),
        p99=float(p99[1]) * UNITS[p99[2]],
        requests=int(requests[1]),
        refused=sum(map(int, errors.groups() if errors else ()))
        + (int(refused[1]) if refused else 0),
    )
