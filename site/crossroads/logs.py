"""Structured logs: one JSON object a line, with no whole email address and no secret in it."""

import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
from contextlib import suppress
from functools import lru_cache
from typing import Any, TextIO, cast

import structlog

EMAIL = re.compile(r"""([^\s@<>"'(),:;=]{1,64}|"[^"\n]{1,64}")(@|%40)([\w.-]{1,253}|\[\S*?\])""")
# What follows one of these in an address is a key, and belongs to its receiver alone.
KEY = re.compile(r"(/(?:confirm|unsubscribe|waiting-list|orders|enrollments)/)[^\s/?#\"'<>]+")
PLAIN = (int, float, bool, type(None))
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
    """Standard error as it is now, written to if it can be: a full disk must fail no request."""

    def write(self, text: str) -> None:
        with suppress(OSError, ValueError):
            sys.stderr.write(text)

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            sys.stderr.flush()


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
