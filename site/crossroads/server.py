"""The web server: granian with a process per core, the application loaded before they part."""

import errno
import socket

import click
from sqlalchemy import create_engine
from sqlalchemy.exc import SQLAlchemyError

from crossroads import metrics, schema
from crossroads.settings import Settings

BLOCKING_THREADS = 4  # requests at a time in one worker; most wait for the database, not the CPU
BACKLOG = 1024
# A request may hold a worker this long after it was told to stop; then it is killed.
STOP_SECONDS = 5
RESPAWN_SECONDS = 3.5  # longer than the start of the app, or a dying worker is respawned twice


def require_free_port(host: str, port: int, setting: str) -> None:
    """Raise ClickException when the port cannot be listened on, naming the setting to change."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        # Not SO_REUSEPORT: with it two servers share a port and each gets half the visitors.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                why = f"port {port} is in use: stop what listens there"
            else:
                why = f"cannot listen on {host} port {port} ({error.strerror})"
            raise click.ClickException(f"{why}, or set {setting} to another") from None


def require_schema(settings: Settings) -> None:
    """Raise ClickException when the database is away or not of this version."""
    engine = create_engine(settings.database_url)
    try:
        fault = schema.fault(engine)
    except SQLAlchemyError as error:
        cause = str(error.__cause__ or error).strip().splitlines()[0]
        fault = f"the database cannot be reached: {cause}; check DATABASE_URL"
    finally:
        engine.dispose()
    if fault:
        raise click.ClickException(fault)


def serve(settings: Settings) -> None:
    """Serve the site until told to stop. Raises ClickException when it cannot start.

    The flask command has imported wsgi:app already. The workers are forked from this process:
    they share its memory, and a mistake in the content has stopped the start before this line.
    """
    require_free_port(settings.host, settings.port, "PORT")
    require_schema(settings)
    metrics.share_between_processes(settings.instance / "metrics")

    from granian.constants import HTTPModes, Interfaces
    from granian.server import Server

    Server(
        "wsgi:app",
        address=settings.host,
        port=settings.port,
        interface=Interfaces.WSGI,
        workers=settings.workers,
        blocking_threads=BLOCKING_THREADS,
        backlog=BACKLOG,
        http=HTTPModes.http1,  # a proxy in front speaks HTTP/2 to browsers and 1.1 to us
        websockets=False,
        respawn_failed_workers=True,
        respawn_interval=RESPAWN_SECONDS,
        workers_kill_timeout=STOP_SECONDS,
        log_level="warning",  # type: ignore[arg-type]
    ).serve()
