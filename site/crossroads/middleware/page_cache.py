"""Public pages as bytes: rendered once, compressed once, served in front of Flask.

A reader's request is a dictionary look-up here. All other requests, every POST included, go to
Flask. One thread per process renders the pages again when their content has changed.
"""

import threading
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING

import structlog
from prometheus_client import Counter
from werkzeug.datastructures import Headers
from werkzeug.http import parse_accept_header, parse_etags
from werkzeug.test import EnvironBuilder, run_wsgi_app

from crossroads.logs import first_line
from crossroads.metrics import REQUESTS
from crossroads.middleware import compression
from crossroads.middleware.compression import Compressed
from crossroads.middleware.request_log import NO_VISIT

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

ENCODINGS = ("br", "gzip", "identity")
ALREADY_SMALL = ("image/png", "image/jpeg", "font/woff2")
POLL_SECONDS = 2.0
AFTER_FAILURE = 4  # polls until failed pages are rendered again
# Dropped from Flask's response: set again here, or valid for one request only.
OWN = {
    *("accept-ranges", "content-length", "date", "etag", "last-modified"),
    *("set-cookie", "x-request-id"),
}

log = structlog.get_logger()


@dataclass(frozen=True)
class Variant:
    """One address in one encoding: the bytes, their ETag and the headers, ready to send."""

    body: bytes
    etag: str
    headers: list[tuple[str, str]]
    headers_unchanged: list[tuple[str, str]]


# One address: its variants by encoding.
Page = dict[str, Variant]


class PageCache:
    """WSGI layer that answers GET and HEAD of public addresses from memory.

    `paths` returns the addresses. `stamp` changes with the files and is called before each
    response (a constant in production). `version` changes with the data from database and clock
    that pages show; the thread calls it every `poll` seconds. While `version` fails, or a page
    cannot be rendered, the last pages stay. Pages in `later` are rendered on first request.
    `section` is the start and the end of the one part of a page that a view may replace in its
    response: see around().
    """

    def __init__(
        self,
        app: "WSGIApplication",
        *,
        paths: Callable[[], Iterable[str]],
        stamp: Callable[[], Hashable],
        version: Callable[[], Hashable],
        base_url: str,
        later: Collection[str] = (),
        section: tuple[str, str] = ("", ""),
        poll: float = POLL_SECONDS,
    ) -> None:
        self._app = app
        self._list_paths = paths
        self._stamp_now = stamp
        self._version_now = version
        self._base_url = base_url
        self._later = frozenset(later)
        self._section = section
        self.poll = poll  # may be changed until the first request for a page
        self._pages: dict[str, Page] = {}
        self._paths: frozenset[str] = frozenset(paths())
        self._stamp = stamp()
        self._version: Hashable = object()  # differs from every version: nothing was rendered yet
        self._lock = threading.Lock()
        self._compress: Callable[[bytes], Compressed] = compression.compressed
        self._thread: threading.Thread | None = None
        self._ended = threading.Event()

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        stamp = self._stamp_now()
        if stamp != self._stamp:
            self._forget(stamp)
        if environ["REQUEST_METHOD"] in ("GET", "HEAD"):
            page = self._page(environ["PATH_INFO"])
            if page is not None:
                return self._answer(page, environ, start_response)
        return self._app(environ, start_response)

    def kept(self, path: str) -> bytes | None:
        """Return the current page at an address, if it is in memory."""
        if self._thread is None:
            self._start()
        page = self._pages.get(path)
        return page["identity"].body if page else None

    def around_section(self, path: str) -> tuple[str, str] | None:
        """Return the parts of a page before and after its `section`, if it is in memory.

        Rendering a full page to change one section would slow down every sign-up.
        """
        page = self.kept(path)
        return _parted(page, *self._section) if page else None

    def fill(self, file: Path) -> None:
        """Render the pages now, if their content has changed. Raises any error of rendering.

        Call it before the server forks, so that its processes share the memory. The compressed
        pages are stored in the file, for a faster next start.
        """
        kept = compression.load(file)
        made: dict[bytes, Compressed] = {}

        def compress(body: bytes) -> Compressed:
            made[body] = kept.get(compression.digest(body)) or compression.compressed(body)
            return made[body]

        self._compress = compress
        self._refresh()
        self._compress = compression.compressed
        if {compression.digest(body) for body in made} != kept.keys():
            compression.store(file, made.items())

    def close(self) -> None:
        """End the thread."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()

    def _page(self, path: str) -> Page | None:
        if self._thread is None:
            self._start()
        # A local reference: if newer pages replace these during the rendering, the result goes to
        # the old pages and is lost with them.
        pages = self._pages
        page = pages.get(path)
        if page is None and path in self._paths:
            page = self._render(path)
            if page is not None:
                page = pages.setdefault(path, page)
        return page

    def _forget(self, stamp: Hashable) -> None:
        with self._lock:
            self._stamp = stamp
            self._pages = {}
            # When the content cannot be read, the addresses do not change: Flask shows the errors
            # at each of them.
            self._paths = frozenset(_whole_or(self._list_paths, self._paths))

    def _answer(
        self, page: Page, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        variant = page[_encoding(environ.get("HTTP_ACCEPT_ENCODING", ""))]
        known = environ.get("HTTP_IF_NONE_MATCH")
        if known and (known == variant.etag or _names(known, variant.etag)):
            _counter(304).inc()
            start_response("304 Not Modified", list(variant.headers_unchanged))
            return []
        _counter(200).inc()
        start_response("200 OK", list(variant.headers))
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [variant.body]

    def _render(self, path: str) -> Page | None:
        """Return the page as Flask renders it now, or None when the status is not 200."""
        environ = EnvironBuilder(path, base_url=self._base_url).get_environ()
        environ[NO_VISIT] = True
        body_parts, status, headers = run_wsgi_app(self._app, environ, buffered=True)
        body = b"".join(body_parts)
        if not status.startswith(str(HTTPStatus.OK.value)):
            return None
        page = self._pages.get(path)
        if page is not None and page["identity"].body == body:  # compression is the slowest step
            return page
        return make_page(body, headers, self._compress)

    def _start(self) -> None:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._watch, name="pages", daemon=True)
                self._thread.start()

    def _watch(self) -> None:
        trouble = False
        polls = 1
        # It waits first: rendering every page would slow down the request that started it.
        while not self._ended.wait(self.poll * polls):
            polls = 1
            try:
                if not self._refresh():
                    polls = AFTER_FAILURE
                trouble = False
            except Exception as error:
                if not trouble:  # logged once, not at every poll until it works
                    log.warning("pages not refreshed, the last ones stay", error=first_line(error))
                trouble = True

    def _refresh(self) -> bool:
        """Render the pages again when their content has changed. False when one of them failed."""
        current = self._version_now()
        if current != self._version:
            if not self._render_all():
                return False
            self._version = current
        return True

    def _render_all(self) -> bool:
        stamp = self._stamp
        paths = self._paths - (self._later - self._pages.keys())
        pages = {}
        for path in paths:
            if self._ended.is_set():
                return False
            page = self._render(path)
            if page is not None:
                pages[path] = page
        with self._lock:
            if stamp == self._stamp:
                self._pages = {**self._pages, **pages}
        return len(pages) == len(paths)


def make_page(body: bytes, headers: Headers, compress: Callable[[bytes], Compressed]) -> Page:
    """Return the page for a body and its headers, in every encoding that is worth sending."""
    kept = [(name, value) for name, value in headers if name.lower() not in OWN]
    digest = compression.digest(body)[:20]
    kind = (headers.get("Content-Type") or "").partition(";")[0]
    bodies = {"identity": body}
    if kind not in ALREADY_SMALL:
        bodies |= compress(body)
        kept.append(("Vary", "Accept-Encoding"))
    made = {name: _variant(name, data, digest, kept) for name, data in bodies.items()}
    return {name: made.get(name, made["identity"]) for name in ENCODINGS}


def _variant(encoding: str, body: bytes, digest: str, kept: list[tuple[str, str]]) -> Variant:
    plain = encoding == "identity"
    etag = f'"{digest}"' if plain else f'"{digest}-{encoding}"'
    shared = [*kept, ("ETag", etag)]
    encoded = [] if plain else [("Content-Encoding", encoding)]
    return Variant(
        body,
        etag,
        [*shared, *encoded, ("Content-Length", str(len(body)))],
        [pair for pair in shared if pair[0] != "Content-Type"],
    )


@lru_cache(maxsize=64)
def _parted(page: bytes, opens: str, closes: str) -> tuple[str, str] | None:
    before, opening, rest = page.decode().partition(opens)
    _, closing, after = rest.partition(closes)
    return (before, after) if opening and closing else None


@lru_cache(maxsize=512)
def _encoding(header: str) -> str:
    """Return the encoding that an Accept-Encoding header prefers, the smallest among equals.

    https://www.rfc-editor.org/rfc/rfc9110#section-12.5.3
    """
    accepted = parse_accept_header(header)
    liked = max(ENCODINGS, key=lambda name: accepted[name])
    return liked if accepted[liked] > 0 else "identity"


@lru_cache(maxsize=512)
def _names(header: str, etag: str) -> bool:
    """Return whether If-None-Match contains the ETag, by the weak comparison that it requires.

    Only the ETag of the variant that would be sent counts: otherwise a cache that holds the brotli
    variant could send it, after our 304, to a client that cannot read it.
    https://www.rfc-editor.org/rfc/rfc9110#section-13.1.2
    """
    return parse_etags(header).contains_weak(etag.strip('"'))


@cache
def _counter(status: int) -> Counter:
    # Made at first use: a web worker counts into its own file, not into its parent's.
    return REQUESTS.labels("page", "GET", status)


def _whole_or(source: Callable[[], Iterable[str]], before: Iterable[str]) -> Iterator[str]:
    try:
        return iter(list(source()))
    except Exception:
        return iter(before)
