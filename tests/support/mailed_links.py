"""Mail scanners open every link of every mail, some of them twice: this must change nothing."""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from jinja2 import FileSystemBytecodeCache
from sqlalchemy import Engine, event, inspect, select
from sqlalchemy.engine import URL, Connection

from crossroads import create_app, current, settings
from models import Base, db
from tests.support import mail_server
from tests.support.mail_server import Mail
from tests.support.paths import ROOT

SCANNED = ("HEAD", "GET", "HEAD", "GET")

Rows = dict[str, list[str]]


@pytest.fixture
def apps() -> list[Flask]:
    """The sites that a test has built, oldest first."""
    return []


@pytest.fixture(autouse=True)
def opened_links_change_nothing(
    request: pytest.FixtureRequest,
    apps: list[Flask],
    compiled: FileSystemBytecodeCache,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[None]:
    """After a test, open all links in its mails, and assert that its database is unchanged."""
    # Fixtures set up before this one are torn down after it, so databases and servers still run.
    for name in request.fixturenames:
        if name != "opened_links_change_nothing":
            request.getfixturevalue(name)
    used: dict[URL, None] = {}

    def remember(connection: Connection) -> None:
        used[connection.engine.url] = None

    mail_server.received.clear()
    event.listen(Engine, "engine_connect", remember)
    try:
        yield
    finally:
        event.remove(Engine, "engine_connect", remember)
    mails = list(mail_server.received)
    if "instance" in request.fixturenames:
        folder: Path = request.getfixturevalue("instance") / "mail"
        mails += [Mail("", "", file.read_bytes()) for file in folder.glob("*.eml")]
    if not mails:
        return
    for url in used:
        app = next((one for one in reversed(apps) if _url(one) == url), None)
        if app is not None:
            look(app, mails)
            continue
        with _site(url, tmp_path_factory.mktemp("looking"), compiled) as app:
            look(app, mails)


@contextmanager
def _site(database: URL, instance: Path, compiled: FileSystemBytecodeCache) -> Iterator[Flask]:
    """Run the site on the database of a test that built no app."""
    url = database.render_as_string(hide_password=False)
    given = settings.load(ROOT, instance=instance, database_url=url, base_url="http://localhost")
    app = create_app(ROOT, given)
    app.jinja_env.bytecode_cache = compiled
    yield app
    current.of(app).pages.close()
    with app.app_context():
        db.engine.dispose()


def look(app: Flask, mails: Iterable[Mail]) -> None:
    """Open every link of the site in these mails as scanners do; fail if the database changes."""
    with app.app_context():
        engine = db.engine
    if not inspect(engine).has_table("message"):
        return
    paths = links(mails, current.of(app).settings.base_url)
    client = app.test_client()
    for path in paths:
        if path.startswith("/orders/"):  # this page may copy the state at Stripe
            client.get(path).close()
    before = _rows(engine)
    for path in paths:
        for method in SCANNED:
            with client.open(path, method=method) as answer:
                assert answer.status_code < 500, f"{method} {path}"
    after = _rows(engine)
    changed = {table: after[table] for table in before if before[table] != after[table]}
    assert changed == {}, f"opening {paths} changed the database"


def links(mails: Iterable[Mail], base_url: str) -> list[str]:
    """Return the paths of links to the site in the text, the HTML and the headers of mails."""
    ours = re.compile(rf"{re.escape(base_url)}(/[^\s\"'<>)]*)")
    found: dict[str, None] = {}
    for mail in mails:
        message = mail.message
        parts: list[Any] = [
            part for part in message.walk() if part.get_content_maintype() == "text"
        ]
        texts = [unescape(part.get_content()) for part in parts]
        for text in (*texts, *(str(value) for value in message.values())):
            found |= dict.fromkeys(path.rstrip(".,;") for path in ours.findall(text))
    return list(found)


def _rows(engine: Engine) -> Rows:
    with engine.connect() as connection:
        return {
            table.name: sorted(str(row) for row in connection.execute(select(table)))
            for table in Base.metadata.sorted_tables
        }


def _url(app: Flask) -> URL:
    with app.app_context():
        return db.engine.url
