"""The page cache: the bytes and headers of a response, and how pages follow their data."""

import gzip
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import brotli
import pytest
from structlog.testing import capture_logs
from werkzeug.test import Client
from werkzeug.wrappers import Request, Response

from crossroads.middleware.page_cache import PageCache

SOON = 10.0  # seconds that a test waits for another thread on a busy machine
POLL = 0.02
TEXT = "A page with the same words. " * 100


@dataclass
class Inner:
    """The application behind the cache: it responds with `text` and records each request."""

    text: str = TEXT
    status: int = 200
    kind: str = "text/html; charset=utf-8"
    version: int = 1
    stamp: int = 1
    asked: list[str] = field(default_factory=list)
    before: Callable[[], None] = lambda: None

    def __call__(self, environ: Any, start_response: Any) -> Any:
        request = Request(environ)
        self.asked.append(f"{request.method} {request.path}")
        text = self.text
        self.before()
        answer = Response(text, self.status, content_type=self.kind)
        answer.headers["Cache-Control"] = "public, max-age=0, must-revalidate"
        answer.headers["Set-Cookie"] = "visitor=1"
        answer.headers["X-Request-ID"] = "of-one-request-alone"
        answer.headers["X-Frame-Options"] = "DENY"
        return answer(environ, start_response)


@contextmanager
def caching(inner: Inner, **given: Any) -> Iterator[Client]:
    """Put a cache in front of the application and yield a browser."""
    options: dict[str, Any] = {
        "paths": lambda: ["/page"],
        "stamp": lambda: inner.stamp,
        "version": lambda: inner.version,
        "base_url": "https://example.org",
        "poll": POLL,
    }
    cache = PageCache(inner, **(options | given))
    try:
        yield Client(cache)
    finally:
        cache.close()


@pytest.fixture
def inner() -> Inner:
    return Inner()


@pytest.fixture
def browser(inner: Inner) -> Iterator[Client]:
    with caching(inner) as client:
        yield client


def wait_for(condition: Callable[[], object]) -> None:
    until = time.monotonic() + SOON
    while not condition():
        assert time.monotonic() < until, "it did not come about"
        time.sleep(POLL)


def plain(answer: Any) -> str:
    """Return the text of a response in any encoding."""
    unpack = {"br": brotli.decompress, "gzip": gzip.decompress, None: bytes}
    body: bytes = unpack[answer.headers.get("Content-Encoding")](answer.data)
    return body.decode()


@pytest.mark.parametrize(
    ("accepted", "encoding"),
    [
        (None, None),
        ("", None),
        ("br", "br"),
        ("BR", "br"),
        ("gzip", "gzip"),
        ("gzip, deflate, br, zstd", "br"),
        ("gzip;q=1.0, br;q=0.5", "gzip"),
        ("br;q=0, gzip", "gzip"),
        ("br;q=0, gzip;q=0", None),
        ("*", "br"),
        ("*;q=0", None),
        ("br;q=0, *", "gzip"),
        ("identity", None),
        ("identity;q=1, *;q=0.5", None),
        ("identity;q=0.5, gzip;q=0.8", "gzip"),
        ("deflate, zstd", None),
        ("br;q=nonsense, gzip", "gzip"),
        (",;,=;q", None),
    ],
)
def test_response_has_the_preferred_encoding(
    browser: Client, accepted: str | None, encoding: str | None
) -> None:
    headers = {} if accepted is None else {"Accept-Encoding": accepted}
    answer = browser.get("/page", headers=headers)
    assert answer.status_code == 200
    assert answer.headers.get("Content-Encoding") == encoding
    assert answer.headers["Vary"] == "Accept-Encoding"
    assert answer.headers["Content-Length"] == str(len(answer.data))
    assert plain(answer) == TEXT
    if encoding:
        assert len(answer.data) < len(TEXT) / 4


@pytest.mark.parametrize("encoding", ["br", "gzip", "identity"])
def test_known_etag_is_answered_with_not_modified(browser: Client, encoding: str) -> None:
    accepted = {"Accept-Encoding": encoding}
    first = browser.get("/page", headers=accepted)
    etag = first.headers["ETag"]
    for known in (etag, f"W/{etag}", f'"other", {etag}', f'W/"other" ,W/{etag}', "*"):
        answer = browser.get("/page", headers={**accepted, "If-None-Match": known})
        assert (answer.status_code, answer.data) == (304, b"")
        assert answer.headers["ETag"] == etag
        for name in ("Cache-Control", "Vary"):
            assert answer.headers[name] == first.headers[name]
        for name in ("Content-Length", "Content-Encoding", "Content-Type"):
            assert name not in answer.headers


@pytest.mark.parametrize("known", ['"other"', "", "nonsense", '"', 'W/"', ",,", '"a" "b"', "\xff"])
def test_unknown_etag_is_answered_with_the_page(browser: Client, known: str) -> None:
    assert browser.get("/page", headers={"If-None-Match": known}).status_code == 200


def test_each_encoding_has_its_own_etag(browser: Client) -> None:
    """A page cached in one encoding must not be confirmed for a reader of another."""
    etags = {
        name: browser.get("/page", headers={"Accept-Encoding": name}).headers["ETag"]
        for name in ("br", "gzip", "identity")
    }
    assert len(set(etags.values())) == 3
    asked = {"Accept-Encoding": "gzip", "If-None-Match": etags["br"]}
    answer = browser.get("/page", headers=asked)
    assert (answer.status_code, answer.headers["Content-Encoding"]) == (200, "gzip")


def test_etag_depends_only_on_the_bytes(inner: Inner, browser: Client) -> None:
    first = browser.get("/page").headers["ETag"]
    inner.text = "Other words"
    inner.stamp = 2
    second = browser.get("/page").headers["ETag"]
    inner.text = TEXT
    inner.stamp = 3
    assert first != second
    assert browser.get("/page").headers["ETag"] == first


def test_head_has_the_same_headers_without_the_body(browser: Client) -> None:
    accepted = {"Accept-Encoding": "br"}
    whole = browser.get("/page", headers=accepted)
    head = browser.head("/page", headers=accepted)
    assert head.status_code == 200
    assert head.data == b""
    assert list(head.headers) == list(whole.headers)
    known = {**accepted, "If-None-Match": whole.headers["ETag"]}
    assert browser.head("/page", headers=known).status_code == 304


def test_every_visitor_gets_the_same_bytes(inner: Inner, browser: Client) -> None:
    browser.get("/page")
    wait_for(lambda: inner.asked)
    time.sleep(POLL * 3)
    asked = len(inner.asked)
    answers = [
        browser.get("/page"),
        browser.get("/page?utm_source=mail&x=1"),
        browser.get("/page", headers={"Cookie": "visitor=2; crossroads_desk=abc"}),
        browser.get("/page", headers={"User-Agent": "Another/1.0", "Accept-Language": "de"}),
        browser.get("/page", headers={"Host": "elsewhere.example", "Range": "bytes=0-10"}),
    ]
    assert len({answer.data for answer in answers}) == 1
    assert len({str(answer.headers) for answer in answers}) == 1
    assert len(inner.asked) == asked, "nobody asked the application"


def test_headers_of_a_single_request_are_not_cached(browser: Client) -> None:
    headers = browser.get("/page").headers
    assert "Set-Cookie" not in headers
    assert "X-Request-ID" not in headers
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Cache-Control"] == "public, max-age=0, must-revalidate"


def test_other_methods_and_paths_are_passed_to_the_application(
    inner: Inner, browser: Client
) -> None:
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        answer = browser.open("/page", method=method)
        assert answer.headers["X-Request-ID"]
        assert f"{method} /page" in inner.asked
    assert browser.get("/other").headers["X-Request-ID"]
    assert browser.get("/page/").headers["X-Request-ID"]
    assert browser.get("/PAGE").headers["X-Request-ID"]


def test_image_is_not_compressed(inner: Inner, browser: Client) -> None:
    inner.kind = "image/png"
    answer = browser.get("/page", headers={"Accept-Encoding": "br"})
    assert "Content-Encoding" not in answer.headers
    assert "Vary" not in answer.headers
    assert answer.text == TEXT


def test_error_response_is_not_cached(inner: Inner, browser: Client) -> None:
    inner.status = 503
    answer = browser.get("/page")
    assert answer.status_code == 503
    assert answer.headers["X-Request-ID"], "it is the application's own answer"
    inner.status = 200
    assert browser.get("/page").status_code == 200


def test_page_changes_with_the_version_of_its_data(inner: Inner, browser: Client) -> None:
    assert browser.get("/page").text == TEXT
    inner.text = "23 places left"
    inner.version = 2
    wait_for(lambda: browser.get("/page").text == "23 places left")


def test_reader_gets_the_old_page_while_a_new_one_is_rendered(
    inner: Inner, browser: Client
) -> None:
    assert browser.get("/page").text == TEXT
    rendering, done = threading.Event(), threading.Event()

    def slowly() -> None:
        rendering.set()
        assert done.wait(SOON)

    inner.before = slowly
    inner.text = "new words"
    inner.version = 2
    assert rendering.wait(SOON)
    for _ in range(20):
        assert browser.get("/page").text == TEXT, "the old words, at once"
    assert not done.is_set()
    done.set()
    wait_for(lambda: browser.get("/page").text == "new words")


def test_prefilled_pages_are_rendered_again_only_after_a_change(
    inner: Inner, tmp_path: Path
) -> None:
    cache = PageCache(
        inner,
        paths=lambda: ["/page", "/legal"],
        stamp=lambda: inner.stamp,
        version=lambda: inner.version,
        base_url="https://example.org",
        later=["/legal"],
        poll=POLL,
    )
    before = threading.active_count()
    cache.fill(tmp_path / "compressed.zip")
    assert threading.active_count() == before  # no thread yet: a fork would not copy it
    assert inner.asked == ["GET /page"]
    browser = Client(cache)
    try:
        assert plain(browser.get("/page")) == TEXT
        time.sleep(3 * POLL)
        assert inner.asked == ["GET /page"]
        inner.version = 2
        wait_for(lambda: len(inner.asked) > 1)
        time.sleep(3 * POLL)
        assert inner.asked == ["GET /page"] * 2, "nobody has asked for the other"
        assert plain(browser.get("/legal")) == plain(browser.get("/legal")) == TEXT
        assert inner.asked == ["GET /page", "GET /page", "GET /legal"]
        inner.version, inner.text = 3, "Other words."
        wait_for(lambda: plain(browser.get("/page")) == "Other words.")
        wait_for(lambda: plain(browser.get("/legal")) == "Other words.")
    finally:
        cache.close()


def test_unchanged_page_is_not_compressed_again(
    inner: Inner, browser: Client, tmp_path: Path
) -> None:
    cache = cast(PageCache, browser.application)
    cache.fill(tmp_path / "compressed.zip")
    before = cache.kept("/page")
    assert before == TEXT.encode()
    inner.version = 2
    cache.fill(tmp_path / "compressed.zip")
    assert len(inner.asked) > 1
    assert cache.kept("/page") is before


def test_outdated_rendering_does_not_replace_a_newer_one(inner: Inner) -> None:
    """A request may start to render before a change and finish after it."""
    begun, changed, released = threading.Event(), threading.Event(), threading.Event()
    reader: threading.Thread | None = None
    polls: list[int] = []

    def before() -> None:
        if threading.current_thread() is reader:
            begun.set()
            assert released.wait(SOON)

    def version() -> int:
        assert begun.wait(SOON)
        assert changed.wait(SOON)
        polls.append(1)
        return 1

    inner.before = before
    with caching(inner, version=version) as browser:
        reader = threading.Thread(target=browser.get, args=("/page",))
        reader.start()
        assert begun.wait(SOON)
        inner.text = "new words"
        changed.set()
        wait_for(lambda: len(polls) > 1)  # the first poll rendered every page again
        assert browser.get("/page").text == "new words"
        released.set()
        reader.join(SOON)
        assert browser.get("/page").text == "new words"


def test_last_page_is_served_while_the_version_query_fails(inner: Inner) -> None:
    away = threading.Event()
    asked = []

    def version() -> int:
        asked.append(1)
        if away.is_set():
            raise ConnectionError("the database is away, said maria@example.org")
        return inner.version

    with capture_logs() as lines, caching(inner, version=version) as browser:
        assert browser.get("/page").text == TEXT
        away.set()
        inner.text = "new words"
        inner.version = 2
        asked.clear()
        wait_for(lambda: len(asked) > 5)
        assert browser.get("/page").text == TEXT
        away.clear()
        wait_for(lambda: browser.get("/page").text == "new words")
    (line,) = lines
    assert line["error"] == "the database is away, said m***@example.org"


def test_last_page_is_served_while_rendering_fails(inner: Inner, browser: Client) -> None:
    assert browser.get("/page").text == TEXT
    wait_for(lambda: len(inner.asked) >= 2)
    inner.status = 500
    inner.version = 2
    asked = len(inner.asked)
    wait_for(lambda: len(inner.asked) > asked + 1)
    assert (browser.get("/page").status_code, browser.get("/page").text) == (200, TEXT)
    inner.status = 200
    inner.text = "mended"
    wait_for(lambda: browser.get("/page").text == "mended")


def test_changed_files_are_rendered_at_the_next_request(inner: Inner, browser: Client) -> None:
    assert browser.get("/page").text == TEXT
    inner.text = "edited"
    assert browser.get("/page").text == TEXT
    inner.stamp = 2
    assert browser.get("/page").text == "edited"


def test_cached_paths_follow_the_files_and_survive_an_error(inner: Inner) -> None:
    known = ["/page"]

    def paths() -> list[str]:
        if not known:
            raise ValueError("the content has mistakes")
        return known

    with caching(inner, paths=paths) as browser:
        assert "X-Request-ID" in browser.get("/new").headers
        known.append("/new")
        inner.stamp = 2
        assert "X-Request-ID" not in browser.get("/new").headers
        known.clear()
        inner.stamp = 3
        assert "X-Request-ID" not in browser.get("/new").headers


def test_response_is_consistent_while_pages_change(inner: Inner, browser: Client) -> None:
    """With many concurrent readers and changes, bytes, length and ETag always match."""
    stop = threading.Event()
    broken: list[str] = []
    names: dict[str, str] = {}

    def read(encoding: str) -> None:
        while not stop.is_set():
            answer = browser.get("/page", headers={"Accept-Encoding": encoding})
            text = plain(answer)
            known = names.setdefault(answer.headers["ETag"], text)
            if known != text or answer.headers["Content-Length"] != str(len(answer.data)):
                broken.append(text)

    readers = [threading.Thread(target=read, args=(name,)) for name in ("br", "gzip", "", "*")]
    for reader in readers:
        reader.start()
    try:
        for number in range(8):
            inner.text = f"{number} {TEXT}"
            inner.version += 1
            wait_for(lambda: inner.text in list(names.values()))
    finally:
        stop.set()
        for reader in readers:
            reader.join(SOON)
    assert broken == []
