"""Builds a MIME message, text and HTML, from the templates of its kind."""

from collections.abc import Mapping
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import EmailPolicy
from email.utils import format_datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import css_inline
from email_validator import validate_email
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from crossroads import mail_headers
from crossroads.settings import Settings


class NoAddress(Exception):
    """The receiver of a mail is not a valid address."""


class _Subject(str):
    """A subject, unchanged. Python's own class would decode text that looks like RFC 2047."""

    name = "Subject"
    __slots__ = ()


class _MailPolicy(EmailPolicy):
    """Lines of at most 76 characters (RFC 2045, RFC 2047), but machine-read headers unfolded.

    Python folds a long address in List-Unsubscribe into encoded words, which no mail program
    reads as an address: one-click unsubscribe would be lost. Subject and names are folded by
    mail_headers, since Python loses spaces.
    """

    def header_store_parse(self, name: str, value: Any) -> tuple[str, Any]:
        if name == _Subject.name:
            return name, _Subject(value)
        return super().header_store_parse(name, value)

    def fold_binary(self, name: str, value: Any) -> bytes:
        if name == _Subject.name:
            return f"{mail_headers.subject(value)}{self.linesep}".encode()
        if name in ("From", "To"):
            return f"{mail_headers.mailboxes(name, value.addresses)}{self.linesep}".encode()
        if name.startswith("List-") or name == "Message-ID":
            return f"{name}: {value}{self.linesep}".encode("ascii")
        return super().fold_binary(name, value)


POLICY = _MailPolicy(linesep="\r\n", max_line_length=76)


class Composer:
    """Composes mail.

    `base_url` is the site's address without a trailing slash; every link in a mail starts with it.
    """

    def __init__(self, settings: Settings, templates: Path) -> None:
        self.base_url = settings.base_url.rstrip("/")
        self._host = urlsplit(self.base_url).hostname or "localhost"
        self._from = sender(settings.mail_from)
        self._templates = Environment(
            loader=FileSystemLoader(templates / "email"),
            undefined=StrictUndefined,
            autoescape=select_autoescape(["html"], default=False),
            trim_blocks=True,
            lstrip_blocks=True,
        )
        # At-rules stay in a style element: the dark colors cannot be written inline.
        self._inliner = css_inline.CSSInliner(
            keep_at_rules=True, load_remote_stylesheets=False, minify_css=True
        )

    def compose(
        self, kind: str, recipient: str, reference: str, context: Mapping[str, object]
    ) -> EmailMessage:
        """Return a mail of this kind, text and HTML, ready to send.

        `reference` becomes the Message-ID, the same for every try. An `unsubscribe_link` in the
        context also goes into the headers, for the mail program's own button (RFC 8058).
        Raises NoAddress when the recipient is not a valid address, and jinja2's errors when a
        template is missing or uses a name that the context does not have.
        """
        message = EmailMessage(policy=POLICY)
        message["From"] = self._from
        message["To"] = _recipient(recipient)
        subject = self.render(f"{kind}/subject.txt", context)
        message["Subject"] = mail_headers.one_line(subject)
        message["Date"] = format_datetime(datetime.now(UTC))
        message["Message-ID"] = f"<{reference}@{self._host}>"
        message["Auto-Submitted"] = "auto-generated"
        if "unsubscribe_link" in context:
            message["List-Unsubscribe"] = f"<{context['unsubscribe_link']}>"
            message["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
        text = self.render(f"{kind}/body.txt", context).strip() + "\n"
        html = self._inliner.inline(self.render(f"{kind}/body.html", context))
        # Every server accepts quoted-printable, also one that is limited to seven bits.
        message.set_content(text, cte="quoted-printable")
        message.add_alternative(html, subtype="html", cte="quoted-printable")
        return message

    def render(self, name: str, context: Mapping[str, object]) -> str:
        """Render one template of the mail folder."""
        return self._templates.get_template(name).render(context)


def as_bytes(message: EmailMessage) -> bytes:
    """Return the mail as bytes for SMTP; in UTF-8 if the receiver's mailbox name is not ASCII."""
    international = not message["To"].addresses[0].username.isascii()
    return message.as_bytes(policy=POLICY.clone(utf8=True) if international else POLICY)


def sender(text: str) -> Address:
    """Parse MAIL_FROM, which the settings have checked. Raises ValueError if it is not valid."""
    name, address = mail_headers.parse_mailbox(text)
    return _address(address, name)


def _recipient(address: str) -> Address:
    try:
        return _address(address)
    except ValueError:
        raise NoAddress("the receiver's address is not valid") from None


def _address(text: str, name: str = "") -> Address:
    """Return the address with its domain in ASCII, which every server accepts."""
    found = validate_email(text, check_deliverability=False, test_environment=True)
    return Address(name, found.local_part, found.ascii_domain)
