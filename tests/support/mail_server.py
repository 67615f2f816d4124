"""A real SMTP server for tests: it keeps received mail, and replies as told."""

import asyncio
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from threading import Event
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, Envelope, LoginPassword, Session

from tests.support.ports import free_port

# All mail received by the servers of this process, for checks of every mail of a test.
received: "list[Mail]" = []


@dataclass
class Mail:
    """One mail as received."""

    sender: str
    recipient: str
    data: bytes

    @property
    def message(self) -> EmailMessage:
        return message_from_bytes(self.data, policy=default)

    def part(self, kind: str) -> str:
        body = self.message.get_body((kind,))
        assert body is not None
        return str(body.get_content())


@dataclass
class MailServer:
    """Replies to each stage with the next of `replies`, and with 250 after them.

    The reply "reset" cuts the connection. `stalled_at` names a stage ("mail", "rcpt" or "data")
    in which the server stops replying after it got the command; then it sets `reached`.
    `while_taking` runs in DATA.
    """

    replies: dict[str, list[str]] = field(default_factory=dict)
    mails: list[Mail] = field(default_factory=list)
    logins: list[tuple[bytes, bytes]] = field(default_factory=list)
    options: list[str] = field(default_factory=list)
    stalled_at: str = ""
    reached: Event = field(default_factory=Event)
    while_taking: Callable[[], None] = lambda: None

    def start(
        self, *, tls: ssl.SSLContext | None = None, port: int = 0, **options: Any
    ) -> "MailServer":
        """Listen on a free port. With `tls`, from the first byte on, as smtps:// does."""
        self.port = port or free_port()
        options.setdefault("enable_SMTPUTF8", True)
        self._controller = Controller(
            self,
            hostname="127.0.0.1",
            port=self.port,
            ssl_context=tls,
            authenticator=self._authenticate,
            **options,
        )
        self._controller.start()
        return self

    def stop(self) -> None:
        self._controller.stop()

    @property
    def url(self) -> str:
        return f"smtp://127.0.0.1:{self.port}"

    async def handle_MAIL(  # noqa: N802
        self, server: Any, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        self.options.extend(options)
        envelope.mail_from = address
        return await self._reply(server, "mail")

    async def handle_RCPT(  # noqa: N802
        self, server: Any, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        reply = await self._reply(server, "rcpt")
        if reply.startswith("250"):
            envelope.rcpt_tos.append(address)
        return reply

    async def handle_DATA(  # noqa: N802
        self, server: Any, session: Session, envelope: Envelope
    ) -> str:
        await asyncio.get_running_loop().run_in_executor(None, self.while_taking)
        if not self.replies.get("data"):
            assert isinstance(envelope.original_content, bytes)
            for recipient in envelope.rcpt_tos:
                mail = Mail(str(envelope.mail_from), recipient, envelope.original_content)
                self.mails.append(mail)
                received.append(mail)
        return await self._reply(server, "data")

    async def handle_QUIT(  # noqa: N802
        self, server: Any, session: Session, envelope: Envelope
    ) -> str:
        return (await self._reply(server, "quit")).replace("250 OK", "221 Bye")

    async def _reply(self, server: Any, stage: str) -> str:
        if self.stalled_at == stage:
            self.reached.set()
            await asyncio.sleep(3600)
        waiting = self.replies.get(stage)
        reply = waiting.pop(0) if waiting else "250 OK"
        if reply == "reset":
            server.transport.abort()
        return reply

    def _authenticate(
        self, server: Any, session: Session, envelope: Envelope, mechanism: str, data: Any
    ) -> AuthResult:
        assert isinstance(data, LoginPassword)
        self.logins.append((data.login, data.password))
        refused = self.replies.get("auth")
        if refused:
            refused.pop(0)
        return AuthResult(success=not refused, handled=False)


@pytest.fixture
def server() -> Iterator[MailServer]:
    """A mail server that accepts all mail."""
    server = MailServer().start()
    yield server
    server.stop()
