"""What comes with a request, taken in before Flask sees it: in time, and by few threads at once."""

import io
import threading
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from werkzeug.wsgi import get_content_length

if TYPE_CHECKING:
    from collections.abc import Iterable

    from _typeshed.wsgi import InputStream, StartResponse, WSGIApplication, WSGIEnvironment

SECONDS = 10.0  # for a whole form: 64 KB over a bad phone line
TURN = 0.2  # seconds that a form may wait for others to be read
# Set in the WSGI environment of a request whose body did not come.
LATE = "crossroads.late"


class Intake:
    """WSGI layer that reads a request's body for the app, `at_once` of them at a time.

    The web server has few threads, and reads a body in one of them for as long as the client
    takes: a handful of clients that send half a form would hold them all, and no page be served.
    A body that is not there in time is given up, with LATE set. One longer than `most` bytes, the
    largest that any address takes, is not read: the app is to refuse it by its length.
    """

    def __init__(self, app: "WSGIApplication", *, most: int, at_once: int) -> None:
        self._app = app
        self._most = most
        self._turns = threading.BoundedSemaphore(at_once)
        self._idle: list[Reader] = []

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> "Iterable[bytes]":
        chunked = "HTTP_TRANSFER_ENCODING" in environ
        length = get_content_length(environ) or 0
        if chunked or 0 < length <= self._most:
            # A server need not end the stream where the body ends (PEP 3333): to ask for more
            # than was announced may mean to wait for ever.
            body = self._read(environ["wsgi.input"], self._most + 1 if chunked else length)
            environ["wsgi.input"] = io.BytesIO(body or b"")
            if body is None:
                environ[LATE] = True
            elif chunked:  # now its length is known, and held against the limit like any other
                del environ["HTTP_TRANSFER_ENCODING"]
                environ["CONTENT_LENGTH"] = str(len(body))
        elif length:  # let go of, or the server would wait with the answer's end for all of it
            environ["wsgi.input"] = io.BytesIO()
        return self._app(environ, start_response)

    def _read(self, stream: "InputStream", most: int) -> bytes | None:
        """Return the body, or None when it did not come in time."""
        if not self._turns.acquire(timeout=TURN):
            return None
        try:
            reader = self._idle.pop() if self._idle else Reader()
            try:
                body = reader.read(stream, most, SECONDS)
            except Empty:
                return None
            self._idle.append(reader)
            return body
        finally:
            self._turns.release()


class Reader:
    """A thread that reads streams, one after the other: no timeout can be set on those.

    One that was too slow is not used again: it ends with its request's answer.
    """

    def __init__(self) -> None:
        self._streams: SimpleQueue[tuple[InputStream, int]] = SimpleQueue()
        self._bodies: SimpleQueue[bytes | None] = SimpleQueue()
        self._late = False
        threading.Thread(target=self._run, name="intake", daemon=True).start()

    def read(self, stream: "InputStream", most: int, seconds: float) -> bytes | None:
        """Return what a stream holds, None when the client went away.

        Raises queue.Empty after so many seconds.
        """
        self._streams.put((stream, most))
        try:
            return self._bodies.get(timeout=seconds)
        except Empty:
            self._late = True
            raise

    def _run(self) -> None:
        while not self._late:
            stream, most = self._streams.get()
            body = None
            with suppress(Exception):  # the client went away
                body = stream.read(most)
            del stream  # or it would be held until the next one comes
            self._bodies.put(body)
