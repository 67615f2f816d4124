"""A total time limit for each call: headers and body together.

The timeout of requests holds for each read, so an answer that trickles byte by byte would hold its
caller for as long as it trickles. https://requests.readthedocs.io/en/latest/user/quickstart/#timeouts
"""

from __future__ import annotations

import io
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from http.client import HTTPResponse
from typing import Any, Final

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import NameResolutionError

_until: ContextVar[float | None] = ContextVar("until", default=None)


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Limit every read of an answer to this number of seconds from now, by the monotonic clock."""
    token = _until.set(time.monotonic() + seconds)
    try:
        yield
    finally:
        _until.reset(token)


def session() -> requests.Session:
    """Return connections that keep to the limit. One that met it is closed and not used again."""
    made = requests.Session()
    for scheme in ("https://", "http://"):
        made.mount(scheme, _Adapter())
    return made


class _LimitedReads(io.RawIOBase):
    """What comes from a socket, each read with what is left of the time."""

    def __init__(self, sock: socket.socket, until: float) -> None:
        self._sock, self._until = sock, until
        self._raw = sock.makefile("rb", buffering=0)  # counted by the socket, which stays open

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = self._until - time.monotonic()
        if left <= 0:
            raise TimeoutError("the answer took too long")
        usual = self._sock.gettimeout()
        self._sock.settimeout(left if usual is None else min(left, usual))
        try:
            return self._raw.readinto(buffer)
        finally:
            self._sock.settimeout(usual)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Response(HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **options: Any) -> None:
        super().__init__(sock, *args, **options)
        until = _until.get()
        if until is not None:
            self.fp.close()
            self.fp = io.BufferedReader(_LimitedReads(sock, until))


class _Connection(HTTPConnection):
    response_class = _Response

    def _new_conn(self) -> socket.socket:
        """Connect in the usual time to whichever address of the host answers.

        That time alone would hold for each address. It holds for a TLS handshake as a whole; not
        bounded is the look-up of the name, which ends when the system's resolver gives up.
        """
        usual = self.timeout
        if not isinstance(usual, int | float):
            return super()._new_conn()
        try:
            found = socket.getaddrinfo(self.host.strip("[]"), self.port, type=socket.SOCK_STREAM)
        except socket.gaierror as error:
            raise NameResolutionError(self.host, self, error) from error
        self.timeout = usual / len(found)
        try:
            sock = super()._new_conn()
        finally:
            self.timeout = usual
        sock.settimeout(usual)
        return sock


class _SecureConnection(_Connection, HTTPSConnection):
    pass


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


POOLS: Final = {"http": _Pool, "https": _SecurePool}


class _Adapter(HTTPAdapter):
    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **options)
        self.poolmanager.pool_classes_by_scheme = POOLS

    def proxy_manager_for(self, *args: Any, **options: Any) -> PoolManager:
        found: PoolManager = super().proxy_manager_for(*args, **options)
        found.pool_classes_by_scheme = POOLS
        return found
