"""What each app of a test would compile anew, kept for the next one: addresses and statements.

Both are most of what it costs to build an app and to ask its database for the first time.
"""

from collections.abc import Callable, MutableMapping
from typing import Any

from flask import Flask
from sqlalchemy import Connection, Engine, event
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.util import LRUCache
from werkzeug.routing import Rule

_builders: dict[tuple[object, ...], Callable[..., tuple[str, str]]] = {}
_statements: MutableMapping[Any, Any] = LRUCache(3000)


class KeptRule(Rule):
    """An address whose builder is that of the same address in the app before."""

    def _compile_builder(self, append_unknown: bool = True) -> Callable[..., tuple[str, str]]:
        defaults = tuple((self.defaults or {}).items())
        key = (self.rule, self.subdomain, self.host, defaults, append_unknown)
        if key not in _builders:
            _builders[key] = super()._compile_builder(append_unknown)
        return _builders[key]


def pytest_configure() -> None:
    """Let all apps and engines of this process share what they compile."""
    Flask.url_rule_class = KeptRule
    for kind in (SQLiteDialect_pysqlite, PGDialect_psycopg):
        # Statements are kept by dialect, and every engine has an object of its own for that.
        for name, method in (("__eq__", _same), ("__hash__", _kind)):
            setattr(kind, name, method)
    event.listen(Engine, "engine_connect", _share)


def _share(connection: Connection) -> None:
    connection.execution_options(compiled_cache=_statements)


def _same(dialect: object, other: object) -> bool:
    return type(dialect) is type(other)


def _kind(dialect: object) -> int:
    return hash(type(dialect))
