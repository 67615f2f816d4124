"""Mail subjects and names arrive exactly as written, with every space.

Three readers parse the bytes that a mail server received: a strict parser of our own, Python's
older parser and one that is not Python's (fast-mail-parser, which is Rust's mailparse).
"""

import re
import shutil
from email.header import decode_header, make_header
from email.headerregistry import Address
from email.parser import Parser
from email.policy import compat32
from email.utils import parseaddr
from pathlib import Path
from random import Random
from typing import Any

import fast_mail_parser
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from crossroads import content, mail_headers
from crossroads.mail.composer import Composer
from crossroads.mail.smtp import Mailer
from crossroads.settings import Settings
from tests.support import rfc2047
from tests.support.mail_server import MailServer
from tests.support.paths import ROOT
from tests.support.walks import examples, walk

SITE = content.load(ROOT / "site/content").site
REST = b"\r\nTo: maria@example.com\r\n\r\nHello\r\n"
CASES = [
    "Frühjahrskurs: noch 3 Plätze frei – für Ärzte geöffnet",
    "zapisy week’s Termine los nächste dès już bis",
    "to dès gęślą Zażółć week’s – Größe",
    "Two  spaces, and   three",
    "Vingt\u00a0places, à 12\u202fh\u202f30\u00a0!",
    "=?utf-8?q?not_encoded?= and =? alone",
    "x" * 150,
    "The January cohort of the AI PM Bootcamp & Certification is open for registration, at last",
    "課程將於一月開始 " * 8 + "!",
    "👩‍👩‍👧 " * 20 + ".",
    "a, b; (c) <d@e.f> \"g\" \\ h: 'i'",
    "_under_score = equals ? question",
]
WORDS = st.lists(
    st.sampled_from(["to", "dès", "gęślą", "Zażółć", "week’s", "–", "=?x?=", "課程", "a_b", '"q"'])
    | st.text(
        st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Zl", "Zp")), max_size=9
    ),
    min_size=1,
    max_size=24,
)
NAMES = [
    "Zażółć Gęślą & Söhne, Kurse für Ärzte und alle, die es noch werden wollen – überall",
    "Smith, Jones & Co. (Ltd.)",
    'The "AI" Internship',
    "back\\slash",
    "The AI Internship",
    "Zoë  Two Spaces",
    "=?utf-8?q?Zoe?= Ltd",
    "Plain words that are a good deal longer than a line of a mail may be, and go on after it",
]
ADDRESS = "hello@example.com"


@pytest.fixture
def templates(tmp_path: Path) -> Path:
    """The mail templates, with a subject that each test chooses."""
    copy = tmp_path / "templates"
    shutil.copytree(ROOT / "templates/email", copy / "email")
    (copy / "email/welcome/subject.txt").write_text("{{ name }}")
    return copy


def send(templates: Path, server: MailServer, *subjects: str, mail_from: str = "") -> list[bytes]:
    """Send mails with these subjects and return them as the mail server received them."""
    given: dict[str, Any] = {"mail_from": mail_from} if mail_from else {}
    site = Settings(instance=templates, smtp_url=server.url, base_url="http://localhost", **given)
    composer, mailer = Composer(site, templates), Mailer(site)
    words = {"site": SITE, "base_url": "http://localhost", "page": None,
             "link": "http://localhost", "unsubscribe_link": "http://localhost/u"}  # fmt: skip
    for number, subject in enumerate(subjects):
        context = words | {"name": subject}
        mailer.send(composer.compose("welcome", "maria@example.com", f"{number}", context))
    return [mail.data for mail in server.mails]


def quoted(name: str) -> str:
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'


def legacy(data: bytes, header: str) -> str:
    folded = Parser(policy=compat32).parsestr(data.decode())[header]
    return re.sub(r"\r?\n", "", folded)


def subjects(data: bytes) -> set[str]:
    """Return the subjects that the readers find: one if they agree."""
    return {
        rfc2047.text(rfc2047.raw(data, "Subject")),
        str(make_header(decode_header(legacy(data, "Subject")))),
        fast_mail_parser.parse_email(data).subject,
    }


def senders(data: bytes) -> set[tuple[str, str]]:
    """Return the sender's names and addresses that the readers find."""
    name, address = parseaddr(legacy(data, "From"))
    other = fast_mail_parser.parse_email(data).from_
    assert other
    return {
        rfc2047.mailbox(rfc2047.raw(data, "From")),
        (str(make_header(decode_header(name))) if "=?" in name else name, address),
        (other.display_name or "", other.address),
    }


def test_subject_arrives_with_all_its_spaces(templates: Path, server: MailServer) -> None:
    found = [subjects(data) for data in send(templates, server, *CASES)]
    assert found == [{subject.strip(" ")} for subject in CASES]


@pytest.mark.parametrize("name", NAMES)
def test_sender_name_arrives_with_all_its_spaces(
    templates: Path, server: MailServer, name: str
) -> None:
    (data,) = send(templates, server, "Hello", mail_from=f"{quoted(name)} <{ADDRESS}>")
    assert senders(data) == {(name, ADDRESS)}


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("Smith, Jones & Co. <hello@example.com>", "Smith, Jones & Co."),
        ("Zoë  (Bern)<hello@example.com>", "Zoë  (Bern)"),
        ("=?utf-8?q?Zo=C3=AB_x?= <hello@example.com>", "Zoë x"),
        ("a\tb\x07c <hello@example.com>", "a bc"),
        ("hello@example.com", ""),
        ("<hello@example.com>", ""),
    ],
)
def test_mail_from_setting_accepts_common_spellings(
    templates: Path, server: MailServer, typed: str, name: str
) -> None:
    (data,) = send(templates, server, "Hello", mail_from=typed)
    assert senders(data) == {(name, ADDRESS)}


def test_line_breaks_and_control_characters_do_not_end_a_header(
    templates: Path, server: MailServer
) -> None:
    subject = "a\r\nBcc: x@example.com \n\t b\x00\x07\x1b\u2028c\x85d"
    (data,) = send(templates, server, subject)
    assert subjects(data) == {"a Bcc: x@example.com b c d"}
    assert b"\nBcc" not in data.partition(b"\r\n\r\n")[0]


def test_generated_subjects_survive_a_mail_server(templates: Path, server: MailServer) -> None:
    draw = Random(16)
    signs = "aez09 ,.;:?=_()<>@[]\\\"'!ÄÖüßéłŻą–’„“課程开始\u00a0\u202f👩🎓\u200d\u0301"
    texts = [
        "".join(draw.choices(signs, [1] * 5 + [9] + [1] * (len(signs) - 6), k=draw.randint(1, 150)))
        for _ in range(examples(300, 60))
    ]
    texts = [text for text in texts if text.strip(" ")]
    found = [subjects(data) for data in send(templates, server, *texts)]
    assert found == [{text.strip(" ")} for text in texts]


@walk
@settings(max_examples=examples(2000, 300), deadline=None)
@given(words=WORDS, gap=st.sampled_from([" ", " ", "  ", "\u00a0"]))
def test_generated_subjects_are_parsed_unchanged(words: list[str], gap: str) -> None:
    text = gap.join(words).strip(" ")
    assume(text)
    assert subjects(mail_headers.subject(text).encode() + REST) == {text}


@walk
@settings(max_examples=examples(1000, 150), deadline=None)
@given(words=WORDS, gap=st.sampled_from([" ", " ", "  ", "\u00a0"]))
def test_generated_sender_names_are_parsed_unchanged(words: list[str], gap: str) -> None:
    name = gap.join(words).strip()  # one reader drops trailing spaces
    assume(name)
    address = Address(name, "hello", "example.com")
    folded = mail_headers.mailboxes("From", [address]).encode() + REST
    assert senders(folded) == {(name, ADDRESS)}
    assert mail_headers.parse_mailbox(f"{quoted(name)} <{ADDRESS}>") == (name, ADDRESS)
