"""The sandbox's web server: one process, reachable from this machine alone."""

from functools import partial
from pathlib import Path

from granian.constants import HTTPModes, Interfaces
from granian.log import LogLevels
from granian.server import Server

from sandbox import create_sandbox

STOP_SECONDS = 2  # a browser may hold a connection open; the stop does not wait for it


def serve(folder: Path, port: int) -> None:
    """Serve the sandbox on 127.0.0.1 until told to stop. `folder` holds the captured mail."""
    server = Server(
        "sandbox",  # a name for its logs: the loader below makes the app
        address="127.0.0.1",
        port=port,
        interface=Interfaces.WSGI,
        workers=1,
        blocking_threads=2,
        http=HTTPModes.http1,
        websockets=False,
        workers_kill_timeout=STOP_SECONDS,
        log_level=LogLevels.warning,
    )
    server.serve(target_loader=partial(create_sandbox, folder.resolve()), wrap_loader=False)
