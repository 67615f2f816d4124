"""Every fault of Stripe, for use at any call, before or after the work of the call."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from fnmatch import fnmatch
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from flask import Flask
from requests import PreparedRequest, Response
from requests.adapters import HTTPAdapter

from crossroads import create_app, current, settings
from crossroads.payments.deadline import limited
from models import db
from tests.support.databases import DATABASES
from tests.support.paths import ROOT
from tests.support.sandbox_server import SandboxServer, eventually, start
from tests.support.walks import each

SILENCE = 1  # seconds without a response
PATIENCE = 0.2  # seconds that the site waits for the response of the struck call alone
# Tests place many orders in a short time.
UNLIMITED = dict.fromkeys(
    ("order_limit", "order_address_limit", "order_look_limit"), "100000/minute"
)

SILENT = ("timeout", "slow", "trickle")
SPOILED = ("timeout", "trickle", "reset", "500", "html", "truncated", "garbage", "wrong")
BEFORE_THE_WORK = [(kind, False) for kind in (*SPOILED, "429", "slow")]
AFTER_THE_WORK = [(kind, True) for kind in SPOILED]


class Trouble:
    """A fault at one call: all calls before and after it work."""

    def __init__(self, sandbox: SandboxServer, kind: str, after: bool) -> None:
        self.kind = kind
        self.after = after
        self._sandbox = sandbox

    @contextmanager
    def at(self, method: str, path: str) -> Iterator[None]:
        silent = self.kind in SILENT
        self._sandbox.control(
            "fault", kind=self.kind, after=self.after, method=method, path=path,
            seconds=SILENCE if silent else 0,
        )  # fmt: skip
        with pytest.MonkeyPatch.context() as patch:
            if silent:
                patch.setattr(HTTPAdapter, "send", _impatient(method, path))
            yield
        eventually(lambda: self._sandbox.state()["faults"] == [])  # otherwise no call was made


def _impatient(method: str, path: str) -> Callable[..., Response]:
    """Return a `send` that waits only PATIENCE for the calls at a path, and as usual for others."""
    usual = HTTPAdapter.send

    def send(adapter: HTTPAdapter, request: PreparedRequest, **given: Any) -> Response:
        if request.method != method or not fnmatch(urlsplit(request.url or "").path, path):
            return usual(adapter, request, **given)
        connect, _ = given["timeout"]
        with limited(PATIENCE):
            return usual(adapter, request, **{**given, "timeout": (connect, PATIENCE)})

    return send


@pytest.fixture
def trouble(request: pytest.FixtureRequest, sandbox: SandboxServer) -> Trouble:
    return Trouble(sandbox, *request.param)


def _each(*faults: tuple[str, bool], first: int) -> pytest.MarkDecorator:
    """Parametrize a test with these faults, on SQLite and PostgreSQL in turn.

    `first` is the first case of a partial walk.
    """
    struck = [(DATABASES[number % 2], fault) for number, fault in enumerate(faults)]
    struck = each(struck, 3, first)
    names = [f"{kind} {'after' if after else 'before'}, {name}" for name, (kind, after) in struck]
    return pytest.mark.parametrize(("app", "trouble"), struck, ids=names, indirect=True)


struck = pytest.mark.parametrize("trouble", [*BEFORE_THE_WORK, *AFTER_THE_WORK], indirect=True)
looking = _each(*BEFORE_THE_WORK, first=1)
acting = _each(*BEFORE_THE_WORK, *AFTER_THE_WORK, first=0)


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxServer]:
    """One Stripe sandbox for the whole module."""
    server = start(tmp_path_factory.mktemp("sandbox"))
    yield server
    server.stop()


@pytest.fixture(scope="module")
def sites(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, sandbox: SandboxServer
) -> Iterator[Callable[[str], Flask]]:
    """One site per database for the whole module, built on first use."""
    with ExitStack() as stack:

        @cache
        def site(database: str) -> Flask:
            folder: Path = tmp_path_factory.mktemp("instance")
            if database == "sqlite":
                template = request.getfixturevalue("sqlite_template")
                shutil.copyfile(template, folder / "crossroads.db")
                url = f"sqlite:///{folder / 'crossroads.db'}"
            else:
                stock = request.getfixturevalue("stock")
                url = stock.take()
                stack.callback(stock.give_back, url)
            given = {"base_url": "http://localhost", "stripe_api_base": sandbox.url, **UNLIMITED}
            built = create_app(
                ROOT, settings.load(ROOT, instance=folder, database_url=url, **given)
            )
            stack.callback(close, built)
            return built

        yield site


def close(app: Flask) -> None:
    current.of(app).pages.close()
    with app.app_context():
        db.engine.dispose()


@pytest.fixture
def app(request: pytest.FixtureRequest, sites: Callable[[str], Flask]) -> Flask:
    """The site on the database of the test."""
    return sites(request.param)
