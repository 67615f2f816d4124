"""Staff accounts and sign-ins, as stored in the database."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Literal

import pytest
import time_machine
from argon2 import Parameters, PasswordHasher, Type, extract_parameters
from argon2.exceptions import VerifyMismatchError
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from crossroads.staff import accounts
from crossroads.staff.accounts import UserError
from models import StaffSession, User, now, writing
from tests.support.databases import opened

PASSWORD = "correct horse battery"


@pytest.fixture
def session(database_url: str) -> Iterator[Session]:
    with opened(database_url) as engine, Session(engine) as session:
        yield session


def add(session: Session, email: str = "owner@example.com", role: str = "owner") -> User:
    user = accounts.add(session, email, role, PASSWORD)
    session.commit()
    return user


def sign_in(session: Session, user: User, password: str = PASSWORD) -> str:
    proof = accounts.check_password(user, password)
    assert proof
    staff = accounts.open_session(session, proof)
    assert staff
    session.commit()
    return staff.token


@pytest.mark.usefixtures("slow_hashing")
def test_password_is_stored_as_an_argon2id_hash(session: Session) -> None:
    user = add(session)
    assert PASSWORD not in user.password_hash
    kept = extract_parameters(user.password_hash)
    assert kept.type is Type.ID
    # RFC 9106, section 4, for little memory: 64 MiB, three passes.
    assert (kept.memory_cost, kept.time_cost) == (64 * 1024, 3)


@pytest.mark.parametrize(
    ("email", "role", "password", "words"),
    [
        ("no address", "owner", PASSWORD, "name@example.com"),
        ("x@example.com", "boss", PASSWORD, "owner, marketer, finance"),
        ("x@example.com", "owner", "eleven char", "12 to 200 characters"),
        ("x@example.com", "owner", "x" * 201, "12 to 200 characters"),
        ("x@example.com", "owner", "half a pair \ud800", "valid characters"),
        ("MARIA@Example.com", "owner", PASSWORD, "has an account already"),
    ],
)
def test_invalid_account_is_refused_with_the_reason(
    session: Session, email: str, role: str, password: str, words: str
) -> None:
    add(session, "maria@example.com")
    with pytest.raises(UserError, match=words):
        accounts.add(session, email, role, password)


def test_first_owner_is_made_once_and_must_change_the_password(session: Session) -> None:
    made = accounts.first_owner(session)
    assert made
    email, password = made
    user = accounts.find(session, email)
    assert user and user.role == "owner" and user.must_change_password
    assert accounts.check_password(user, password)
    assert accounts.first_owner(session) is None


def test_first_owner_is_not_made_beside_other_accounts(session: Session) -> None:
    add(session, "maria@example.com", "marketer")
    assert accounts.first_owner(session) is None


def test_account_is_found_by_any_spelling_of_its_address(session: Session) -> None:
    user = add(session, "maria@example.com")
    assert accounts.find(session, "Maria@EXAMPLE.com") is user
    assert accounts.find(session, "mario@example.com") is None
    assert accounts.find(session, "no address") is None


def test_only_the_right_password_is_accepted(session: Session) -> None:
    user = add(session)
    assert accounts.check_password(user, PASSWORD)
    for wrong in ("", PASSWORD + " ", PASSWORD.upper(), "half a pair \ud800"):
        assert accounts.check_password(user, wrong) is None
    assert accounts.check_password(None, PASSWORD) is None


class RecordingHasher(PasswordHasher):
    """A hasher that records the parameters and the result of each check."""

    def __init__(self) -> None:
        super().__init__(time_cost=2, memory_cost=64, parallelism=1)
        self.checks: list[tuple[Parameters, int, type[Exception] | None]] = []

    def verify(self, hash: str | bytes, password: str | bytes) -> Literal[True]:  # noqa: A002
        ended: type[Exception] | None = None
        try:
            return super().verify(hash, password)
        except Exception as error:
            ended = type(error)
            raise
        finally:
            self.checks.append((extract_parameters(str(hash)), len(password), ended))


@pytest.mark.parametrize("password", ["wrong horse battery", "half a pair \ud800"])
def test_unknown_address_takes_as_much_work_as_a_known_one(
    session: Session, monkeypatch: pytest.MonkeyPatch, password: str
) -> None:
    hasher = RecordingHasher()
    monkeypatch.setattr(accounts, "hasher", hasher)
    user = add(session)
    assert accounts.check_password(user, password) is None
    assert accounts.check_password(None, password) is None
    known, unknown = hasher.checks
    assert known == unknown
    # The decoy was really computed and compared: an invalid hash would take no time.
    assert known[2] is VerifyMismatchError


@pytest.mark.usefixtures("slow_hashing")
def test_weak_hash_is_replaced_at_the_next_sign_in(session: Session) -> None:
    user = add(session)
    weak = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1).hash(PASSWORD)
    user.password_hash = weak
    session.commit()
    sign_in(session, user)
    session.refresh(user)
    assert extract_parameters(user.password_hash).memory_cost == PasswordHasher().memory_cost
    again = accounts.check_password(user, PASSWORD)
    assert again and again.better_hash is None


def test_token_of_the_cookie_is_stored_only_as_a_hash(session: Session) -> None:
    token = sign_in(session, add(session))
    row = session.scalars(select(StaffSession)).one()
    assert token not in (row.token_hash, str(row.id))
    assert accounts.signed_in(session, row.token_hash, now()) is None
    staff = accounts.signed_in(session, token, now())
    assert staff and staff.email == "owner@example.com"


def test_session_ends_after_12_idle_hours(session: Session) -> None:
    token = sign_in(session, add(session))
    at = now()
    assert accounts.signed_in(session, token, at + timedelta(hours=11))
    assert accounts.signed_in(session, token, at + timedelta(hours=13)) is None
    accounts.extend_session(session, token, at + timedelta(hours=11))
    assert accounts.signed_in(session, token, at + timedelta(hours=13))


def test_session_ends_after_7_days_even_if_used(session: Session) -> None:
    token = sign_in(session, add(session))
    at = now()
    for hours in range(10, 7 * 24, 10):
        assert accounts.signed_in(session, token, at + timedelta(hours=hours))
        accounts.extend_session(session, token, at + timedelta(hours=hours))
    assert accounts.signed_in(session, token, at + timedelta(days=7, minutes=1)) is None


def test_expired_sessions_are_deleted_at_the_next_sign_in(session: Session) -> None:
    user = add(session)
    sign_in(session, user)
    with time_machine.travel(now() + timedelta(days=8)):
        sign_in(session, user)
    assert session.scalar(select(func.count(StaffSession.id))) == 1


def test_closed_session_is_not_accepted(session: Session) -> None:
    user = add(session)
    one, other = sign_in(session, user), sign_in(session, user)
    accounts.close_session(session, one)
    assert accounts.signed_in(session, one, now()) is None
    assert accounts.signed_in(session, other, now())


def test_new_password_ends_the_other_sessions_of_that_account(session: Session) -> None:
    user, colleague = add(session), add(session, "finance@example.com", "finance")
    kept, ended, apart = (sign_in(session, who) for who in (user, user, colleague))
    proof = accounts.check_password(user, PASSWORD)
    assert proof
    assert accounts.change_password(
        session, proof, accounts.hash_password("another " * 2), keep=kept
    )
    session.commit()
    assert accounts.signed_in(session, kept, now())
    assert accounts.signed_in(session, apart, now())
    assert accounts.signed_in(session, ended, now()) is None
    assert accounts.check_password(user, PASSWORD) is None


def test_proof_of_a_former_password_is_refused(session: Session) -> None:
    user = add(session)
    early, proof = accounts.check_password(user, PASSWORD), accounts.check_password(user, PASSWORD)
    assert early and proof
    assert accounts.change_password(session, proof, accounts.hash_password("another " * 2), keep="")
    session.commit()
    writing(session)
    assert accounts.open_session(session, early) is None
    assert not accounts.change_password(
        session, early, accounts.hash_password("third " * 3), keep=""
    )
