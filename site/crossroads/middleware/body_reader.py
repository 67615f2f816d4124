"""WSGI middleware: reads request bodies with a time limit, slow ones a few at a time."""

import io
import threading
from collections import Counter
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from werkzeug.wsgi import get_content_length

if TYPE_CHECKING:
    from collections.abc import Iterable

    from _typeshed.wsgi import InputStream, StartResponse, WSGIApplication, WSGIEnvironment

SECONDS = 10.0  # for the longest body
GRACE = 3.0  # for any: one packet lost on a phone line takes a second or two
RATE = 9_000  # bytes a second that a body comes with at least, beyond that
AT_ONCE = 0.05  # a body that is here by then was sent with its head: it waits for no other
# Bodies of a process that are waited for longer: forms, and Stripe's events apart from them.
SLOW_FORMS = 24
SLOW_EVENTS = 6
SLOW_OF_ONE = 4  # of either, from one client; 1 once half of the places are taken
# Set in the WSGI environment of a request whose body did not come.
LATE = "crossroads.late"


class Intake:
    """WSGI layer that reads a request's body for the app, and lets `at_work` requests at a time in.

    The web server has a number of threads, and reads a body in one of them for as long as the
    client takes. A body that came with its head is taken at once. Few others are waited for, each
    for as long as its length is worth; the rest, and what does not come in time, is given up with
    LATE set. `apart` is the address whose slow bodies have places of their own. A body longer than
    `most` bytes, the largest that any address takes, is not read: the app is to refuse it by its
    length.
    """

    def __init__(self, app: "WSGIApplication", *, most: int, at_work: int, apart: str) -> None:
        self._app = app
        self._most = most
        self._apart = apart
        self._at_work = threading.BoundedSemaphore(at_work)
        self._slow_forms = Slots(SLOW_FORMS)
        self._slow_events = Slots(SLOW_EVENTS)
        self._idle: list[Reader] = []

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> "Iterable[bytes]":
        chunked = "HTTP_TRANSFER_ENCODING" in environ
        length = get_content_length(environ) or 0
        if chunked or 0 < length <= self._most:
            # A server need not end the stream where the body ends (PEP 3333): to ask for more
            # than was announced may mean to wait without an end.
            most = self._most + 1 if chunked else length
            slow = self._slow_events if environ["PATH_INFO"] == self._apart else self._slow_forms
            client = environ.get("REMOTE_ADDR", "")
            body = self._read(environ["wsgi.input"], most, slow, client)
            environ["wsgi.input"] = io.BytesIO(body or b"")
            if body is None:
                environ[LATE] = True
            elif chunked:  # now its length is known, and held against the limit like any other
                del environ["HTTP_TRANSFER_ENCODING"]
                environ["CONTENT_LENGTH"] = str(len(body))
        elif length:  # let go of, or the server would wait with the answer's end for all of it
            environ["wsgi.input"] = io.BytesIO()
        with self._at_work:
            return self._app(environ, start_response)

    def _read(self, stream: "InputStream", most: int, slow: "Slots", client: str) -> bytes | None:
        """Return the body, or None when it did not come in time."""
        try:
            reader = self._idle.pop()
        except IndexError:
            reader = Reader()
        reader.start(stream, most)
        with suppress(Empty):
            return self._done(reader, reader.result(AT_ONCE))
        if slow.take(client):
            try:
                seconds = min(SECONDS, GRACE + most / RATE) - AT_ONCE
                return self._done(reader, reader.result(seconds))
            except Empty:
                pass
            finally:
                slow.give_back(client)
        reader.give_up()
        return None

    def _done(self, reader: "Reader", body: bytes | None) -> bytes | None:
        self._idle.append(reader)
        return body


class Slots:
    """A number of places, of which one client may have a few."""

    def __init__(self, number: int) -> None:
        self._number = self._free = number
        self._taken: Counter[str] = Counter()
        self._lock = threading.Lock()

    def take(self, client: str) -> bool:
        """Take a place if there is one; tell whether."""
        with self._lock:
            most = SLOW_OF_ONE if self._free > self._number / 2 else 1
            if not self._free or self._taken[client] >= most:
                return False
            self._free -= 1
            self._taken[client] += 1
            return True

    def give_back(self, client: str) -> None:
        """Let somebody else have the place."""
        with self._lock:
            self._free += 1
            self._taken[client] -= 1
            if not self._taken[client]:
                del self._taken[client]


class Reader:
    """A thread that reads streams, one after the other: no timeout can be set on those.

    One that was too slow is not used again: it ends with its request's answer.
    """

    def __init__(self) -> None:
        self._streams: SimpleQueue[tuple[InputStream, int] | None] = SimpleQueue()
        self._bodies: SimpleQueue[bytes | None] = SimpleQueue()
        threading.Thread(target=self._run, name="intake", daemon=True).start()

    def start(self, stream: "InputStream", most: int) -> None:
        """Begin to read so many bytes of a stream."""
        self._streams.put((stream, most))

    def result(self, seconds: float) -> bytes | None:
        """Return what the stream holds, None when the client went away.

        Raises queue.Empty after so many seconds.
        """
        return self._bodies.get(timeout=seconds)

    def give_up(self) -> None:
        """End after this stream, which is too slow."""
        self._streams.put(None)

    def _run(self) -> None:
        while (wanted := self._streams.get()) is not None:
            stream, most = wanted
            body = None
            with suppress(Exception):  # the client went away
                body = stream.read(most)
            del stream, wanted  # or it would be held until the next one comes
            self._bodies.put(body)
