"""Every fault of Stripe, for use at any call, before or after the work of the call."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path

import pytest
from flask import Flask

from crossroads import create_app, current, settings
from crossroads.payments import connection
from models import db
from tests.support.paths import ROOT
from tests.support.sandbox_server import SandboxServer, start
from tests.support.walks import each

SILENCE = 1  # seconds without a response; PATIENCE is the time that the site waits for one
PATIENCE = (0.2, 0.2)
# Tests place many orders in a short time.
UNLIMITED = dict.fromkeys(
    ("order_limit", "order_address_limit", "order_look_limit"), "100000/minute"
)

DATABASES = ("sqlite", "postgresql")
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
                patch.setattr(connection, "IN_REQUEST", PATIENCE)
            yield
        assert self._sandbox.state()["faults"] == [], "the call was not made"


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
