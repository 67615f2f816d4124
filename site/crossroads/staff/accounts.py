"""Staff accounts: passwords, roles and open sign-ins."""

import base64
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from email_validator import EmailNotValidError
from sqlalchemy import delete, or_, select, update

from crossroads.mail.addresses import cleaned, email_key
from models.base import AnySession, now
from models.user import Role, StaffSession, User

FIRST_OWNER = "owner@example.com"
PASSWORD_MIN, PASSWORD_MAX = 12, 200
IDLE = timedelta(hours=12)
LIFETIME = timedelta(days=7)
SEEN_EVERY = timedelta(minutes=1)

hasher = PasswordHasher()


class UserError(ValueError):
    """An account cannot be made or changed; the text says what to do instead."""


@dataclass(frozen=True)
class CheckedPassword:
    """A correct password: the account, the stored hash, and a stronger hash if one is needed."""

    user_id: int
    password_hash: str
    better_hash: str | None = None


@dataclass(frozen=True)
class Staff:
    """The signed-in account, as plain values that outlive their transaction."""

    id: int
    email: str
    role: Role
    must_change_password: bool
    token: str
    seen_at: datetime

    is_authenticated = True
    is_active = True
    is_anonymous = False

    def get_id(self) -> str:
        """Return the session's token for the cookie, never the account's id."""
        return self.token


def add(
    session: AnySession, email: str, role: str, password: str, must_change: bool = False
) -> User:
    """Add an account. Raises UserError on an invalid or taken address, invalid role or password."""
    try:
        key = email_key(email)
    except EmailNotValidError:
        raise UserError(f"{email!r}: enter an email address, like name@example.com") from None
    known = Role.known(role)
    if known is None:
        raise UserError(f"role: use one of {', '.join(Role)}, not {role!r}")
    if problem := password_problem(password):
        raise UserError(problem)
    if session.scalar(select(User.id).where(User.email_key == key)) is not None:
        raise UserError(f"{email}: this address has an account already")
    user = User(
        email=cleaned(email),
        email_key=key,
        role=known,
        password_hash=hash_password(password),
        must_change_password=must_change,
    )
    session.add(user)
    session.flush()
    return user


def first_owner(session: AnySession) -> tuple[str, str] | None:
    """Add the first owner; return address and initial password, or None if an account exists."""
    if session.scalar(select(User.id).limit(1)) is not None:
        return None
    password = secrets.token_urlsafe(15)
    user = add(session, FIRST_OWNER, Role.OWNER, password, must_change=True)
    return user.email, password


def find(session: AnySession, email: str) -> User | None:
    """Return the account with this address in any spelling."""
    try:
        key = email_key(email)
    except EmailNotValidError:
        return None
    return session.scalar(select(User).where(User.email_key == key))


def password_problem(password: str) -> str | None:
    """Return what is wrong with a new password, as a sentence, or None."""
    if not PASSWORD_MIN <= len(password) <= PASSWORD_MAX:
        return f"Use a password of {PASSWORD_MIN} to {PASSWORD_MAX} characters"
    if not _encodable(password):
        return "Use a password of valid characters"
    return None


def hash_password(password: str) -> str:
    """Hash a password with Argon2id. Slow on purpose: call it outside a writing transaction."""
    return hasher.hash(password)


def check_password(user: User | None, password: str) -> CheckedPassword | None:
    """Check a password; None when it is wrong. Takes as long if the account does not exist.

    Slow on purpose: call it outside a writing transaction, then open_session with the proof.
    """
    stored = user.password_hash if user else _decoy()
    try:
        if not _encodable(password):
            password = ""
        hasher.verify(stored, password)
    except (VerificationError, InvalidHashError):
        return None
    if user is None:
        return None
    better = hash_password(password) if hasher.check_needs_rehash(stored) else None
    return CheckedPassword(user.id, stored, better)


def open_session(session: AnySession, proof: CheckedPassword) -> Staff | None:
    """Sign in: open a new session and delete expired ones.

    None when the password was changed after `proof` was made.
    """
    user = session.get(User, proof.user_id, populate_existing=True)
    if user is None or user.password_hash != proof.password_hash:
        return None
    if proof.better_hash:
        user.password_hash = proof.better_hash
    at = now()
    session.execute(
        delete(StaffSession).where(
            or_(StaffSession.seen_at <= at - IDLE, StaffSession.created_at <= at - LIFETIME)
        )
    )
    token = secrets.token_urlsafe(32)
    session.add(StaffSession(token_hash=_digest(token), user_id=user.id, created_at=at, seen_at=at))
    return Staff(user.id, user.email, user.role, user.must_change_password, token, at)


def signed_in(session: AnySession, token: str, at: datetime) -> Staff | None:
    """Return the account of an open session: it ends after 12 idle hours or 7 days in total."""
    row = session.execute(
        select(User, StaffSession.seen_at)
        .join(StaffSession, StaffSession.user_id == User.id)
        .where(
            StaffSession.token_hash == _digest(token),
            StaffSession.seen_at > at - IDLE,
            StaffSession.created_at > at - LIFETIME,
        )
    ).one_or_none()
    if row is None:
        return None
    user, seen_at = row
    return Staff(user.id, user.email, user.role, user.must_change_password, token, seen_at)


def extend_session(session: AnySession, token: str, at: datetime) -> None:
    """Store that the session was used, so that it does not expire."""
    session.execute(
        update(StaffSession)
        .where(StaffSession.token_hash == _digest(token), StaffSession.seen_at < at)
        .values(seen_at=at)
    )


def close_session(session: AnySession, token: str) -> None:
    """Sign out: every copy of the token is invalid from now on."""
    session.execute(delete(StaffSession).where(StaffSession.token_hash == _digest(token)))


def change_password(session: AnySession, proof: CheckedPassword, new_hash: str, keep: str) -> bool:
    """Store a new password's hash and end all other sessions of the account.

    `keep` is the token of the session that stays. False when the password was changed after
    `proof` was made.
    """
    user = session.get(User, proof.user_id, populate_existing=True)
    if user is None or user.password_hash != proof.password_hash:
        return False
    user.password_hash = new_hash
    user.must_change_password = False
    session.execute(
        delete(StaffSession).where(
            StaffSession.user_id == user.id, StaffSession.token_hash != _digest(keep)
        )
    )
    return True


def _digest(token: str) -> str:
    return sha256(token.encode(errors="replace")).hexdigest()


def _encodable(password: str) -> bool:
    try:
        password.encode()
    except UnicodeEncodeError:
        return False
    return True


def _decoy() -> str:
    """Return a random hash that takes as long to check as a real one."""
    salt, digest = (
        base64.b64encode(secrets.token_bytes(length)).decode().rstrip("=")
        for length in (hasher.salt_len, hasher.hash_len)
    )
    return (
        f"$argon2id$v=19$m={hasher.memory_cost},t={hasher.time_cost},p={hasher.parallelism}"
        f"${salt}${digest}"
    )
