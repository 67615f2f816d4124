"""Captured mail as the mailbox shows it: read from .eml files, whole or broken."""

from dataclasses import dataclass
from datetime import UTC, datetime
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Letter:
    """One captured mail. `broken` says, in words, why it can be downloaded only."""

    name: str
    captured_at: datetime
    subject: str = ""
    sender: str = ""
    recipient: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    text: str | None = None
    html: str | None = None
    broken: str = ""


def newest(folder: Path, limit: int) -> tuple[tuple[Letter, ...], int]:
    """Return the newest letters, without their text, and how many there are in all."""
    found = sorted(_files(folder).items(), key=lambda item: (_age(item[1]), item[0]), reverse=True)
    return tuple(_read(path, whole=False) for _, path in found[:limit]), len(found)


def find(folder: Path, name: str) -> Path | None:
    """Return the file of that name, or None. Only what lies in the folder itself can be found."""
    return _files(folder).get(name)


def read(path: Path) -> Letter:
    """Return the letter in the file, with its text."""
    return _read(path, whole=True)


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
    except OSError:  # gone meanwhile
        return 0


def _read(path: Path, *, whole: bool) -> Letter:
    captured_at = datetime.fromtimestamp(_age(path) / 1e9, UTC)
    try:
        data = path.read_bytes()
        parser = BytesParser(policy=policy.default)
        message = parser.parsebytes(data, headersonly=not whole)
        letter = Letter(
            name=path.name,
            captured_at=captured_at,
            subject=str(message.get("Subject", "")),
            sender=str(message.get("From", "")),
            recipient=str(message.get("To", "")),
            headers=tuple((name, str(value)) for name, value in message.items()),
            text=_part(message, "plain") if whole else None,
            html=_part(message, "html") if whole else None,
        )
    except OSError as error:
        reason = f"The file cannot be read: {error.strerror}."
        return Letter(name=path.name, captured_at=captured_at, broken=reason)
    except Exception as error:  # the parser meets bad input with exceptions of every kind
        reason = f"The file is not a mail: {type(error).__name__}."
        return Letter(name=path.name, captured_at=captured_at, broken=reason)
    if not (letter.sender or letter.recipient or letter.subject):
        reason = "The file is not a mail: it has no sender, no receiver and no subject."
        return Letter(name=path.name, captured_at=captured_at, broken=reason)
    return letter


def _part(message: EmailMessage, kind: str) -> str | None:
    part = message.get_body(preferencelist=(kind,))
    if part is None:
        return None
    try:
        return str(part.get_content())
    except (LookupError, UnicodeError):  # a character set that nobody knows
        payload = part.get_payload(decode=True)
        return payload.decode("utf-8", "replace") if isinstance(payload, bytes) else str(payload)
