"""Composing and sending mail: the bytes that a mail server receives, and its refusals as errors."""

import re
import shutil
import socket
import ssl
import subprocess
import threading
import time
from dataclasses import dataclass
from email.header import decode_header, make_header
from email.parser import Parser
from email.policy import compat32
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import pytest

from crossroads import content
from crossroads.mail import smtp
from crossroads.mail.composer import Composer, NoAddress
from crossroads.mail.smtp import (
    Bounced,
    Mailer,
    PermanentFailure,
    ServerUnavailable,
    TemporaryFailure,
)
from crossroads.settings import Settings
from models import now
from tests.support.mail_server import Mail, MailServer
from tests.support.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
SITE = content.load(ROOT / "site/content").site
BASE_URL = "https://www.a-company-with-a-rather-long-name.example.com"
LINK = f"{BASE_URL}/confirm/7_sJkWRsOIgMU4Me5cRnNn53tc-sodwR"
UNSUBSCRIBE = f"{BASE_URL}/unsubscribe/IQ6ZqWhZ8BV3rXWIf2rOqi5jaYGI3DSI"
CONFIRM = {"site": SITE, "base_url": BASE_URL, "page": None, "link": LINK, "until": "November 29"}
WELCOME = {
    "site": SITE,
    "base_url": BASE_URL,
    "page": None,
    "name": "Zoë",
    "link": f"{BASE_URL}/compare",
    "unsubscribe_link": UNSUBSCRIBE,
}
KINDS = {"confirm": CONFIRM, "welcome": WELCOME, "already": WELCOME}


@dataclass(frozen=True)
class Sender:
    composer: Composer
    transport: Mailer


def make_mailer(instance: Path, smtp_url: str = "", **given: Any) -> Sender:
    settings = Settings(instance=instance, smtp_url=smtp_url, base_url=BASE_URL, **given)
    return Sender(Composer(settings, ROOT / "templates"), Mailer(settings))


def send(
    sender: Sender,
    kind: str = "confirm",
    recipient: str = "maria@example.com",
    reference: str = "0a1b2c",
    **changed: object,
) -> None:
    mail = sender.composer.compose(kind, recipient, reference, KINDS[kind] | changed)
    sender.transport.send(mail)


def delivered(server: MailServer) -> Mail:
    assert len(server.mails) == 1
    return server.mails[0]


@pytest.mark.parametrize("kind", KINDS)
def test_text_and_html_have_the_same_facts(instance: Path, server: MailServer, kind: str) -> None:
    send(make_mailer(instance, server.url), kind)
    mail = delivered(server)
    assert mail.message.get_content_type() == "multipart/alternative"
    html, text = mail.part("html"), mail.part("plain")
    shown = re.sub(r"<(style|title).*?</\1>", "", html, flags=re.S)
    for fact in (SITE.brand, SITE.postal_address, SITE.contact_email, str(KINDS[kind]["link"])):
        assert fact in shown
        assert fact in text
    heading = re.findall(r"<h1[^>]*>(.*?)</h1>", html)
    assert heading == [mail.message["Subject"]]
    assert heading[0] in text
    assert ("Zoë" in shown) is ("Zoë" in text) is (kind == "welcome")


@pytest.mark.parametrize("kind", KINDS)
def test_html_is_small_supports_dark_mode_and_loads_nothing(
    instance: Path, server: MailServer, kind: str
) -> None:
    send(make_mailer(instance, server.url), kind)
    html = delivered(server).part("html")
    assert len(html.encode()) < 30_000
    assert "@media (prefers-color-scheme: dark)" in html
    assert 'style="' in html
    assert not re.search(r"<(img|link|script|iframe)\b|url\(|\bsrc=", html)


def test_headers_name_sender_receiver_date_and_automatic_origin(
    instance: Path, server: MailServer
) -> None:
    before = now().replace(microsecond=0)
    send(make_mailer(instance, server.url, mail_from="The AI Internship <hello@example.com>"))
    mail = delivered(server)
    message = mail.message
    assert (mail.sender, mail.recipient) == ("hello@example.com", "maria@example.com")
    assert message["From"] == "The AI Internship <hello@example.com>"
    assert message["To"] == "maria@example.com"
    assert message["Subject"] == "Confirm your email"
    assert before <= parsedate_to_datetime(message["Date"]) <= now()
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Message-ID"] == "<0a1b2c@www.a-company-with-a-rather-long-name.example.com>"


@pytest.mark.parametrize("kind", ["welcome", "already"])
def test_unsubscribe_header_arrives_on_one_line(
    instance: Path, server: MailServer, kind: str
) -> None:
    send(make_mailer(instance, server.url), kind)
    lines = delivered(server).data.split(b"\r\n")
    assert f"List-Unsubscribe: <{UNSUBSCRIBE}>".encode() in lines
    assert b"List-Unsubscribe-Post: List-Unsubscribe=One-Click" in lines
    assert UNSUBSCRIBE in delivered(server).part("html")
    assert UNSUBSCRIBE in delivered(server).part("plain")


def test_confirmation_mail_has_no_unsubscribe_header(instance: Path, server: MailServer) -> None:
    send(make_mailer(instance, server.url))
    assert b"list-unsubscribe" not in delivered(server).data.lower()


def test_long_non_ascii_name_arrives_whole_within_the_line_limits(
    instance: Path, server: MailServer
) -> None:
    name = "Die KI-Werkstatt für Gründerinnen, Gründer & Co.: größer als fünfundsiebzig Zeichen"
    send(make_mailer(instance, server.url, mail_from=f'"{name}" <hello@example.com>'), "welcome")
    mail = delivered(server)
    # Not the parser of email.message, which puts spaces between encoded words.
    shown = make_header(decode_header(Parser(policy=compat32).parsestr(mail.data.decode())["From"]))
    assert str(shown) == f"{name} <hello@example.com>"
    assert all(len(word) <= 75 for word in re.findall(rb"=\?[^?]*\?.\?[^?]*\?=", mail.data))
    for line in mail.data.split(b"\r\n"):
        assert len(line) <= 76 or line.startswith((b"List-", b"Message-ID"))
    assert mail.data.isascii()


def test_every_attempt_of_one_message_has_the_same_id(instance: Path, server: MailServer) -> None:
    sender = make_mailer(instance, server.url)
    send(sender, reference="same")
    send(sender, reference="same")
    first, second = (mail.message["Message-ID"] for mail in server.mails)
    assert first == second


@pytest.mark.parametrize("name", ["Zoë\r\nBcc: evil@example.com", "Zoë\n\nBcc: evil@example.com"])
def test_line_break_in_a_name_adds_no_header(instance: Path, server: MailServer, name: str) -> None:
    send(make_mailer(instance, server.url), "welcome", name=name)
    mail = delivered(server)
    assert mail.message["Bcc"] is None
    assert all(not key.lower().startswith("bcc") for key in mail.message)


def test_line_break_in_a_subject_adds_no_header(instance: Path, tmp_path: Path) -> None:
    templates = tmp_path / "templates"
    shutil.copytree(ROOT / "templates/email", templates / "email")
    (templates / "email/welcome/subject.txt").write_text("Hello {{ name }}\nBcc: x@example.com\n")
    settings = Settings(instance=instance, base_url=BASE_URL)
    message = Composer(settings, templates).compose("welcome", "maria@example.com", "1", WELCOME)
    assert message["Bcc"] is None
    assert message["Subject"] == "Hello Zoë Bcc: x@example.com"


@pytest.mark.parametrize(
    "recipient",
    [
        "maria@example.com\r\nBcc: evil@example.com",
        "maria@example.com, evil@example.com",
        "Maria <maria@example.com>",
        "maria",
        "",
    ],
)
def test_recipient_that_is_not_one_address_is_refused(instance: Path, recipient: str) -> None:
    with pytest.raises(NoAddress):
        send(make_mailer(instance), recipient=recipient)


def test_markup_in_a_name_is_shown_as_text(instance: Path, server: MailServer) -> None:
    send(make_mailer(instance, server.url), "welcome", name="<b>Zoë</b> & co")
    assert "&lt;b&gt;Zoë&lt;/b&gt; &amp; co" in delivered(server).part("html")
    assert "<b>Zoë</b> & co" in delivered(server).part("plain")


@pytest.mark.parametrize(
    ("stage", "reply", "failure"),
    [
        ("mail", "451 4.3.0 try later", ServerUnavailable),
        ("mail", "550 5.7.1 sender not allowed", ServerUnavailable),
        ("mail", "421 4.3.2 too many connections", ServerUnavailable),
        ("rcpt", "421 4.3.2 shutting down", ServerUnavailable),
        ("rcpt", "450 4.2.0 maria@example.com is busy", TemporaryFailure),
        ("rcpt", "452 4.3.1 no space in the queue", ServerUnavailable),
        ("rcpt", "452 4.2.2 mailbox of maria@example.com is full", TemporaryFailure),
        ("data", "451 4.3.0 queue file write error", ServerUnavailable),
        ("data", "421 4.3.0 closing", ServerUnavailable),
        ("data", "451 4.7.1 looks like spam, try later", TemporaryFailure),
        ("rcpt", "451 4.7.1 greylisted, maria@example.com", TemporaryFailure),
        ("rcpt", "550 5.1.1 no such user maria@example.com", Bounced),
        ("rcpt", "550 no such user", Bounced),
        ("rcpt", "553 5.2.1 mailbox disabled", Bounced),
        ("rcpt", "550 5.1.8 who is the sender of this", PermanentFailure),
        ("rcpt", "552 5.2.2 mailbox full", PermanentFailure),
        ("rcpt", "552 no room left", PermanentFailure),
        ("rcpt", "554 5.7.1 you are on a list of spammers", PermanentFailure),
        ("rcpt", "550 relaying denied", PermanentFailure),
        ("rcpt", "530 5.7.0 authentication required", ServerUnavailable),
        ("data", "452 4.2.2 mailbox of maria@example.com is full", TemporaryFailure),
        ("data", "554 5.6.0 maria@example.com takes no such mail", PermanentFailure),
    ],
)
def test_reply_is_final_only_if_it_is_about_the_receiver_or_the_mail(
    instance: Path, server: MailServer, stage: str, reply: str, failure: type[Exception]
) -> None:
    server.replies[stage] = [reply]
    with pytest.raises(failure) as raised:
        send(make_mailer(instance, server.url))
    assert raised.type is failure
    assert reply[:3] in str(raised.value)
    assert "maria@example.com" not in str(raised.value)


def test_unreachable_server_is_a_temporary_failure(instance: Path) -> None:
    with pytest.raises(ServerUnavailable, match="refused"):
        send(make_mailer(instance, f"smtp://127.0.0.1:{free_port()}"))


@pytest.mark.parametrize(
    "said", [b"421 4.3.2 come later\r\n", b"554 5.3.2 no\r\n", b"", b"HTTP/1.1"]
)
def test_server_without_a_valid_greeting_counts_as_away(instance: Path, said: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.sendall(said)

        answering = threading.Thread(target=answer)
        answering.start()
        with pytest.raises(ServerUnavailable):
            send(make_mailer(instance, f"smtp://127.0.0.1:{listener.getsockname()[1]}"))
        answering.join()


def test_error_reply_to_quit_is_no_failure(instance: Path, server: MailServer) -> None:
    server.replies["quit"] = ["421 shutting down"]
    send(make_mailer(instance, server.url))
    assert len(server.mails) == 1


def test_slow_server_is_disconnected_at_the_deadline(
    instance: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(smtp, "DEADLINE", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def drip() -> None:
            connection, _ = listener.accept()
            with connection:
                try:
                    for _ in range(200):
                        connection.sendall(b"220-wait\r\n")
                        time.sleep(0.05)
                except OSError:
                    hung_up.set()

        hung_up = threading.Event()
        dripping = threading.Thread(target=drip)
        dripping.start()
        with pytest.raises(TemporaryFailure):
            send(make_mailer(instance, f"smtp://127.0.0.1:{listener.getsockname()[1]}"))
        dripping.join()
        assert hung_up.is_set(), "the server could send all"


def test_non_ascii_receiver_is_sent_to_a_server_with_smtputf8(
    instance: Path, server: MailServer
) -> None:
    send(make_mailer(instance, server.url), recipient="jörg@bücher.example")
    mail = delivered(server)
    assert mail.recipient == "jörg@xn--bcher-kva.example"
    assert "SMTPUTF8" in server.options
    assert "To: jörg@xn--bcher-kva.example".encode() in mail.data


def test_non_ascii_receiver_is_refused_without_smtputf8(instance: Path) -> None:
    server = MailServer().start(enable_SMTPUTF8=False)
    try:
        with pytest.raises(PermanentFailure):
            send(make_mailer(instance, server.url), recipient="jörg@example.com")
        send(make_mailer(instance, server.url), recipient="maria@bücher.example")
    finally:
        server.stop()
    assert delivered(server).recipient == "maria@xn--bcher-kva.example"


def test_password_is_not_sent_without_encryption(instance: Path) -> None:
    server = MailServer().start(auth_require_tls=False)
    try:
        url = f"smtp://me:p%40ss@127.0.0.1:{server.port}"
        with pytest.raises(ServerUnavailable, match="STARTTLS") as raised:
            send(make_mailer(instance, url))
    finally:
        server.stop()
    assert "p@ss" not in str(raised.value)
    assert server.logins == []
    assert server.mails == []


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ssl.SSLContext]:
    """An untrusted certificate for localhost, and the SSL context of a server that uses it."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("needs openssl to make a certificate: apt-get install openssl")
    folder = tmp_path_factory.mktemp("certificate")
    command = (
        f"{openssl} req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost "
        "-addext subjectAltName=DNS:localhost -keyout key.pem -out cert.pem"
    )
    subprocess.run(command.split(), cwd=folder, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return folder / "cert.pem", context


def start_with_tls(scheme: str, context: ssl.SSLContext) -> MailServer:
    if scheme == "smtps":
        return MailServer().start(tls=context, auth_require_tls=False)
    return MailServer().start(tls_context=context)


@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
def test_login_is_encrypted_and_the_password_decoded(
    instance: Path,
    certificate: tuple[Path, ssl.SSLContext],
    monkeypatch: pytest.MonkeyPatch,
    scheme: str,
) -> None:
    trusted, context = certificate
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    server = start_with_tls(scheme, context)
    at = f"localhost:{server.port}"
    try:
        send(make_mailer(instance, f"{scheme}://me%40example.com:p%3As%2Fs@{at}"))
        assert server.logins == [(b"me@example.com", b"p:s/s")]
        server.replies["auth"] = ["refuse"] * 3
        with pytest.raises(ServerUnavailable, match="SMTP_URL: 535") as raised:
            send(make_mailer(instance, f"{scheme}://me:secret@{at}"))
        assert "secret" not in str(raised.value)
    finally:
        server.stop()
    assert len(server.mails) == 1


@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
def test_password_is_not_sent_to_a_server_with_an_unknown_certificate(
    instance: Path, certificate: tuple[Path, ssl.SSLContext], scheme: str
) -> None:
    server = start_with_tls(scheme, certificate[1])
    try:
        with pytest.raises(ServerUnavailable, match=r"(?i)certificate"):
            send(make_mailer(instance, f"{scheme}://me:secret@localhost:{server.port}"))
    finally:
        server.stop()
    assert server.logins == []


def test_relay_without_login_may_have_a_self_signed_certificate(
    instance: Path, certificate: tuple[Path, ssl.SSLContext]
) -> None:
    server = start_with_tls("smtp", certificate[1])
    try:
        send(make_mailer(instance, server.url))
    finally:
        server.stop()
    assert len(server.mails) == 1


def test_mail_is_written_to_a_file_without_a_mail_server(instance: Path) -> None:
    sender = make_mailer(instance)
    send(sender, reference="first")
    send(sender, "welcome", reference="second")
    files = sorted((instance / "mail").iterdir())
    assert [file.name.partition("-")[2] for file in files] == ["first.eml", "second.eml"]
    mail = Mail("", "", files[0].read_bytes())
    assert mail.message["To"] == "maria@example.com"
    assert LINK in mail.part("plain")
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}


def test_second_capture_of_a_mail_replaces_its_file(instance: Path) -> None:
    sender = make_mailer(instance)
    send(sender, recipient="first@example.com", reference="same")
    send(sender, recipient="second@example.com", reference="same")
    (file,) = (instance / "mail").iterdir()
    assert b"To: second@example.com" in file.read_bytes()


def test_unwritable_capture_folder_is_a_temporary_failure(instance: Path) -> None:
    (instance / "mail").write_text("a file where the folder should be")
    with pytest.raises(ServerUnavailable, match="captured mail"):
        send(make_mailer(instance))
