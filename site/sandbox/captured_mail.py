"""Captured mail, parsed from .eml files."""

from dataclasses import dataclass
from datetime import UTC, datetime
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Email:
    """One captured mail. `broken` is why it cannot be shown, only downloaded; else empty."""

    name: str
    captured_at: datetime
    subject: str = ""
    sender: str = ""
    recipient: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    text: str | None = None
    html: str | None = None
    broken: str = ""


def newest(folder: Path, limit: int) -> tuple[tuple[Email, ...], int]:
    """Return the newest emails, without their bodies, and the number of all."""
    found = sorted(_files(folder).items(), key=lambda item: (_age(item[1]), item[0]), reverse=True)
    return tuple(_read(path, with_body=False) for _, path in found[:limit]), len(found)


def find(folder: Path, name: str) -> Path | None:
    """Return the file of that name in the folder itself, None when there is none."""
    return _files(folder).get(name)


def read(path: Path) -> Email:
    """Return the email in the file, with its bodies."""
    return _read(path, with_body=True)


def _files(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        return {}
    return {
        path.name: path
        for path in folder.iterdir()
        if path.suffix == ".eml" and not path.name.startswith(".") and _is_plain(path)
    }


def _is_plain(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def _age(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:  # deleted meanwhile
        return 0


def _read(path: Path, *, with_body: bool) -> Email:
    captured_at = datetime.fromtimestamp(_age(path) / 1e9, UTC)
    try:
        data = path.read_bytes()
        parser = BytesParser(policy=policy.default)
        message = parser.parsebytes(data, headersonly=not with_body)
        email = Email(
            name=path.name,
            captured_at=captured_at,
            subject=str(message.get("Subject", "")),
            sender=str(message.get("From", "")),
            recipient=str(message.get("To", "")),
            headers=tuple((name, str(value)) for name, value in message.items()),
            text=_part(message, "plain") if with_body else None,
            html=_part(message, "html") if with_body else None,
        )
    except OSError as error:
        reason = f"The file cannot be read: {error.strerror}."
        return Email(name=path.name, captured_at=captured_at, broken=reason)
    except Exception as error:  # the parser raises many kinds for bad input
        reason = f"The file is not a mail: {type(error).__name__}."
        return Email(name=path.name, captured_at=captured_at, broken=reason)
    if not (email.sender or email.recipient or email.subject):
        reason = "The file is not a mail: it has no sender, no recipient and no subject."
        return Email(name=path.name, captured_at=captured_at, broken=reason)
    return email


def _part(message: EmailMessage, kind: str) -> str | None:
    part = message.get_body(preferencelist=(kind,))
    if part is None:
        return None
    try:
        return str(part.get_content())
    except (LookupError, UnicodeError):  # an unknown character set
        payload = part.get_payload(decode=True)
        return payload.decode("utf-8", "replace") if isinstance(payload, bytes) else str(payload)
