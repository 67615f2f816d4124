"""Compiled routes, statements and templates, shared by all apps of a test process.

Compiling them is most of the cost of a new app and its first queries.
"""

from collections.abc import Callable, MutableMapping
from typing import Any

from flask import Flask
from jinja2 import Environment
from sqlalchemy import Connection, Engine, event
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.util import LRUCache
from werkzeug.routing import Rule

_compile: Callable[..., Any] = Environment.compile
_code: dict[tuple[object, ...], Any] = {}
_builders: dict[tuple[object, ...], Callable[..., tuple[str, str]]] = {}
_statements: MutableMapping[Any, Any] = LRUCache(3000)


class KeptRule(Rule):
    """A route that reuses the URL builder of the same route in an earlier app."""

    def _compile_builder(self, append_unknown: bool = True) -> Callable[..., tuple[str, str]]:
        defaults = tuple((self.defaults or {}).items())
        key = (self.rule, self.subdomain, self.host, defaults, append_unknown)
        if key not in _builders:
            _builders[key] = super()._compile_builder(append_unknown)
        return _builders[key]


def pytest_configure() -> None:
    """Share compiled routes, statements and templates in this process."""
    Flask.url_rule_class = KeptRule
    for kind in (SQLiteDialect_pysqlite, PGDialect_psycopg):
        # SQLAlchemy caches statements by dialect object, and each engine has its own.
        for name, method in (("__eq__", _same), ("__hash__", _kind)):
            setattr(kind, name, method)
    event.listen(Engine, "engine_connect", _share)
    setattr(Environment, _compile.__name__, _compile_once)


def _compile_once(
    self: Environment, source: Any, name: str | None = None, *more: Any, **given: Any
) -> Any:
    """Compile a template once per kind of environment."""
    escaped = self.autoescape(name) if callable(self.autoescape) else self.autoescape
    # Everything that affects the compilation in Jinja.
    key = (
        type(self), source, name, more, *given.items(), escaped, self.trim_blocks,
        self.lstrip_blocks, *sorted(self.extensions), *sorted(self.filters), *sorted(self.tests),
    )  # fmt: skip
    if key not in _code:
        _code[key] = _compile(self, source, name, *more, **given)
    return _code[key]


def _share(connection: Connection) -> None:
    connection.execution_options(compiled_cache=_statements)


def _same(dialect: object, other: object) -> bool:
    return type(dialect) is type(other)


def _kind(dialect: object) -> int:
    return hash(type(dialect))
