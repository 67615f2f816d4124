"""WSGI middleware: reads request bodies with a time limit and limits concurrent requests."""

import io
import threading
from collections import Counter, deque
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from werkzeug.wsgi import get_content_length

if TYPE_CHECKING:
    from collections.abc import Iterable

    from _typeshed.wsgi import InputStream, StartResponse, WSGIApplication, WSGIEnvironment

SECONDS = 10.0  # for the longest body
GRACE = 3.0  # for every body: one packet lost on a phone connection takes a second or two
RATE = 9_000  # minimum bytes a second after that
# Bodies that one process waits for at a time: forms, and Stripe's events separately.
FORMS = 400
EVENTS = 24
# Set in the WSGI environment of a request whose body did not arrive in time.
LATE = "crossroads.late"


class BodyReader:
    """WSGI layer that reads a request's body for the app, and runs `at_work` requests at a time.

    The web server has a limited number of threads, and reading a body occupies one for as long as
    the client takes. The time limit of a body depends on its length. When there are more bodies to
    wait for than slots, the client with the most of them loses its oldest one. A body that does not
    arrive in time is abandoned, with LATE set. Bodies for the path `apart` have separate slots. A
    body longer than `most` bytes, the largest that any path accepts, is not read: the app refuses
    it by its length.
    """

    def __init__(self, app: "WSGIApplication", *, most: int, at_work: int, apart: str) -> None:
        self._app = app
        self._most = most
        self._apart = apart
        self._at_work = FairSemaphore(at_work)
        self._forms = Slots(FORMS)
        self._events = Slots(EVENTS)
        self._idle: list[ReaderThread] = []

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> "Iterable[bytes]":
        chunked = "HTTP_TRANSFER_ENCODING" in environ
        length = get_content_length(environ) or 0
        if chunked or 0 < length <= self._most:
            # A server need not end the stream where the body ends (PEP 3333): reading more than
            # Content-Length may block without an end.
            most = self._most + 1 if chunked else length
            slots = self._events if environ["PATH_INFO"] == self._apart else self._forms
            client = environ.get("REMOTE_ADDR", "")
            body = self._read(environ["wsgi.input"], most, slots, client)
            environ["wsgi.input"] = io.BytesIO(body or b"")
            if body is None:
                environ[LATE] = True
            elif chunked:  # its length is known now, and checked against the limit
                del environ["HTTP_TRANSFER_ENCODING"]
                environ["CONTENT_LENGTH"] = str(len(body))
        elif length:  # dropped, or the server would read all of it before it ends the response
            environ["wsgi.input"] = io.BytesIO()
        with self._at_work:
            return self._app(environ, start_response)

    def _read(self, stream: "InputStream", most: int, slots: "Slots", client: str) -> bytes | None:
        """Return the body, or None when it did not arrive in time."""
        try:
            reader = self._idle.pop()
        except IndexError:
            reader = ReaderThread()
        reader.start(stream, most)
        slots.take(reader, client)
        body, read = None, False
        with suppress(Empty, Evicted):
            body, read = reader.result(min(SECONDS, GRACE + most / RATE)), True
        if slots.release(reader) and read:
            self._idle.append(reader)
        else:
            reader.abandon()
        return body


class FairSemaphore:
    """A fair semaphore: the request that has waited longest is let in next.

    threading.Semaphore lets a request that has just arrived pass those that wait, which makes the
    slowest answers half as slow again.
    """

    def __init__(self, number: int) -> None:
        self._free = number
        self._waiting: deque[threading.Lock] = deque()
        self._lock = threading.Lock()

    @property
    def waiting(self) -> int:
        """How many requests wait."""
        return len(self._waiting)

    def __enter__(self) -> None:
        with self._lock:
            if self._free:
                self._free -= 1
                return
            turn = threading.Lock()
            turn.acquire()
            self._waiting.append(turn)
        turn.acquire()  # released by the request that ends

    def __exit__(self, *_error: object) -> None:
        with self._lock:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._free += 1


class Evicted(Exception):
    """Another client was given the slot."""


class Slots:
    """A limited number of bodies to wait for at a time, shared among the clients that send them."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._clients: dict[ReaderThread, str] = {}  # the longest waiting first
        self._lock = threading.Lock()

    def take(self, reader: "ReaderThread", client: str) -> None:
        """Take a slot; if all are taken, the oldest one of the client that has the most."""
        with self._lock:
            self._clients[reader] = client
            if len(self._clients) <= self._number:
                return
            counts = Counter(self._clients.values())
            most = max(counts.values())
            oldest = next(held for held, of in self._clients.items() if counts[of] == most)
            del self._clients[oldest]
            oldest.evict()

    def release(self, reader: "ReaderThread") -> bool:
        """Free a slot; return whether the reader still had it."""
        with self._lock:
            return self._clients.pop(reader, None) is not None


class ReaderThread:
    """A thread that reads streams one after the other, as a stream cannot have a timeout.

    A reader that was too slow is not used again: it ends with its request's response.
    """

    def __init__(self) -> None:
        self._streams: SimpleQueue[tuple[InputStream, int] | None] = SimpleQueue()
        self._results: SimpleQueue[bytes | Evicted | None] = SimpleQueue()
        threading.Thread(target=self._run, name="body reader", daemon=True).start()

    def start(self, stream: "InputStream", most: int) -> None:
        """Start to read up to `most` bytes of a stream."""
        self._streams.put((stream, most))

    def result(self, seconds: float) -> bytes | None:
        """Return the content of the stream, or None when the client disconnected.

        Raises queue.Empty after this number of seconds, and Evicted.
        """
        result = self._results.get(timeout=seconds)
        if isinstance(result, Evicted):
            raise result
        return result

    def evict(self) -> None:
        """Make result() raise Evicted in the thread that waits for it."""
        self._results.put(Evicted())

    def abandon(self) -> None:
        """End the thread after this stream, which is too slow or was evicted."""
        self._streams.put(None)

    def _run(self) -> None:
        while (wanted := self._streams.get()) is not None:
            stream, most = wanted
            body = None
            with suppress(Exception):  # the client disconnected
                body = stream.read(most)
            del stream, wanted  # or it would stay in memory until the next stream
            self._results.put(body)
