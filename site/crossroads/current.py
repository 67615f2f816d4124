"""The services of the running app: settings, content, gateway, pages and group commit.

The only module that looks into Flask's `current_app.extensions` for them.
"""

from dataclasses import dataclass, field
from typing import Any, Final, cast

from flask import Flask, current_app

from crossroads.content import Content
from crossroads.content.store import ContentStore
from crossroads.database.group_commit import GroupCommit, Store
from crossroads.middleware.page_cache import PageCache
from crossroads.payments import Gateway
from crossroads.settings import Settings
from models import db

KEY: Final = "crossroads"


@dataclass(kw_only=True)
class Running:
    """The services that create_app builds once for an app. `pages` is set with its middleware."""

    settings: Settings
    store: ContentStore
    gateway: Gateway
    commits: GroupCommit
    pages: PageCache = field(init=False)


def of(app: Flask) -> Running:
    """Return the services of an app."""
    return cast(Running, app.extensions[KEY])


def settings() -> Settings:
    """Return the settings of the running app."""
    return of(current_app).settings


def store() -> ContentStore:
    """Return the content store of the running app."""
    return of(current_app).store


def content() -> Content:
    """Return the content of the running app. Raises ContentError if it cannot be used."""
    return store().content


def gateway() -> Gateway:
    """Return the gateway of the running app."""
    return of(current_app).gateway


def pages() -> PageCache:
    """Return the page cache of the running app."""
    return of(current_app).pages


def commit(store: Store, item: Any) -> None:
    """Commit an item through the running app's group commit, and return when it is durable."""
    of(current_app).commits.commit(db.session, store, item)
