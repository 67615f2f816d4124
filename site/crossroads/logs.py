"""Structured logs: one JSON object per line, without full email addresses or secrets."""

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
# In a URL, the part after one of these is a token that only its receiver may know.
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
    """Return the first line of an error's text; for a database error, that of the driver's text.

    The rest of a database error is the statement with its values.
    """
    text = str(getattr(error, "orig", None) or error).strip()
    return mask_email(text.splitlines()[0]) if text else type(error).__name__


def configure(*, json: bool) -> None:
    """Send structlog and the standard library's logging to standard error, masked.

    With `json`, each line is a JSON object; otherwise lines are formatted for a terminal.
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
            # The traceback is already text at this point, and masked.
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
    """The current standard error, written to if possible: no line may fail or block a request.

    A full disk refuses a line, and a pipe that is not read would block. Lines that cannot be
    written at once are dropped and counted; the next line that can be written reports the count.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pipe = Pipe()
        self._dropped = 0

    def write(self, text: str) -> None:
        with self._lock, suppress(ValueError):  # a closed stream
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
        """Write a text; return False when it was dropped."""
        try:
            if sys.stderr is sys.__stderr__ and (done := self._pipe.write(text)) is not None:
                return done
            sys.stderr.write(text)
        except OSError:
            return False
        return True


class Pipe:
    """Standard error as a pipe, a socket or a file: writes never block.

    O_NONBLOCK is not set on the descriptor, because other processes share it: a pipe is opened
    again, and a socket gets a flag per line. https://man7.org/linux/man-pages/man7/pipe.7.html
    """

    def __init__(self) -> None:
        self._known: tuple[int, int] | None = None  # device and inode of the open file
        self._send: Callable[[bytes], int] | None = None
        self._rest = b""  # of a line that did not fit into the pipe

    def write(self, text: str) -> bool | None:
        """Write the text. Returns False when there is no room, and None for a terminal."""
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
    if stat.S_ISREG(mode):  # not through Python's buffer: it keeps text that a full disk refused
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


@lru_cache(maxsize=256)  # the few keys are the same in every request's line
def _secret(key: str) -> bool:
    return any(word in key.lower() for word in SECRET_WORDS)


def _masked(text: str) -> str:
    return KEY.sub(r"\1***", mask_email(text))
