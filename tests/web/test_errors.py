"""Error pages: the right status, the design of the site, and useful links only."""

import re
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from models import Lead
from tests.support.content_files import rewrite
from tests.support.desk_visits import PASSWORD, desk
from tests.support.production import PRODUCTION
from tests.support.purchases import ENROLL, typed, words

AWAY = "postgresql://nobody:hunter2@127.0.0.1:1/nothing"
FORM = {"email": "maria@example.org", "name": "Maria Lopez", "consent": "yes"}


def is_error_page(answer: TestResponse, status: int) -> None:
    """Assert what every error page must have."""
    assert answer.status_code == status
    assert answer.headers["Cache-Control"] == "no-store"
    assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
    assert "Set-Cookie" not in answer.headers
    page = answer.text
    assert "<title>Error: " in page
    assert f"Error {status}" in page
    assert '<header class="top">' in page
    assert '<footer class="foot">' in page
    assert '<meta name="robots" content="noindex">' in page
    assert f"Reference: <code>{answer.headers['X-Request-ID']}</code>" in page
    for inside in ("Traceback", ".py", "sqlalchemy", "hunter2"):
        assert inside not in page


def kept(answer: TestResponse) -> dict[str, str]:
    """Return the fields that an error page offers to send again."""
    return dict(re.findall(r'type="hidden" name="([^"]*)" value="([^"]*)"', answer.text))


def ways(answer: TestResponse) -> list[str]:
    """Return the links that an error page offers."""
    (listed,) = re.findall(r'<ul class="ways".*?</ul>', answer.text)
    return re.findall(r'href="([^"]*)"', listed)


@pytest.fixture
def breaking(app: Flask) -> FlaskClient:
    """A site with a page and a form that raise an error."""

    def break_down() -> str:
        raise RuntimeError("a fuse blew, hunter2")

    app.add_url_rule("/break", view_func=break_down, methods=["GET", "POST"])
    app.add_url_rule("/admin/break", "admin_break", break_down, methods=["GET", "POST"])
    return app.test_client()


@pytest.fixture
def away(make_app: Any) -> FlaskClient:
    """A site with an unreachable database."""
    client: FlaskClient = make_app(database_url=AWAY).test_client()
    return client


def test_unknown_address_is_not_found(client: FlaskClient) -> None:
    for path in ("/nothing", "/compare/nothing", "/courses/nothing", "/static/abc/nothing.css"):
        answer = client.get(path)
        is_error_page(answer, 404)
        assert "no page at this address" in answer.text
        assert 'href="/compare"' in answer.text


def test_wrong_method_is_refused_with_the_allowed_ones(client: FlaskClient) -> None:
    answer = client.put("/")
    is_error_page(answer, 405)
    assert "POST" in answer.headers["Allow"]


def test_form_from_another_site_is_refused(client: FlaskClient) -> None:
    answer = client.post("/signup", data=FORM, headers={"Sec-Fetch-Site": "cross-site"})
    is_error_page(answer, 403)
    assert "came from another site" in answer.text
    assert 'href="/signup"' in answer.text
    assert kept(answer) == {}, "what another site wrote is not offered to be sent"


def test_too_large_form_is_refused(client: FlaskClient) -> None:
    for form in ({**FORM, "name": "x" * 70_000}, {**FORM, "name": "\U0001f600" * 20_000}):
        answer = client.post("/signup", data=form)
        is_error_page(answer, 413)
        assert "shorten what you typed" in answer.text


def test_server_error_keeps_the_form(breaking: FlaskClient) -> None:
    answer = breaking.post("/break?utm_source=mail", data=FORM)
    is_error_page(answer, 500)
    assert "Our fault" in answer.text
    assert "nothing was saved" in answer.text
    assert kept(answer) == FORM
    assert 'action="/break?utm_source=mail#signup"' in answer.text
    assert "form-action 'self';" in answer.headers["Content-Security-Policy"]
    assert "<dt>Email address</dt><dd>maria@example.org</dd>" in answer.text


def test_server_error_on_a_page_offers_no_form(breaking: FlaskClient) -> None:
    answer = breaking.get("/break?email=maria@example.org")
    is_error_page(answer, 500)
    assert "<form" not in answer.text


def test_error_page_does_not_repeat_a_password(breaking: FlaskClient) -> None:
    form = {"email": "maria@example.org", "password": PASSWORD, "csrf_token": "abc"}
    answer = breaking.post("/admin/break", data=form)
    is_error_page(answer, 500)
    assert kept(answer) == {}
    assert PASSWORD not in answer.text
    answer = breaking.post("/break", data=form)
    assert kept(answer) == {"email": "maria@example.org"}
    assert PASSWORD not in answer.text


def test_form_is_kept_while_the_database_is_away(away: FlaskClient) -> None:
    answer = away.post("/compare/ai-product-manager-vs-traditional-product-manager", data=FORM)
    is_error_page(answer, 503)
    assert "cannot save anything just now" in answer.text
    assert int(answer.headers["Retry-After"]) == 5
    assert "5 seconds" in answer.text
    assert kept(answer) == FORM


def test_pages_without_data_work_while_the_database_is_away(away: FlaskClient) -> None:
    for path in ("/", "/compare", "/signup", "/privacy", "/robots.txt"):
        assert away.get(path).status_code == 200
    is_error_page(away.get("/courses/ai-pm-bootcamp"), 503)
    is_error_page(away.get("/confirm/" + "t" * 32), 503)


def test_button_of_a_mailed_link_can_be_sent_again(away: FlaskClient) -> None:
    answer = away.post("/unsubscribe/" + "t" * 32, data={"action": "undo"})
    is_error_page(answer, 503)
    assert kept(answer) == {"action": "undo"}
    assert "Try again" in answer.text
    assert "What you typed" not in answer.text


def test_desk_shows_an_error_page_while_the_database_is_away(app: Flask, instance: Path) -> None:
    browser = desk(app)
    assert browser.get("/admin/leads").status_code == 200
    for file in list(instance.glob("crossroads.db*")):
        file.unlink()
    for path in ("/admin/", "/admin/leads", "/admin/login"):
        answer = browser.get(path)
        is_error_page(answer, 503)
    answer = browser.post("/admin/login", data={"email": "a@b.c", "password": PASSWORD})
    is_error_page(answer, 503)
    assert PASSWORD not in answer.text


@pytest.mark.parametrize(
    ("role", "shut", "open_page"),
    [("finance", "/admin/leads", "/admin/orders"), ("marketer", "/admin/orders", "/admin/leads")],
)
def test_section_that_a_role_may_not_open_is_refused(
    app: Flask, role: str, shut: str, open_page: str
) -> None:
    """The error page links only to sections that the role may open."""
    browser = desk(app, role)
    answer = browser.get(shut)
    is_error_page(answer, 403)
    paths = ways(answer)
    assert {open_page, "/admin/"} <= set(paths)
    assert shut not in paths
    assert {browser.get(path).status_code for path in paths} == {200}


def test_unknown_desk_address_lists_sections_only_after_sign_in(app: Flask) -> None:
    assert ways(app.test_client().get("/admin/nothing")) == ["/admin/"]
    assert "/admin/leads" in ways(desk(app).get("/admin/nothing"))


def test_enroll_form_says_nothing_was_charged_without_a_database(
    app: Flask, away: FlaskClient
) -> None:
    form = typed(app.test_client())
    answer = away.post(ENROLL, data=form)
    is_error_page(answer, 503)
    read = words(answer.text)
    assert "Nothing was charged for this order" in read
    assert "Sent again, it is still one order." in read
    assert f'<form method="post" action="{ENROLL}"' in answer.text
    assert kept(answer) == form
    policy = answer.headers["Content-Security-Policy"]
    assert "form-action 'self' https://checkout.stripe.com" in policy
    asked = away.get(ENROLL)
    is_error_page(asked, 503)
    assert "Nothing was charged" in words(asked.text)
    assert ENROLL in ways(asked)


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_order_page_says_not_to_pay_again_without_a_database(
    away: FlaskClient, method: str
) -> None:
    path = "/orders/" + "t" * 32
    answer = away.open(path, method=method, data={"action": "pay"} if method == "POST" else None)
    is_error_page(answer, 503)
    read = words(answer.text)
    assert "If you have paid on Stripe's page, do not pay again" in read
    assert "Nothing was saved" not in read
    if method == "GET":
        assert path in ways(answer)
    else:
        assert f'<form method="post" action="{path}"' in answer.text
        assert kept(answer) == {"action": "pay"}


def test_server_error_on_the_enroll_page_says_nothing_was_charged(
    make_app: Any, site_root: Path
) -> None:
    (site_root / "templates" / "checkout" / "enroll.html").write_text("{{ nobody.knows }}")
    client = make_app(root=site_root, **PRODUCTION).test_client()
    for answer in (client.get(ENROLL), client.post(ENROLL, data={"name": "Maria"})):
        is_error_page(answer, 500)
        assert "Our fault Nothing was charged for this order" in words(answer.text)


def test_refused_enroll_form_links_to_the_enroll_page(client: FlaskClient) -> None:
    answer = client.post(ENROLL, data=FORM, headers={"Sec-Fetch-Site": "cross-site"})
    is_error_page(answer, 403)
    assert ENROLL in ways(answer)


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ("/compare/", "/compare"),
        ("/signup/", "/signup"),
        ("/courses/ai-pm-bootcamp/", "/courses/ai-pm-bootcamp"),
        ("/compare/?utm_source=mail&x=%26", "/compare?utm_source=mail&x=%26"),
        ("//signup/", "/signup"),
        ("/signup///", "/signup"),
        ("/compare/a%0d%0aSet-Cookie:%20x=1/", "/compare/a%0D%0ASet-Cookie%3A%20x%3D1"),
    ],
)
def test_extra_slash_is_removed_by_a_redirect(client: FlaskClient, asked: str, told: str) -> None:
    path, _, query = asked.partition("?")
    answer = client.get("/", query_string=query, environ_overrides={"PATH_INFO": unquote(path)})
    assert answer.status_code == 308
    assert answer.headers["Location"] == told
    assert answer.headers["Cache-Control"] == "no-store"


def test_redirect_to_add_a_slash_ignores_the_host_header(
    client: FlaskClient,
) -> None:
    answer = client.get("/admin?utm_source=mail", headers={"Host": "evil.example"})
    assert answer.status_code == 308
    assert answer.headers["Location"] == "/admin/?utm_source=mail"


@pytest.mark.parametrize("path", ["/nothing/", "//evil.example/", "/\\evil.example/", "/static/"])
def test_extra_slash_does_not_redirect_to_another_site(client: FlaskClient, path: str) -> None:
    is_error_page(client.get("/", environ_overrides={"PATH_INFO": path}), 404)


def test_form_sent_to_an_address_with_a_slash_is_not_redirected(
    client: FlaskClient,
) -> None:
    is_error_page(client.post("/signup/", data=FORM), 404)


def test_mistake_in_the_content_is_shown_with_file_and_line(make_app: Any, site_root: Path) -> None:
    client = make_app(root=site_root).test_client()
    file = site_root / "site" / "content" / "courses" / "ai-pm-bootcamp.yaml"
    whole = file.read_text()
    assert client.get("/courses/ai-pm-bootcamp").status_code == 200
    rewrite(file, whole.replace("hours_per_week: 6", "hours_per_week: many"))
    line = whole[: whole.index("hours_per_week")].count("\n") + 1
    for answer in (
        client.get("/courses/ai-pm-bootcamp"),
        client.get("/"),
        client.get("/signup"),
        client.post("/signup", data=FORM),
    ):
        is_error_page(answer, 500)
        assert f"content/courses/ai-pm-bootcamp.yaml:{line}: hours_per_week: " in answer.text
    is_error_page(client.get("/nothing"), 404)
    rewrite(file, whole)
    assert client.get("/courses/ai-pm-bootcamp").status_code == 200


@pytest.mark.parametrize(
    ("mistake", "told"),
    [
        ("{% if %}", "Expected an expression"),
        ("{{ nobody.knows }}", "&#39;nobody&#39; is undefined"),
        ("{{ 1 / 0 }}", "division by zero"),
        ("{{ ui.nothing() }}", "has no attribute &#39;nothing&#39;"),
        ("{% include 'not-there.html' %}", "not-there.html"),
    ],
)
def test_mistake_in_a_template_is_shown_with_file_and_line(
    make_app: Any, site_root: Path, mistake: str, told: str
) -> None:
    client = make_app(root=site_root).test_client()
    file = site_root / "templates" / "pages" / "home.html"
    whole = file.read_text()
    assert client.get("/").status_code == 200
    before, block, after = whole.partition("{% block main %}")
    rewrite(file, f"{before}{block}\n\n{mistake}\n{after}")
    answer = client.get("/")
    is_error_page(answer, 500)
    line = before.count("\n") + 3
    assert f"<code>templates/pages/home.html:{line}: " in answer.text
    assert told in answer.text
    rewrite(file, whole)
    assert client.get("/").status_code == 200


@pytest.mark.parametrize("name", ["base.html", "errors/error.html", "macros.html"])
def test_mistake_in_a_shared_template_is_shown_with_file_and_line(
    make_app: Any, site_root: Path, name: str
) -> None:
    client = make_app(root=site_root).test_client()
    file = site_root / "templates" / name
    whole = file.read_text()
    rewrite(file, f"<p>\n{{% if %}}\n{whole}")
    for path, status in (("/nothing", 404), ("/", 500)):
        if name == "errors/error.html" and path == "/":
            continue  # this page does not use the broken template
        answer = client.get(path)
        assert answer.status_code == status
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Request-ID"] in answer.text
        assert "Traceback" not in answer.text
    if name != "errors/error.html":
        assert f"templates/{name}:2: " in answer.text
    rewrite(file, whole)
    is_error_page(client.get("/nothing"), 404)


def test_visitor_in_production_sees_no_file_names(make_app: Any, site_root: Path) -> None:
    (site_root / "templates" / "pages" / "home.html").write_text("{% if %}")
    client = make_app(root=site_root, **PRODUCTION).test_client()
    answer = client.get("/")
    is_error_page(answer, 500)
    assert "Our fault" in answer.text
    assert "home.html" not in answer.text


def test_head_of_an_error_has_no_body(client: FlaskClient) -> None:
    answer = client.head("/nothing")
    assert answer.status_code == 404
    assert answer.data == b""


def test_form_sent_again_from_an_error_page_is_stored(
    make_app: Any, session: Session, instance: Path
) -> None:
    """The fields on an error page have the same result as the form itself."""
    app: Flask = make_app(signup_limit="1/minute")
    client = app.test_client()
    client.post("/signup", data={**FORM, "email": "first@example.org"})
    stopped = client.post("/signup", data={**FORM, "utm_source": "mail"})
    assert stopped.status_code == 429
    for file in instance.glob("limits.db*"):
        file.unlink()
    app = make_app()
    assert app.test_client().post("/signup", data=kept(stopped)).status_code == 200
    lead = session.query(Lead).filter_by(email="maria@example.org").one()
    assert (lead.name, lead.utm_source) == ("Maria Lopez", "mail")
