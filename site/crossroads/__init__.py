"""Crossroads: comparison pages that turn readers into leads. This module only wires."""

import time
from collections.abc import Callable, Hashable
from functools import cache
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import quote, urlsplit

from flask import Flask, Request
from flask.sessions import SecureCookieSession, SecureCookieSessionInterface
from flask_wtf import CSRFProtect
from jinja2 import StrictUndefined
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.routing import RequestRedirect

from crossroads import cli, current, logs
from crossroads import settings as settings_module
from crossroads.admin import access
from crossroads.admin.views import (
    announcements,
    enrollments,
    home,
    leads,
    lost,
    mail,
    orders,
    people,
    session,
)
from crossroads.content import ContentError
from crossroads.content.store import ContentStore
from crossroads.database import page_cache_version
from crossroads.database.group_commit import GroupCommit
from crossroads.leads import consent
from crossroads.middleware import proxies, rate_limits, request_log, security
from crossroads.middleware.body_reader import BodyReader
from crossroads.middleware.page_cache import PageCache
from crossroads.ops.server import BLOCKING_THREADS, WAITING_THREADS
from crossroads.payments import Gateway
from crossroads.settings import Settings
from crossroads.web import errors
from crossroads.web.views import (
    checkout,
    health,
    pages,
    participants,
    signup,
    student,
    waiting_list,
    webhooks,
)
from models import db
from models.base import engine_options, prepare_engine

FORM_BYTES = 64 * 1024
QUARTER_HOUR = 900  # includes midnight in every time zone: then the next start may change


class DeskOnlySessions(SecureCookieSessionInterface):
    """Sessions only under /admin: a visitor of the public site never gets a cookie."""

    def open_session(self, app: Flask, request: Request) -> SecureCookieSession | None:
        if request.path.startswith("/admin"):
            return super().open_session(app, request)
        return None


class Site(Flask):
    """The application: none of its functions is async."""

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        return func  # without Flask's check of each function at each call

    def raise_routing_exception(self, request: Request) -> NoReturn:
        """Redirect to a path of this site: Werkzeug would use the client's Host, and http."""
        error = request.routing_exception
        if isinstance(error, RequestRedirect):
            parts = urlsplit(error.new_url)
            query = f"?{parts.query}" if parts.query else ""
            error.new_url = f"/{parts.path.lstrip('/')}{query}"
        super().raise_routing_exception(request)


def create_app(root: Path, settings: Settings | None = None) -> Flask:
    """Build the site from the folder that holds site/ and templates/.

    Raises SettingsError or ContentError, each with all faults that were found.
    """
    settings = settings or settings_module.load(root)
    logs.configure(json=settings.production)
    app = Site(
        "crossroads",
        root_path=str(root),
        template_folder=str(root / "templates"),
        static_folder=None,
        instance_path=str(settings.instance.resolve()),
    )
    app.config.from_mapping(_configuration(settings))
    app.jinja_env.undefined = StrictUndefined
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.jinja_env.filters["wording_hash"] = consent.wording_hash
    app.session_interface = DeskOnlySessions()
    store = ContentStore(
        root / "site" / "content",
        root / "site" / "static",
        root / "templates",
        watch=not settings.production,
    )
    sqlite = settings.database_url.startswith("sqlite")
    app.extensions[current.KEY] = current.Running(
        settings=settings,
        store=store,
        gateway=Gateway(
            settings.stripe_secret_key, base=settings.stripe_api_base, waiting=WAITING_THREADS
        ),
        commits=GroupCommit(settings.instance / "writer.lock" if sqlite else None),
    )
    app.context_processor(lambda: _template_globals(store, settings))

    request_log.init_app(app, trust_header=settings.trusted_proxies > 0)
    db.init_app(app)
    with app.app_context():
        prepare_engine(db.engine)
    CSRFProtect(app)
    rate_limits.limiter.init_app(app)
    security.init_app(
        app,
        https=settings.base_url.startswith("https://"),
        proxies=proxies.Watch(settings.instance, settings.trusted_proxies),
    )
    access.init_app(app)
    errors.init_app(app, desk=lambda: [(label, path) for label, path, _ in access.menu()])
    public_views = (
        pages,
        signup,
        waiting_list,
        checkout,
        participants,
        student,
        webhooks,
        health,
    )
    admin_views = (
        session,
        home,
        leads,
        people,
        mail,
        announcements,
        orders,
        lost,
        enrollments,
    )
    for view in (*public_views, *admin_views):
        app.register_blueprint(view.bp)
    cli.init_app(app)
    _stack(app, store, settings)
    return app


def _configuration(settings: Settings) -> dict[str, Any]:
    limits = settings.instance.resolve() / "limits.db"
    return {
        "SECRET_KEY": settings.secret_key,
        "SQLALCHEMY_DATABASE_URI": settings.database_url,
        "SQLALCHEMY_ENGINE_OPTIONS": engine_options(settings.database_url, BLOCKING_THREADS),
        "MAX_CONTENT_LENGTH": FORM_BYTES,
        "MAX_FORM_MEMORY_SIZE": FORM_BYTES,
        "MAX_FORM_PARTS": 100,
        "SESSION_COOKIE_NAME": "crossroads_desk",
        "SESSION_COOKIE_PATH": "/admin",
        "SESSION_COOKIE_HTTPONLY": True,
        "SESSION_COOKIE_SAMESITE": "Lax",
        "SESSION_COOKIE_SECURE": settings.base_url.startswith("https://"),
        "TEMPLATES_AUTO_RELOAD": not settings.production,
        "WTF_CSRF_CHECK_DEFAULT": False,  # the desk checks the token; public forms have none
        "WTF_CSRF_TIME_LIMIT": None,  # as long as the sign-in
        "RATELIMIT_STORAGE_URI": f"{rate_limits.SCHEME}://{limits}",
        "RATELIMIT_STRATEGY": "fixed-window",
    }


def _template_globals(store: ContentStore, settings: Settings) -> dict[str, Any]:
    try:
        site: Any = store.content.site
    except ContentError:
        if not errors.showing():
            raise
        site = {"brand": "Crossroads", "navigation": ()}  # enough for the error page
    return {
        "site": site,
        "base_url": settings.base_url,
        "stripe_test": settings.stripe_test,
        "static": lambda name: f"/static/{store.digest}/{name}",
        # Inline, it needs no separate request.
        "favicon": _data_address(store.file("icons/favicon.svg") or b""),
        "canonical": None,
        "share": None,
        "noindex": False,
    }


@cache
def _data_address(svg: bytes) -> str:
    return "data:image/svg+xml," + quote(svg)


def _stack(app: Flask, store: ContentStore, settings: Settings) -> None:
    """Wrap Flask in its WSGI layers: page cache, proxy headers, request bodies."""

    def version() -> Hashable:
        with app.app_context():
            return page_cache_version.current(db.session), int(time.time()) // QUARTER_HOUR

    inner: Any = BodyReader(
        app.wsgi_app,
        most=webhooks.EVENT_BYTES,
        at_work=BLOCKING_THREADS,
        apart="/webhooks/stripe",
    )
    if settings.trusted_proxies:
        inner = ProxyFix(inner, x_for=settings.trusted_proxies, x_proto=settings.trusted_proxies)
    cache = PageCache(
        inner,
        paths=lambda: pages.paths(store.content, store.digest),
        stamp=store.refresh,
        version=version,
        later=pages.LEGAL,
        section=pages.SIGNUP_SECTION,
        base_url=settings.base_url,
    )
    current.of(app).pages = cache
    app.wsgi_app = cache  # type: ignore[method-assign]
