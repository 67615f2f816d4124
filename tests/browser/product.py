"""The whole product, running as with `make serve`, on its own ports and data."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

from sqlalchemy import create_engine
from sqlalchemy.orm import Session

from models.base import prepare_engine
from tests.support.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 60  # on a busy machine
STOP_SECONDS = 15
FIRST_OWNER = re.compile(r"Sign in at the desk as (\S+) with the password (\S+)")


@dataclass(frozen=True)
class Product:
    """URLs of the running product, without a final /, and the sign-in that it printed."""

    site: str
    mailbox: str
    instance: Path
    owner: str
    one_time_password: str

    @contextmanager
    def session(self) -> Iterator[Session]:
        """Open a session on the product's database."""
        engine = create_engine(f"sqlite:///{self.instance / 'crossroads.db'}")
        prepare_engine(engine)
        try:
            with Session(engine) as session:
                yield session
        finally:
            engine.dispose()


@contextmanager
def running(folder: Path) -> Iterator[Product]:
    """Run `flask up` with its data in `folder`, and stop it afterwards.

    Raises RuntimeError with the product's output when it does not start.
    """
    port, sandbox_port = free_port(), free_port()
    instance, said = folder / "instance", folder / "output.txt"
    environment = {
        **os.environ,
        "INSTANCE": str(instance),
        "PORT": str(port),
        "SANDBOX_PORT": str(sandbox_port),
        "SIGNUP_LIMIT": "10000/minute",
        "ORDER_LIMIT": "10000/minute",
    }
    flask = shutil.which("flask", path=str(Path(sys.executable).parent)) or "flask"
    site, sandbox = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{sandbox_port}"
    with said.open("wb") as output:
        process = subprocess.Popen(
            [flask, "up"],
            cwd=ROOT,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # so that it can be stopped as with Ctrl-C
        )
        try:
            for address in (f"{site}/readyz", f"{sandbox}/mail/"):
                _wait_for(address, process, said)
            owner = FIRST_OWNER.search(said.read_text("utf-8"))
            if owner is None:
                raise RuntimeError(f"no owner was named:\n{said.read_text('utf-8')}")
            yield Product(site, f"{sandbox}/mail", instance, owner[1], owner[2])
        finally:
            _stop(process)


def _wait_for(address: str, process: subprocess.Popen[bytes], said: Path) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        if process.poll() is not None:
            break
        try:
            with urlopen(address, timeout=5):
                return
        except HTTPError as error:
            error.close()
        except (OSError, HTTPException):
            pass
        time.sleep(0.1)
    raise RuntimeError(f"{address} does not answer:\n{said.read_text('utf-8')}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGINT, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        try:
            process.wait(STOP_SECONDS)
            return
        except subprocess.TimeoutExpired:
            continue
