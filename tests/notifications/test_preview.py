"""flask mail preview: every kind of mail as its receiver gets it."""

import re
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from html import unescape
from pathlib import Path

import pytest
from flask import Flask

from crossroads.mail.composer import Composer
from crossroads.mail.kinds import About, MailKind, kind_of
from crossroads.notifications import preview
from crossroads.settings import Settings
from tests.support.paths import ROOT
from tests.support.workers import WORDS

KINDS = sorted(folder.name for folder in (ROOT / "templates/email").iterdir() if folder.is_dir())
LARGEST = 30 * 1024  # bytes of a whole mail
HIDDEN = re.compile(r"<(style|title).*?</\1>", re.S)
LINK = re.compile(r"^https?://\S+$| \(https?://[^)]+\)")
# Of a site whose pages were all taken off: mails are about a page or a course that is gone.
EMPTY = WORDS.model_copy(update={"comparisons": (), "courses": ()})
DARK = "@media (prefers-color-scheme: dark)"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the preview of every kind of mail."""
    folder = tmp_path_factory.mktemp("preview")
    settings = Settings(instance=folder, base_url="https://www.example.com")
    preview.write(folder, Composer(settings, ROOT / "templates"), WORDS)
    return folder


def mails(folder: Path) -> dict[str, EmailMessage]:
    return {
        file.stem: message_from_bytes(file.read_bytes(), policy=default)
        for file in folder.glob("*.eml")
    }


def part(mail: EmailMessage, kind: str) -> str:
    body = mail.get_body((kind,))
    assert body is not None
    return str(body.get_content()).replace("\r\n", "\n")


def test_every_kind_is_written_as_html_text_and_eml(folder: Path) -> None:
    assert len(KINDS) >= 5
    expected = {f"{kind}.{ending}" for kind in KINDS for ending in ("html", "txt", "eml")}
    assert {file.name for file in folder.iterdir()} == expected | {"index.html"}
    index = (folder / "index.html").read_text("utf-8")
    assert set(re.findall(r'(?:href|src)="([^"]+)"', index)) == expected
    for kind, mail in mails(folder).items():
        assert (folder / f"{kind}.html").read_text("utf-8") == part(mail, "html")
        assert (folder / f"{kind}.txt").read_text("utf-8") == part(mail, "plain")


@pytest.fixture(scope="module", params=[WORDS, EMPTY], ids=["content", "no content"])
def either(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the preview for a site with pages, and for one whose pages are gone."""
    folder = tmp_path_factory.mktemp("either")
    settings = Settings(instance=folder, base_url="https://www.example.com")
    preview.write(folder, Composer(settings, ROOT / "templates"), request.param)
    return folder


def plain(text: str) -> str:
    """Return text to compare: on one line, without the colon after a label."""
    return re.sub(r":(?=\s|$)", "", " ".join(text.split()))


def sentences(text: str) -> list[str]:
    return [plain(one) for one in re.split(r"(?<=[.?!])\s", text)]


def test_text_version_has_every_sentence_of_the_html(either: Path) -> None:
    """Sentences with a link are left out: the text version puts the link below them."""
    for kind in KINDS:
        page = (either / f"{kind}.html").read_text("utf-8")
        text = plain((either / f"{kind}.txt").read_text("utf-8"))
        parts = re.findall(r'<(p|h[1-4]|li|td(?= class="line-))\b[^>]*>(.*?)</\1>', page, re.S)
        said = [unescape(re.sub(r"<[^>]+>", "", inner)) for _, inner in parts if "<a" not in inner]
        assert len(said) > 2, kind
        for sentence in (one for whole in said for one in sentences(whole)):
            assert sentence in text, f"{kind}.txt lacks: {sentence}"


def test_html_has_every_sentence_and_link_of_the_text_version(either: Path) -> None:
    for kind in KINDS:
        page = HIDDEN.sub("", (either / f"{kind}.html").read_text("utf-8"))
        links = {unescape(one) for one in re.findall(r'href="([^"]+)"', page)}
        page = re.sub(r"<br>|</(?:td|p|h\d|li)>", " ", page)
        said = plain(unescape(re.sub(r"<[^>]+>", "", page)))
        text = (either / f"{kind}.txt").read_text("utf-8")
        for line in text.replace("\n--\n", "\n").splitlines():
            for link in re.findall(r"^https?://\S+$|(?<=\()https?://[^)]+(?=\))", line):
                assert link in links, f"{kind}.html lacks the link {link}"
            for sentence in sentences(LINK.sub("", line.removeprefix("- "))):
                assert sentence in said, f"{kind}.html lacks: {sentence}"


def test_every_mail_is_small_and_has_a_plain_subject(folder: Path) -> None:
    for kind, mail in mails(folder).items():
        assert (folder / f"{kind}.eml").stat().st_size < LARGEST, kind
        assert mail.get_content_type() == "multipart/alternative"
        subject = str(mail["Subject"])
        assert 10 < len(subject) < 60
        assert not re.search(r"[!*_<>{}\n]|\b[A-Z]{4,}\b", subject), subject
        assert part(mail, "plain").count("\n") > 8


def test_heading_of_every_mail_is_its_subject(folder: Path) -> None:
    for mail in mails(folder).values():
        (heading,) = re.findall(r"<h1[^>]*>(.*?)</h1>", part(mail, "html"))
        assert unescape(heading) == mail["Subject"]
        assert part(mail, "plain").split("\n\n")[1].strip() == mail["Subject"]


@pytest.mark.parametrize(
    ("kind", "subject"),
    [
        (MailKind.RECEIPT, "Your receipt for order 1041"),
        (MailKind.FAILED, "Payment failed for order 1041"),
        (MailKind.UNSEATED, "Order 1041 is being refunded: the course filled up"),
        (MailKind.REFUND, "Refund of $1,200 for order 1041"),
        (MailKind.REFUND_FAILED, "Your $1,200 refund did not go through (order 1041)"),
        (MailKind.INVITATION, "Maria got you a seat in AI PM Bootcamp & Certification"),
        (MailKind.WITHDRAWN, "Your seat was canceled and refunded"),
    ],
)
def test_subject_names_the_event(folder: Path, kind: MailKind, subject: str) -> None:
    assert mails(folder)[kind]["Subject"] == subject


def test_every_mail_has_one_design_with_its_css_inline(folder: Path) -> None:
    designs = set()
    for kind, mail in mails(folder).items():
        html = part(mail, "html")
        (style,) = re.findall(r"<style>(.*?)</style>", html, re.S)
        designs.add(style)
        shown = HIDDEN.sub("", html)
        assert re.search(r'class="column"[^>]* style="[^"]*max-width: ?560px', shown)
        # One button: a cell with its own color, for mail programs that ignore style elements.
        buttons = re.findall(r'class="act-cell"[^>]* style="[^"]*background-color', shown)
        assert len(buttons) == (kind_of(kind).about is not About.ANNOUNCEMENT)
        assert "<h1 style=" in shown
        # Breaks a word longer than the line, such as an address, so that phones need not scroll.
        assert re.search(r'class="words"[^>]* style="[^"]*word-break: ?break-word', shown)
    assert len(designs) == 1


def test_every_mail_supports_dark_mode(folder: Path) -> None:
    for mail in mails(folder).values():
        html = part(mail, "html")
        assert '<meta name="color-scheme" content="light dark">' in html
        (dark,) = re.findall(re.escape(DARK) + r"\s*{(.*)}\s*</style>", html, re.S)
        # Each inline color has a dark one that overrides it.
        for selector in ("body", "td", ".brand", ".act-cell", ".act-link", ".foot"):
            assert re.search(rf"{re.escape(selector)}[^{{}}]*{{[^}}]*!important", dark), selector


def test_no_mail_loads_anything(folder: Path) -> None:
    for mail in mails(folder).values():
        html = part(mail, "html")
        assert not re.search(r"<(img|script|link|iframe|video|picture|object)\b", html)
        assert not re.search(r"url\(|\bsrc=|background=|@import|@font-face", html)


def test_command_writes_the_folder_or_reports_one_error_line(app: Flask, tmp_path: Path) -> None:
    folder = tmp_path / "new" / "mails"
    result = app.test_cli_runner().invoke(args=["mail", "preview", str(folder)])
    assert result.output == f"{len(KINDS)} mails written: open {folder / 'index.html'}\n"
    assert (folder / "index.html").exists()
    (tmp_path / "file").write_text("in the way")
    result = app.test_cli_runner().invoke(args=["mail", "preview", str(tmp_path / "file" / "x")])
    assert result.exit_code == 1
    assert re.fullmatch(r"Error: .*x: cannot be written: .+\n", result.output)
