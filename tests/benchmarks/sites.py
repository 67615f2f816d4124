"""The site in production and its competitors: real processes with their own data."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPResponse
from pathlib import Path
from shutil import copyfile

from tests.benchmarks import commits
from tests.support.ports import free_port
from tests.support.production import PRODUCTION

ROOT = Path(__file__).resolve().parents[2]
FLASK = str(Path(sys.executable).with_name("flask"))
PAGE = "/compare/ai-product-manager-vs-traditional-product-manager"
DATABASE = "crossroads.db"
START_SECONDS = 60  # on a busy machine


@dataclass(frozen=True)
class Site:
    """A running web server: its URL, its first process and the folder of its data."""

    url: str
    port: int
    process: int
    instance: Path
    database_url: str

    @property
    def database(self) -> Path:
        """The SQLite file."""
        return Path(self.database_url.removeprefix("sqlite:///"))


def environment(instance: Path, **given: str) -> dict[str, str]:
    """Return the variables for a flask command in production, with data in this folder.

    The database is SQLite in the folder, unless `database_url` is given. One trusted proxy is set,
    so that visitors can have many addresses.
    """
    settings = {
        **PRODUCTION,
        "database_url": f"sqlite:///{instance / DATABASE}",
        "instance": str(instance),
        "trusted_proxies": "1",
        **given,
    }
    return {**os.environ, **{name.upper(): value for name, value in settings.items()}}


def command(variables: dict[str, str], *words: str) -> str:
    """Run a flask command to its end and return its output."""
    done = subprocess.run(
        [FLASK, *words], cwd=ROOT, env=variables, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"flask {' '.join(words)} failed: {done.stderr}")
    return done.stdout


@contextmanager
def site(instance: Path, under: Sequence[str] = (), **given: str) -> Iterator[Site]:
    """Run `flask serve` in production, with migrated data in `instance`.

    `under` is a command that runs it and keeps it as the started process.
    """
    instance.mkdir(parents=True, exist_ok=True)
    port = free_port()
    variables = environment(instance, port=str(port), **given)
    command(variables, "setup")
    with process([*under, FLASK, "serve"], port, instance / "serve.txt", variables) as number:
        yield Site(f"http://127.0.0.1:{port}", port, number, instance, variables["DATABASE_URL"])


def fill(instance: Path, leads: int, shared: Path | None = None, **given: str) -> None:
    """Make the database of a site in `instance`, with this many leads.

    With a folder `shared`, equal SQLite databases are filled once and then copied.
    """
    instance.mkdir()
    variables = environment(instance, **given)
    filled = shared and shared / f"{leads}.db"
    if filled and filled.exists():
        copyfile(filled, instance / DATABASE)
    else:
        command(variables, "setup")
        # The demo data is refused in production.
        command({**variables, "ENV": "development"}, "demo", "fill", "--leads", str(leads))
        if filled:
            copyfile(instance / DATABASE, filled)
    os.sync()  # otherwise the disk is still busy during the next measurement


@contextmanager
def process(
    words: Sequence[str], port: int, said: Path, variables: dict[str, str] | None = None
) -> Iterator[int]:
    """Run a web server during the block, and yield its process id.

    Raises RuntimeError with its output when it does not respond.
    """
    with (
        said.open("ab") as output,
        subprocess.Popen(
            words, cwd=ROOT, env=variables, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        ) as server,
    ):
        try:
            wait_for(port, server, said)
            yield server.pid
        finally:
            server.terminate()


@contextmanager
def served(target: str, port: int, said: Path, variables: dict[str, str]) -> Iterator[int]:
    """Run another application, named as module:name, in the same web server as the site."""
    words = [sys.executable, "-m", "tests.benchmarks.served", target, str(port)]
    with process(words, port, said, variables) as number:
        yield number


@contextmanager
def lean(folder: Path, like: Site) -> Iterator[Site]:
    """Run the minimal site on a copy of another site's database."""
    port, database = free_port(), folder / "lean.db"
    commits.copy(like.database, database)
    url = f"sqlite:///{database}"
    variables = {
        **os.environ,
        "LEAN_DATABASE": url,
        "LEAN_SECRET": PRODUCTION["stripe_webhook_secret"],
    }
    with served("tests.benchmarks.lean:app", port, folder / "lean.txt", variables) as number:
        yield Site(f"http://127.0.0.1:{port}", port, number, folder, url)


def wait_for(port: int, server: subprocess.Popen[bytes], said: Path) -> None:
    until = time.monotonic() + START_SECONDS
    while server.poll() is None and time.monotonic() < until:
        try:
            answer = ask(port, PAGE)
            answer.read()
            if answer.status == 200:
                return
        except (OSError, HTTPException):
            time.sleep(0.005)
    raise RuntimeError(f"no answer on port {port}: {said.read_text('utf-8')[-2000:]}")


def ask(port: int, path: str, headers: dict[str, str] | None = None) -> HTTPResponse:
    """Return the response to a GET with an unread body. Raises OSError and HTTPException."""
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", path, headers={"Connection": "close", **(headers or {})})
    return connection.getresponse()
