"""A total time limit for each call: headers and body together.

The timeout of requests applies to each read, so an answer that trickles byte by byte would never
time out. https://requests.readthedocs.io/en/latest/user/quickstart/#timeouts
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
    """Make every read in the block fail after this many seconds (monotonic clock)."""
    token = _until.set(time.monotonic() + seconds)
    try:
        yield
    finally:
        _until.reset(token)


def session() -> requests.Session:
    """Return a session that applies the limit. A connection that reaches it is closed."""
    made = requests.Session()
    for scheme in ("https://", "http://"):
        made.mount(scheme, _Adapter())
    return made


class _LimitedReads(io.RawIOBase):
    """Reads from a socket; each read may take only the remaining time."""

    def __init__(self, sock: socket.socket, until: float) -> None:
        self._sock, self._until = sock, until
        self._raw = sock.makefile("rb", buffering=0)  # the socket counts it, and stays open

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
        """Connect within the timeout, divided among all addresses of the host.

        Otherwise each address would get the full timeout. It also applies to the whole TLS
        handshake. The DNS lookup is not limited; it ends when the system's resolver gives up.
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
