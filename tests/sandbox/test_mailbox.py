"""The mailbox: shows captured mail unchanged and runs none of it."""

import re
from html import unescape
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from werkzeug.test import Client

from sandbox.app import create_sandbox
from sandbox.mailbox import create_mailbox
from tests.support.mailbox import MAIL, put

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "mail"
    folder.mkdir()
    return folder


@pytest.fixture
def mailbox(folder: Path) -> FlaskClient:
    return create_mailbox(folder).test_client()


def shown(html: str) -> str:
    """Return the text of a page."""
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", html)))


def test_list_shows_recipient_subject_and_time_newest_first(
    folder: Path, mailbox: FlaskClient
) -> None:
    put(folder, "old.eml", MAIL.replace("Confirm your email", "The older one"), age=60)
    put(folder, "new.eml")
    words = shown(mailbox.get("/").text)
    assert words.index("Confirm your email") < words.index("The older one")
    assert "To maria@example.com" in words
    assert "From The AI Internship <hello@example.com>" in words
    assert "Sep 21, 14:13:20 UTC" in words
    assert "2 emails, newest first" in words


def test_list_says_that_it_is_for_development(mailbox: FlaskClient) -> None:
    assert "For development only" in mailbox.get("/").text


def test_list_reloads_until_stopped(mailbox: FlaskClient) -> None:
    html = mailbox.get("/").text
    assert '<meta http-equiv="refresh" content="5">' in html
    assert '<a href="?still">Stop reloading</a>' in html
    assert "http-equiv" not in mailbox.get("/?still").text


def test_empty_mailbox_explains_itself(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "not made yet"):
        answer = create_mailbox(folder).test_client().get("/")
        assert answer.status_code == 200
        assert "No email yet" in answer.text


def test_long_list_shows_the_newest_and_the_number_of_all(
    folder: Path, mailbox: FlaskClient
) -> None:
    for number in range(103):
        put(folder, f"{number}.eml", age=number)
    html = mailbox.get("/").text
    assert html.count("<li>") == 100
    assert "The 100 newest of 103 emails" in html
    assert "/102.eml" not in html


def test_email_shows_headers_text_and_html(folder: Path, mailbox: FlaskClient) -> None:
    put(folder, "one.eml")
    html = mailbox.get("/one.eml").text
    words = shown(html)
    for fact in ("Confirm your email", "maria@example.com", "multipart/alternative"):
        assert fact in words
    assert '<a href="http://localhost/confirm/token"' in html
    assert 'src="/one.eml/html"' in html
    assert 'sandbox="allow-popups allow-popups-to-escape-sandbox"' in html
    assert "Confirm my email" in mailbox.get("/one.eml/html").text


def test_links_of_the_html_part_open_new_windows(folder: Path, mailbox: FlaskClient) -> None:
    put(folder, "one.eml")
    html = mailbox.get("/one.eml/html").text
    assert html.startswith('<!doctype html><html lang="en"><head><base target="_blank"><title>')


def test_html_part_runs_no_script(folder: Path, mailbox: FlaskClient) -> None:
    put(folder, "one.eml", MAIL.replace("<body>", "<body><script>alert(1)</script>"))
    policy = mailbox.get("/one.eml/html").headers["Content-Security-Policy"]
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == "'none'"
    assert rules["style-src"] == "'unsafe-inline'"
    assert rules["sandbox"] == "allow-popups allow-popups-to-escape-sandbox"
    assert rules["frame-ancestors"] == "'self'"
    assert "script-src" not in rules
    for page in ("/", "/one.eml"):
        own = mailbox.get(page).headers["Content-Security-Policy"]
        assert "'unsafe-inline'" not in own
        assert "default-src 'none'" in own


def test_markup_in_headers_and_text_is_escaped(folder: Path, mailbox: FlaskClient) -> None:
    evil = "<script>alert(1)</script>"
    put(folder, "one.eml", MAIL.replace("Confirm your email", evil).replace("Confirm here", evil))
    for page in ("/", "/one.eml"):
        html = mailbox.get(page).text
        assert "<script" not in html
        assert "&lt;script&gt;" in html


def test_raw_file_is_downloaded_unchanged(folder: Path, mailbox: FlaskClient) -> None:
    put(folder, "one.eml")
    with mailbox.get("/one.eml/raw") as answer:
        assert answer.data == MAIL.encode()
        assert answer.mimetype == "message/rfc822"
        assert answer.headers["Content-Disposition"].startswith("attachment")


BROKEN = {
    "empty": b"",
    "words": b"this is no mail at all",
    "bytes": bytes(range(256)) * 20,
    "zeros": b"\0" * 5000,
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
def test_broken_file_is_shown_as_broken(folder: Path, mailbox: FlaskClient, content: bytes) -> None:
    put(folder, "broken.eml", content)
    put(folder, "whole.eml")
    words = shown(mailbox.get("/").text)
    assert "Broken: broken.eml" in words
    assert "Confirm your email" in words
    page = mailbox.get("/broken.eml")
    assert page.status_code == 200
    assert "Broken email" in page.text
    with mailbox.get("/broken.eml/raw") as answer:
        assert answer.data == content


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('text/html; charset="utf-8"', 'text/html; charset="no-such-charset"'),
        ('text/html; charset="utf-8"', 'text/html; charset="utf-8"\nContent-Transfer-Encoding: x'),
        ('boundary="=="', 'boundary="other"'),
        ("To: maria@example.com", "To: <<<@@@>>>,,;:"),
        ("To: maria@example.com", "To: =?utf-8?b?////?= <x"),
        ("Subject: Confirm your email", "Subject: =?no-such?q?=FF?="),
    ],
)
def test_unusual_mail_is_shown(folder: Path, mailbox: FlaskClient, before: str, after: str) -> None:
    assert before in MAIL
    put(folder, "odd.eml", MAIL.replace(before, after))
    for page in ("/", "/odd.eml", "/odd.eml/html"):
        assert mailbox.get(page).status_code == 200


@pytest.mark.parametrize(
    "name",
    [
        "../secret.eml",
        "..%2fsecret.eml",
        "%2e%2e/secret.eml",
        "....//secret.eml",
        "..\\secret.eml",
        "/etc/passwd",
        "%2fetc%2fpasswd",
        "link.eml",
        ".draft.eml",
        "notes.txt",
        "folder.eml",
        "one.eml%00",
        "nothing.eml",
    ],
)
def test_only_mail_in_the_folder_itself_is_shown(
    folder: Path, mailbox: FlaskClient, name: str
) -> None:
    secret = folder.parent / "secret.eml"
    secret.write_text(MAIL.replace("Confirm your email", "A secret"))
    (folder / "link.eml").symlink_to(secret)
    (folder / "folder.eml").mkdir()
    put(folder, "one.eml")
    put(folder, ".draft.eml")
    put(folder, "notes.txt")
    for part in ("", "/html", "/raw"):
        with mailbox.get(f"/{name}{part}") as answer:
            assert answer.status_code in (308, 404)
            assert b"A secret" not in answer.data
    assert mailbox.get("/").text.count("<li>") == 1


def test_nothing_can_be_changed(folder: Path, mailbox: FlaskClient) -> None:
    put(folder, "one.eml")
    for page in ("/", "/one.eml", "/one.eml/html", "/one.eml/raw"):
        for verb in ("POST", "PUT", "DELETE"):
            assert mailbox.open(page, method=verb).status_code == 405


def test_start_page_links_to_the_mailbox(folder: Path) -> None:
    put(folder, "one.eml")
    sandbox = Client(create_sandbox(folder))
    assert 'href="mail/"' in sandbox.get("/").text
    html = sandbox.get("/mail/").text
    (link,) = re.findall(r'class="row" href="([^"]+)"', html)
    assert link == "/mail/one.eml"
    assert "Confirm your email" in sandbox.get(link).text
    styles = re.findall(r'rel="stylesheet" href="([^"]+)"', html)
    assert styles == ["/mail/style.css", "/mail/static/mailbox.css"]
    for style in styles:
        with sandbox.get(style) as answer:
            assert answer.mimetype == "text/css"
    with sandbox.get("/mail/font.woff2") as answer:
        assert answer.data == (ROOT / "site/static/fonts/familjen-grotesk.woff2").read_bytes()
