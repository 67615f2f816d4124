"""The content store: pages from memory, static files under versioned URLs, reload on change."""

import gzip
import re
import threading
import time
from pathlib import Path
from typing import Any

import brotli
import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import create_engine, text

from crossroads import current
from crossroads.content import ContentError
from crossroads.content.store import ContentStore
from crossroads.web.views import pages
from tests.support.content_files import rewrite
from tests.support.paths import ROOT
from tests.support.production import PRODUCTION
from tests.support.sandbox_server import eventually

COURSE = "/courses/ai-pm-bootcamp"
POLL = 0.1  # seconds
FOREVER = "public, max-age=31536000, immutable"
STYLE = re.compile(r'<link rel="stylesheet" href="(/static/([0-9a-f]+)/site\.css)"')


def style_of(client: FlaskClient, path: str = "/") -> tuple[str, str]:
    """Return the URL of a page's style sheet, and the digest in it."""
    found = STYLE.search(client.get(path).text)
    assert found
    return found[1], found[2]


def addresses(app: Flask) -> list[str]:
    store = current.of(app).store
    return pages.paths(store.content, store.digest)


def test_every_public_page_is_served_from_memory(app: Flask, client: FlaskClient) -> None:
    for address in addresses(app):
        answer = client.get(address, headers={"Cookie": "crossroads_desk=abc"})
        assert answer.status_code == 200
        assert "X-Request-ID" not in answer.headers, "Flask was asked"
        assert "Set-Cookie" not in answer.headers
        assert answer.headers["Cache-Control"].startswith("public, max-age=")
        assert "Cookie" not in answer.headers.get("Vary", "")
        assert "Content-Disposition" not in answer.headers or address.startswith("/static/")
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]


def test_metrics_count_visits_and_not_renderings(client: FlaskClient) -> None:
    def count(label: str) -> float:
        found = re.search(
            rf"^crossroads_requests_total{{{label}}} (\S+)$", client.get("/metrics").text, re.M
        )
        return float(found[1]) if found else 0

    sent, unchanged, rendered = (
        f'method="GET",route="{route}",status="{status}"'
        for route, status in (("page", 200), ("page", 304), ("/courses/<slug>", 200))
    )
    before = count(sent), count(unchanged), count(rendered)
    etag = ""
    for _ in range(3):
        etag = client.get(COURSE).headers["ETag"]
    client.get(COURSE, headers={"If-None-Match": etag})
    assert (count(sent), count(unchanged)) == (before[0] + 3, before[1] + 1)
    assert count(rendered) == before[2]


def test_static_file_with_current_digest_is_cached_forever(client: FlaskClient) -> None:
    address, digest = style_of(client)
    with client.get(address) as answer:
        assert answer.headers["Cache-Control"] == FOREVER
        assert answer.content_type == "text/css; charset=utf-8"
        assert answer.data == (ROOT / "site" / "static" / "site.css").read_bytes()
    with client.get(f"/static/{digest}/icons/apple-touch-icon.png") as answer:
        assert answer.headers["Cache-Control"] == FOREVER


def test_static_file_with_old_digest_is_served_without_caching(client: FlaskClient) -> None:
    for digest in ("000000000000", "anything"):
        with client.get(f"/static/{digest}/site.css") as answer:
            assert answer.status_code == 200
            assert answer.headers["Cache-Control"] == "no-cache"
            assert answer.data == (ROOT / "site" / "static" / "site.css").read_bytes()
            known = {"If-None-Match": answer.headers["ETag"]}
        assert client.get(f"/static/{digest}/site.css", headers=known).status_code == 304


def test_last_pages_are_served_while_the_database_is_away(
    make_app: Any, postgresql_url: str
) -> None:
    """Pages can still be read, but forms cannot be sent."""
    app: Flask = make_app(database_url=postgresql_url)
    current.of(app).pages.poll = POLL
    client = app.test_client()
    before = {address: client.get(address).data for address in addresses(app)}
    server, _, query = postgresql_url.partition("?")
    admin = create_engine(
        f"{server.rpartition('/')[0]}/postgres?{query}", isolation_level="AUTOCOMMIT"
    )
    name = server.rpartition("/")[2]
    with admin.connect() as connection:
        connection.execute(text(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false"))
        connection.execute(
            text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name"),
            {"name": name},
        )
        assert client.get("/readyz").status_code == 503
        time.sleep(POLL * 4)
        assert {address: client.get(address).data for address in before} == before
        form = {"email": "maria@example.org", "consent": "yes"}
        assert client.post(COURSE, data=form).status_code == 503
        connection.execute(text(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true"))
    admin.dispose()
    assert client.post(COURSE, data=form).status_code == 200


@pytest.mark.parametrize("name", ["site.css", "site.js", "admin.css", "admin.js"])
def test_static_text_is_sent_compressed(client: FlaskClient, name: str) -> None:
    _, digest = style_of(client)
    whole = (ROOT / "site" / "static" / name).read_bytes()
    for encoding, unpack in (("br", brotli.decompress), ("gzip", gzip.decompress)):
        headers = {"Accept-Encoding": encoding}
        with client.get(f"/static/{digest}/{name}", headers=headers) as answer:
            assert answer.headers["Content-Encoding"] == encoding
            assert unpack(answer.data) == whole
            assert len(answer.data) < len(whole)


def test_font_is_sent_uncompressed(client: FlaskClient) -> None:
    _, digest = style_of(client)
    address = f"/static/{digest}/fonts/familjen-grotesk.woff2"
    with client.get(address, headers={"Accept-Encoding": "br"}) as answer:
        assert answer.content_type == "font/woff2"
        assert "Content-Encoding" not in answer.headers
        assert answer.data.startswith(b"wOF2")


@pytest.mark.parametrize(
    "name", ["../content/site.yaml", "%2e%2e/content/site.yaml", "/etc/passwd", "fonts", ".", ""]
)
def test_paths_outside_the_static_folder_are_not_served(client: FlaskClient, name: str) -> None:
    assert client.get(f"/static/x/{name}", follow_redirects=True).status_code == 404
    bare = {"PATH_INFO": f"/static/x/{name}"}
    assert client.get("/", environ_overrides=bare).status_code in (308, 404)


def test_edit_of_content_shows_on_the_next_reload(make_app: Any, site_root: Path) -> None:
    client = make_app(root=site_root).test_client()
    file = site_root / "site" / "content" / "courses" / "ai-pm-bootcamp.yaml"
    before = client.get(COURSE)
    assert "Mondays alone" not in before.text
    rewrite(file, file.read_text().replace("Tuesdays and Thursdays", "Mondays alone"))
    after = client.get(COURSE)
    assert "Mondays alone" in after.text
    assert after.headers["ETag"] != before.headers["ETag"]


def test_new_file_is_a_new_page(make_app: Any, site_root: Path) -> None:
    app = make_app(root=site_root)
    client = app.test_client()
    folder = site_root / "site" / "content" / "courses"
    assert client.get("/courses/second").status_code == 404
    text = (folder / "ai-pm-bootcamp.yaml").read_text()
    (folder / "second.yaml").write_text(text.replace("slug: ai-pm-bootcamp", "slug: second"))
    answer = client.get("/courses/second")
    assert answer.status_code == 200
    assert "X-Request-ID" not in answer.headers, "it is served from memory like the others"
    assert "/courses/second" in client.get("/sitemap.xml").text
    (folder / "second.yaml").unlink()
    assert client.get("/courses/second").status_code == 404


def test_edit_of_a_template_shows_on_the_next_reload(make_app: Any, site_root: Path) -> None:
    client = make_app(root=site_root).test_client()
    file = site_root / "templates" / "pages" / "home.html"
    assert "<hr>" not in client.get("/").text
    rewrite(file, file.read_text().replace("{% block main %}", "{% block main %}<hr>"))
    assert "<hr>" in client.get("/").text


def test_edited_style_sheet_gets_a_new_url(make_app: Any, site_root: Path) -> None:
    client = make_app(root=site_root).test_client()
    file = site_root / "site" / "static" / "site.css"
    old, _ = style_of(client)
    rewrite(file, file.read_text() + "\nbody { color: rebeccapurple }\n")
    new, _ = style_of(client)
    assert new != old
    for address, rule in ((new, FOREVER), (old, "no-cache")):
        with client.get(address) as answer:
            assert "rebeccapurple" in answer.text
            assert answer.headers["Cache-Control"] == rule


def test_temporary_files_of_editors_are_ignored(make_app: Any, site_root: Path) -> None:
    client = make_app(root=site_root).test_client()
    assert client.get("/").status_code == 200
    for folder in ("site/static", "templates/pages"):
        (site_root / folder / ".#site.css").symlink_to("someone@machine.4711")
        (site_root / folder / "4913").write_text("")
    assert client.get("/").status_code == 200


def test_production_ignores_edits_after_the_start(make_app: Any, site_root: Path) -> None:
    client = make_app(root=site_root, **PRODUCTION).test_client()
    before = client.get(COURSE)
    style = style_of(client)
    for name in ("site/content/courses/ai-pm-bootcamp.yaml", "templates/pages/course.html"):
        rewrite(site_root / name, "broken: [")
    css = site_root / "site" / "static" / "site.css"
    rewrite(css, css.read_text() + "\nbody { color: rebeccapurple }\n")
    assert client.get(COURSE).data == before.data
    assert client.get("/").status_code == 200
    assert style_of(client) == style
    with client.get(style[0]) as answer:
        assert "rebeccapurple" not in answer.text


def test_mistake_in_the_content_stops_the_start(make_app: Any, site_root: Path) -> None:
    folder = site_root / "site" / "content" / "courses"
    text = (folder / "ai-pm-bootcamp.yaml").read_text()
    (folder / "ai-pm-bootcamp.yaml").write_text(text.replace("hours_per_week: 6", "hours: 6"))
    (folder / "second.yaml").write_text("slug: [")
    for settings in ({}, PRODUCTION):
        with pytest.raises(ContentError) as caught:
            make_app(root=site_root, **settings)
        lines = str(caught.value).splitlines()
        assert any(line.startswith("site/content/courses/ai-pm-bootcamp.yaml:") for line in lines)
        assert any(line.startswith("site/content/courses/second.yaml:1: ") for line in lines)


def test_threads_never_see_a_partial_edit(site_root: Path) -> None:
    """While files change, each reader gets the old text, the new text or the mistake."""
    folder = site_root / "site" / "content"
    store = ContentStore(folder, site_root / "site" / "static", site_root / "templates", watch=True)
    file = folder / "courses" / "ai-pm-bootcamp.yaml"
    whole = file.read_text()
    title = store.content.courses[0].title
    seen: set[str] = set()
    surprises: list[BaseException] = []
    over = threading.Event()

    def read() -> None:
        while not over.is_set():
            try:
                store.refresh()
                seen.add(store.content.courses[0].title)
            except ContentError as error:
                seen.add(error.problems[0].field)
            except BaseException as error:
                surprises.append(error)
                raise

    def edit(words: str, text: str) -> None:
        seen.clear()
        rewrite(file, text)
        eventually(lambda: words in seen or surprises)

    edits = {
        "hours_per_week": whole.replace("hours_per_week: 6", "hours_per_week: many"),
        **{f"Edit {number}": whole.replace(title, f"Edit {number}") for number in range(3)},
    }
    readers = [threading.Thread(target=read) for _ in range(4)]
    for reader in readers:
        reader.start()
    try:
        for words, text in 3 * [*edits.items()]:
            edit(words, text)
            assert seen <= {title, *edits}
    finally:
        over.set()
        for reader in readers:
            reader.join()
    assert surprises == []
