"""The start of the web server: from the command to the first response."""

import subprocess
import sys
import time
from collections.abc import Iterator

from tests.benchmarks.bench import Bench
from tests.benchmarks.figures import Row, interleave
from tests.benchmarks.sites import FLASK, ROOT, command, environment, process
from tests.support.ports import free_port

IMPORTS = "import flask, flask_sqlalchemy, flask_wtf, stripe"
# Libraries that the web server imports before its first response: the lower limit of its start.
LIBRARIES = (
    "import flask, flask_sqlalchemy, flask_wtf, argon2, disposable_email_domains, email_validator, "
    "flask_limiter, flask_login, granian.server, prometheus_client, pydantic_settings, structlog, "
    "yaml"
)


def rows(bench: Bench) -> Iterator[Row]:
    instance = bench.folder / "start"
    instance.mkdir()
    port = free_port()
    variables = environment(instance, port=str(port))
    command(variables, "setup")

    def start() -> float:
        began = time.perf_counter()
        with process([FLASK, "serve"], port, instance / "serve.txt", variables):
            return time.perf_counter() - began

    def run(code: str) -> float:
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
        return time.perf_counter() - began

    ours, theirs, libraries = interleave(
        bench.in_seconds().rounds, start, lambda: run(IMPORTS), lambda: run(LIBRARIES)
    )
    for what, figures, most in (
        ("start of flask serve to its first answer", ours, 1.5),
        ("import of the libraries that it starts with", libraries, None),
    ):
        yield Row(
            what=what, figures=figures, unit="s",
            against=f'python -c "{IMPORTS}"', baselines=theirs, most=most,
        )  # fmt: skip
