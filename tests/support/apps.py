"""Apps for tests, each with its own database and instance folder."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from jinja2 import FileSystemBytecodeCache
from sqlalchemy.orm import Session

from crossroads import create_app, current, settings
from models import db
from tests.support.paths import ROOT
from tests.support.people import SUPPRESSION_KEY


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> FileSystemBytecodeCache:
    """Compiled templates, shared by all apps of the test process."""
    return FileSystemBytecodeCache(str(tmp_path_factory.mktemp("compiled")))


@pytest.fixture
def make_app(
    request: pytest.FixtureRequest,
    instance: Path,
    compiled: FileSystemBytecodeCache,
    apps: list[Flask],
) -> Iterator[Any]:
    """Build apps with the given settings on their own instance folder; close them afterwards."""

    def make(*, root: Path = ROOT, **given: Any) -> Flask:
        if "database_url" not in given:
            given["database_url"] = request.getfixturevalue("sqlite_url")
        given.setdefault("base_url", "http://localhost")
        given.setdefault("signup_limit", "100000/minute")
        given.setdefault("address_limit", "100000/minute")
        given.setdefault("order_limit", "100000/minute")
        given.setdefault("order_address_limit", "100000/minute")
        given.setdefault("order_look_limit", "100000/minute")
        given.setdefault("suppression_key", SUPPRESSION_KEY)
        app = create_app(root, settings.load(root, instance=instance, **given))
        app.jinja_env.bytecode_cache = compiled
        if root == ROOT:  # no test edits these files: do not check them at every request
            current.of(app).store.watch = app.jinja_env.auto_reload = False
        apps.append(app)
        return app

    yield make
    for app in apps:
        current.of(app).pages.close()
        with app.app_context():
            db.session.remove()
            db.engine.dispose()


@pytest.fixture
def app(make_app: Any) -> Flask:
    """The site in development, on SQLite."""
    built: Flask = make_app()
    return built


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def session(app: Flask) -> Iterator[Session]:
    """A database session separate from the requests of the app."""
    with app.app_context():
        engine = db.engine
    with Session(engine, expire_on_commit=False) as session:
        yield session


@pytest.fixture
def site_root(tmp_path: Path) -> Path:
    """A copy of the files that create_app reads, for a test to edit."""
    root = tmp_path / "root"
    for name in ("site/content", "site/static", "templates"):
        shutil.copytree(ROOT / name, root / name)
    return root
