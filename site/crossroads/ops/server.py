"""The web server: granian with one process per core; the application is loaded before the fork."""

import ctypes
import errno
import gc
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click
import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from crossroads import metrics
from crossroads.database import schema
from crossroads.database.schema import SchemaMismatch
from crossroads.logs import first_line
from crossroads.middleware import body_reader
from crossroads.middleware.page_cache import PageCache
from crossroads.settings import Settings
from models import db

if TYPE_CHECKING:
    from granian.server.common import AbstractServer

BLOCKING_THREADS = 8  # requests at work in one worker; most wait for the database, not the CPU
WAITING_THREADS = 3  # of them may wait for Stripe at a time
# Beside them: requests whose body is awaited, and some that have just come or are being refused.
BODY_THREADS = body_reader.FORMS + body_reader.EVENTS + 24
BACKLOG = 1024
M_ARENA_MAX = -8  # in glibc's malloc.h
# A request may hold a worker this long after it was told to stop; then it is killed.
STOP_SECONDS = 5

log = structlog.get_logger("crossroads.server")


def require_free_port(host: str, port: int, setting: str) -> None:
    """Raise ClickException when the port cannot be listened on, naming the setting to change."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        # Not SO_REUSEPORT: with it two servers share a port and each gets half the visitors.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                why = f"port {port} is in use: stop what listens there, or set {setting} to another"
            else:
                why = f"cannot listen on {host} port {port}: {error.strerror}"
            raise click.ClickException(why) from None


def schema_mismatch(engine: Engine) -> SchemaMismatch | None:
    """Return what is wrong with the schema. Raises ClickException when the database is away."""
    try:
        return schema.mismatch(engine)
    except SQLAlchemyError as error:
        raise click.ClickException(
            f"the database cannot be used: {first_line(error)}; check DATABASE_URL"
        ) from None


def require_schema(engine: Engine) -> None:
    """Raise ClickException when the database is away or not of this version."""
    fault = schema_mismatch(engine)
    if fault:
        raise click.ClickException(str(fault))


def serve(settings: Settings, engine: Engine, pages: PageCache) -> None:
    """Serve the site until told to stop. Raises ClickException when it cannot start.

    The flask command has imported wsgi:app already. Where processes are forked the workers
    share its memory; a mistake in the content has stopped the start before this line.
    """
    require_free_port(settings.host, settings.port, "PORT")
    require_schema(engine)
    log.info("web server starting", host=settings.host, port=settings.port, url=settings.base_url)
    metrics.share_between_processes(settings.instance / "metrics")
    pages.fill(settings.instance / "compressed.zip")
    # Requests within the command's own context leave their session open until it ends: with the
    # server, and until then no table could be changed.
    db.session.remove()
    engine.dispose()  # what is open when a process forks belongs to both
    # A sign-up makes some thousand objects, and few of them in cycles: looked through after every
    # 700, as Python does by default, they cost it 7 % of its time.
    gc.set_threshold(10_000)

    _share_one_heap()
    web_server("wsgi:app", host=settings.host, port=settings.port, workers=settings.workers).serve()


def _share_one_heap() -> None:
    """Let the threads of each worker allocate from one heap, where the C library is glibc.

    Otherwise each thread gets a heap of its own, up to eight for each core, and each keeps what
    its largest request needed. The threads wait for one another already, at Python's own lock.
    https://man7.org/linux/man-pages/man3/mallopt.3.html
    """
    with suppress(OSError, AttributeError, TypeError):  # another C library, or none by this name
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, 1)


def web_server(target: str, *, host: str, port: int, workers: int) -> "AbstractServer[Any]":
    """Return the web server for a WSGI application, named as module:name."""
    from granian.constants import HTTPModes, Interfaces
    from granian.log import LogLevels

    from crossroads.ops.granian_server import LOG, Persistent

    return Persistent(
        target,
        begin=metrics.count_as,
        address=host,
        port=port,
        interface=Interfaces.WSGI,
        workers=workers,
        blocking_threads=BLOCKING_THREADS + BODY_THREADS,
        backlog=BACKLOG,
        http=HTTPModes.http1,  # a proxy in front speaks HTTP/2 to browsers and 1.1 to us
        websockets=False,
        respawn_failed_workers=True,
        workers_kill_timeout=STOP_SECONDS,
        # Not warning: when a worker has ended in time it may yet say that it had to kill it.
        log_level=LogLevels.error,
        log_dictconfig=LOG,
    )
