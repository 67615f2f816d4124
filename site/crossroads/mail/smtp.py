"""SMTP transport: sends a message and classifies refusals.

The only module that knows SMTP. Without a mail server the mail is captured as an .eml file.
"""

import os
import re
import smtplib
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from email.message import EmailMessage
from ipaddress import ip_address
from tempfile import TemporaryFile
from threading import Event, Thread
from typing import Any
from urllib.parse import unquote, urlsplit

from crossroads.logs import mask_email
from crossroads.mail.composer import as_bytes, sender
from crossroads.settings import Settings

DEADLINE = 60.0  # seconds for one mail, from the first packet to the last
CONNECT = 20.0  # seconds for each address of the server, and for its greeting
REPLY_LENGTH = 200
# Refusals of our sign-in, not of the receiver (RFC 4954 section 6): fixing a setting ends them.
OURS = frozenset({530, 534, 535, 538})
# Status codes (RFC 3463) about our sender, a full mailbox, routing, or a policy. None of them
# means that the receiver's mailbox does not exist.
NOT_THE_MAILBOX = re.compile(r"5\.(1\.[78]|2\.[2-9]|[3-7]\.\d+)\b")
FULL = 552  # RFC 5321 section 4.2.3
CLOSING = 421  # the server shuts down or refuses connections, in reply to any command
# Status codes about the state of the server itself (RFC 3463 section 3.4).
ITS_OWN_STATE = re.compile(r"4\.3\.\d+\b")


class TemporaryFailure(Exception):
    """The server did not accept the mail now, but may accept it later."""


class ServerUnavailable(TemporaryFailure):
    """The mail server accepts no mail from us now, to any receiver."""


class PermanentFailure(Exception):
    """The server will never accept the mail."""


class Bounced(PermanentFailure):
    """The receiver's mailbox does not exist: no mail to that address will ever be accepted."""


class Mailer:
    """Sends mail from MAIL_FROM."""

    def __init__(self, settings: Settings) -> None:
        self._host = urlsplit(settings.base_url).hostname or "localhost"
        self._from = sender(settings.mail_from)
        self._server = urlsplit(settings.smtp_url) if settings.smtp_url else None
        self._folder = settings.mail_folder

    def send(self, message: EmailMessage) -> None:
        """Send the mail to the server, or write it to the mail folder when there is none.

        Takes 60 seconds at most. Raises TemporaryFailure, ServerUnavailable, PermanentFailure and
        Bounced; their text holds neither a whole address nor a password. ServerUnavailable is for
        failures that concern all mail: no connection, no sign-in, MAIL FROM refused, 421 at any
        time. Greylisting and a full mailbox concern one receiver.
        """
        with self._our_failures():
            if self._server is None:
                self._capture(message)
            else:
                self._deliver(message)

    def check(self) -> None:
        """Connect, sign in and send MAIL FROM, but no mail. Raises the same errors as send()."""
        with self._our_failures():
            if self._server is None:
                self._folder.mkdir(parents=True, exist_ok=True)
                with TemporaryFile(dir=self._folder):
                    return
            with self._connected() as server:
                code, reply = server.mail(self._from.addr_spec)
                if code != 250:
                    raise smtplib.SMTPSenderRefused(code, reply, self._from.addr_spec)

    @contextmanager
    def _our_failures(self) -> Iterator[None]:
        try:
            yield
        except smtplib.SMTPException as error:
            raise _judged(error) from None
        except OSError as error:
            if self._server is None:
                raise ServerUnavailable(_unusable("the folder of captured mail", error)) from None
            raise TemporaryFailure(_unusable("the mail server", error)) from None

    def _deliver(self, message: EmailMessage) -> None:
        recipient = message["To"].addresses[0]
        with self._connected() as server:
            # Only the part before the @ can be outside ASCII here: see composer.
            international = not recipient.username.isascii()
            if international and not server.has_extn("smtputf8"):
                raise PermanentFailure(
                    "the mail server takes no address with letters outside ASCII before the @"
                )
            server.sendmail(
                self._from.addr_spec,
                recipient.addr_spec,
                as_bytes(message),
                ["SMTPUTF8", "BODY=8BITMIME"] if international else [],
            )

    @contextmanager
    def _connected(self) -> Iterator[smtplib.SMTP]:
        """Yield a connection that is ready for a mail.

        Raises ServerUnavailable if it cannot be opened.
        """
        server: smtplib.SMTP | None = None
        try:
            try:
                server = self._reach()
                self._prepare(server)
            except smtplib.SMTPException as error:
                raise ServerUnavailable(str(_judged(error))) from None
            except OSError as error:
                raise ServerUnavailable(_unusable("the mail server", error)) from None
            yield server
            # The mail is accepted: a failing QUIT must not cause a second delivery.
            with suppress(OSError):
                server.quit()
        finally:
            if server is not None:
                server.close()

    def _reach(self) -> smtplib.SMTP:
        assert self._server is not None  # noqa: S101
        url = self._server
        name = _greeting_name(self._host)
        host = url.hostname or ""
        if url.scheme == "smtps":
            context = ssl.create_default_context()
            return _TimedSSL(host, url.port or 465, name, timeout=CONNECT, context=context)
        return _Timed(host, url.port or (587 if url.username else 25), name, timeout=CONNECT)

    def _prepare(self, server: smtplib.SMTP) -> None:
        assert self._server is not None  # noqa: S101
        # Servers scan a mail before they reply. Disconnecting during that would send it twice, so
        # from here on only the deadline limits the time.
        if server.sock is not None:
            server.sock.settimeout(DEADLINE)
        server.ehlo_or_helo_if_needed()
        if self._server.scheme == "smtp":
            self._encrypt(server)
        if self._server.username:
            server.login(unquote(self._server.username), unquote(self._server.password or ""))

    def _encrypt(self, server: smtplib.SMTP) -> None:
        assert self._server is not None  # noqa: S101
        if server.has_extn("starttls"):
            context = ssl.create_default_context()
            if not self._server.username:
                # There is no secret to protect, and an attacker with a false certificate could also
                # hide the STARTTLS offer. A relay on this machine often has its own certificate.
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
            server.starttls(context=context)
            server.ehlo()
        elif self._server.username:
            raise ServerUnavailable(
                "the mail server offers no STARTTLS, and the password of SMTP_URL is not sent "
                "in the clear: use smtps:// or another port"
            )

    def _capture(self, message: EmailMessage) -> None:
        reference = str(message["Message-ID"]).strip("<>").partition("@")[0]
        self._folder.mkdir(parents=True, exist_ok=True)
        earlier = next(self._folder.glob(f"*-{reference}.eml"), None)
        time = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
        draft = self._folder / f".{reference}.{os.getpid()}"
        draft.touch(mode=0o600)  # its links give access without sign-in
        draft.write_bytes(as_bytes(message))
        draft.replace(earlier or self._folder / f"{time}-{reference}.eml")


class _Timed(smtplib.SMTP):
    """A connection that is closed when a mail takes longer than DEADLINE in total.

    smtplib's timeout restarts with each byte, so a very slow server could block us without an end.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._done = Event()
        Thread(target=self._watch, daemon=True).start()
        try:
            super().__init__(*args, **kwargs)
        except BaseException:
            self._done.set()
            raise

    def close(self) -> None:
        self._done.set()
        super().close()

    def mail(self, *args: Any) -> tuple[int, bytes]:
        """Send MAIL FROM.

        Raises ServerUnavailable: no failure depends on the mail or its receiver yet.
        """
        try:
            return super().mail(*args)
        except OSError as error:
            raise ServerUnavailable(_unusable("the mail server", error)) from None

    def _watch(self) -> None:
        wait = DEADLINE
        while not self._done.wait(wait):
            wait = 1.0
            if self.sock is not None:
                with suppress(OSError):
                    self.sock.shutdown(socket.SHUT_RDWR)


class _TimedSSL(_Timed, smtplib.SMTP_SSL):
    pass


def _judged(error: smtplib.SMTPException) -> TemporaryFailure | PermanentFailure:
    """Convert an error of smtplib into a permanent or a temporary failure."""
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        code, reply = next(iter(error.recipients.values()))
        text = _refusal_text("the mail server refused the receiver", code, reply)
        if not _is_final(code):
            return _deferred(code, reply, text)
        return Bounced(text) if _names_the_mailbox(code, reply) else PermanentFailure(text)
    if isinstance(error, smtplib.SMTPAuthenticationError):
        return TemporaryFailure(
            f"the mail server refused the user or password of SMTP_URL: {error.smtp_code}"
        )
    if isinstance(error, smtplib.SMTPDataError):
        text = _refusal_text("the mail server refused the mail", error.smtp_code, error.smtp_error)
        if _is_final(error.smtp_code):
            return PermanentFailure(text)
        return _deferred(error.smtp_code, error.smtp_error, text)
    if isinstance(error, smtplib.SMTPSenderRefused):
        return ServerUnavailable(
            _refusal_text("the mail server refused MAIL_FROM", error.smtp_code, error.smtp_error)
        )
    if isinstance(error, smtplib.SMTPResponseException):
        return ServerUnavailable(
            _refusal_text("the mail server is not ready", error.smtp_code, error.smtp_error)
        )
    return TemporaryFailure(_unusable("the mail server", error))


def _deferred(code: int, reply: bytes | str, text: str) -> TemporaryFailure:
    """Return the failure for a temporary refusal, of all mail or only of this one."""
    words = reply.decode("ascii", "replace") if isinstance(reply, bytes) else reply
    everyone = code == CLOSING or code in OURS or ITS_OWN_STATE.match(words)
    return ServerUnavailable(text) if everyone else TemporaryFailure(text)


def _unusable(place: str, error: Exception) -> str:
    reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
    return mask_email(f"{place} cannot be used: {reason or type(error).__name__}")


def _is_final(code: int) -> bool:
    return 500 <= code < 600 and code not in OURS


def _names_the_mailbox(code: int, reply: bytes) -> bool:
    """Return whether a permanent refusal of the receiver means that the mailbox does not exist.

    A server that does not relay for us, or lists us as a spam sender, refuses every receiver:
    that must not count as a bounce of each address.
    """
    words = reply.decode("ascii", "replace").casefold()
    return code != FULL and not NOT_THE_MAILBOX.match(words) and "relay" not in words


def _refusal_text(what: str, code: int, reply: bytes | str) -> str:
    words = reply.decode("utf-8", "replace") if isinstance(reply, bytes) else reply
    return mask_email(f"{what}: {code} {' '.join(words.split())}")[:REPLY_LENGTH]


def _greeting_name(host: str) -> str:
    """Return the name for EHLO: a bare IP address goes in brackets (RFC 5321 section 4.1.3)."""
    try:
        address = ip_address(host)
    except ValueError:
        return host
    return f"[{address}]" if address.version == 4 else f"[IPv6:{address}]"
