"""Structured logs: one JSON object per line, without full email addresses and secrets."""

import logging
import os
import re
import socket
import stat
import sys
import threading
from collections.abc import Callable, Mapping, MutableMapping
from contextlib import suppress
from functools import lru_cache
from typing import Any, TextIO, cast

import structlog

EMAIL = re.compile(r"""([^\s@<>"'(),:;=]{1,64}|"[^"\n]{1,64}")(@|%40)([\w.-]{1,253}|\[\S*?\])""")
# What follows one of these in an address is a key, and belongs to its receiver alone.
KEY = re.compile(r"(/(?:confirm|unsubscribe|waiting-list|orders|enrollments)/)[^\s/?#\"'<>]+")
PLAIN = (int, float, bool, type(None))
DROPPED = '{{"event": "log lines dropped", "level": "warning", "count": {count}}}\n'
SECRET_WORDS = ("password", "secret", "token", "authorization", "cookie")


def mask_email(text: str) -> str:
    """Return the text with every email address cut to its first letter: m***@example.com."""
    if "@" not in text and "%40" not in text:
        return text
    return EMAIL.sub(lambda match: match[1].strip('"')[:1] + "***" + match[2] + match[3], text)


def first_line(error: BaseException) -> str:
    """Return what an error says in one line; of a database's, what its driver said.

    The rest of a database error is the statement with its values.
    """
    said = str(getattr(error, "orig", None) or error).strip()
    return mask_email(said.splitlines()[0]) if said else type(error).__name__


def configure(*, json: bool) -> None:
    """Send structlog and the standard library's logging to standard error, masked.

    `json` chooses one JSON object a line; otherwise lines for a person at a terminal.
    """
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        _mask,
    ]
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer(ensure_ascii=False)
        if json
        else structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(),
            # The traceback is text already: masked before it gets here.
            exception_formatter=structlog.dev.plain_traceback,
        )
    )
    structlog.configure(
        processors=[*shared, renderer],
        logger_factory=structlog.WriteLoggerFactory(file=cast(TextIO, _StandardError())),
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(_StandardError())
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)


class _StandardError:
    """Standard error as it is now, written to if it can be: no line may fail or stop a request.

    A full disk refuses the line, a pipe that nobody reads would block. What cannot be
    written at once is dropped, counted, and told of in the next line that can.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pipe = Pipe()
        self._dropped = 0

    def write(self, text: str) -> None:
        with self._lock, suppress(ValueError):  # a stream that is closed
            if self._dropped:
                note = DROPPED.format(count=self._dropped)
                if not self._put(note):
                    self._dropped += 1
                    return
                self._dropped = 0
            if not self._put(text):
                self._dropped += 1

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            sys.stderr.flush()

    def _put(self, text: str) -> bool:
        """Write a text whole or not at all; tell which."""
        try:
            if sys.stderr is sys.__stderr__ and (done := self._pipe.write(text)) is not None:
                return done
            sys.stderr.write(text)
        except OSError:
            return False
        return True


class Pipe:
    """Standard error where it is a pipe, a socket or a file: written to without ever waiting.

    Its own flag is left alone, since other processes share it: a pipe is opened once more, and a
    socket is told with each line. https://man7.org/linux/man-pages/man7/pipe.7.html
    """

    def __init__(self) -> None:
        self._known: tuple[int, int] | None = None  # device and number of what is open
        self._send: Callable[[bytes], int] | None = None
        self._rest = b""  # of a line longer than the pipe had room for

    def write(self, text: str) -> bool | None:
        """Write the text, or return False when there is no room, None for a terminal."""
        found = os.fstat(2)
        if (found.st_dev, found.st_ino) != self._known:
            self._known = found.st_dev, found.st_ino
            self._rest = b""
            self._send = _sender(found.st_mode)
        if self._send is None:
            return None
        try:
            if self._rest:
                self._rest = self._rest[self._send(self._rest) :]
                if self._rest:
                    return False
            data = text.encode("utf-8", "replace")
            self._rest = data[self._send(data) :]
        except BlockingIOError:
            return False
        return True


def _sender(mode: int) -> Callable[[bytes], int] | None:
    if stat.S_ISSOCK(mode):
        held = socket.socket(fileno=os.dup(2))
        return lambda data: held.send(data, socket.MSG_DONTWAIT)
    if stat.S_ISFIFO(mode):
        with suppress(OSError):  # no /proc: not Linux
            again = os.open("/proc/self/fd/2", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            return lambda data: os.write(again, data)
    if stat.S_ISREG(mode):  # past Python's buffer, which keeps what a full disk has refused
        return lambda data: os.write(2, data)
    return None


def _mask(
    _logger: Any, _method: str, event: MutableMapping[str, Any]
) -> Mapping[str, Any] | str | bytes:
    for key, value in event.items():
        if _secret(key):
            event[key] = "***"
        elif isinstance(value, str):
            event[key] = _masked(value)
        elif not isinstance(value, PLAIN):
            event[key] = _masked(str(value)) if not key.startswith("_") else value
    return event


@lru_cache(maxsize=256)  # there are few, and every request's line has the same ones
def _secret(key: str) -> bool:
    return any(word in key.lower() for word in SECRET_WORDS)


def _masked(text: str) -> str:
    return KEY.sub(r"\1***", mask_email(text))
