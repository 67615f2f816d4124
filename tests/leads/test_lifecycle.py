"""Sign-up, confirmation and unsubscribe of leads, on SQLite and PostgreSQL."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session

from crossroads.leads import lifecycle as leads
from crossroads.leads.consent import Evidence
from crossroads.leads.lifecycle import Touch
from crossroads.mail import eligibility, outbox
from crossroads.mail.addresses import email_key
from crossroads.mail.kinds import MailKind
from models import ConsentEvent, Lead, Message, now, writing
from tests.support.people import address
from tests.support.queued_mail import queue_mail

PROOF = Evidence(form="signup", page="/compare", ip="192.0.2.0", user_agent="Tester")


@pytest.fixture
def session(engine: Engine) -> Iterator[Session]:
    with Session(engine) as session:
        yield session


def capture(session: Session, email: str = "maria@example.com", **touch: str) -> Lead:
    signup = leads.Submission(
        address=address(email),
        name="Maria",
        touch=Touch(**touch),
        wording="Email me.",
        evidence=PROOF,
    )
    leads.capture(session, [signup])
    return session.scalars(select(Lead).where(Lead.email_key == email_key(email))).one()


def kinds(session: Session, model: type[ConsentEvent] | type[Message]) -> list[str]:
    return list(session.scalars(select(model.kind).order_by(model.id)))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("maria@example.com", "MARIA@Example.COM"),
        ("Stra\u00dfe@example.com", "STRA\u1e9eE@example.com"),
        ("jos\u00e9@example.com", "jose\u0301@example.com"),
        ("maria@b\u00fccher.example", "maria@xn--bcher-kva.example"),
    ],
)
def test_spellings_of_one_address_are_the_same_lead(one: str, other: str) -> None:
    assert email_key(one) == email_key(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("stra\u00dfe@example.com", "strasse@example.com"),
        ("\u03c3@example.com", "\u03c2@example.com"),
        ("\u0131da@example.com", "ida@example.com"),
        ("i\u0307da@example.com", "ida@example.com"),
    ],
)
def test_different_mailboxes_are_different_leads(session: Session, one: str, other: str) -> None:
    assert capture(session, one).id != capture(session, other).id


def test_mail_goes_to_the_canonical_spelling_of_the_address(session: Session) -> None:
    lead = capture(session, "maria@example.com")
    # As stored by releases that mailed the spelling typed first.
    lead.email, lead.words = "\uff2daria@example.com", None
    session.flush()
    for spelling in ("MARIA@example.com", "maria@example.com"):
        capture(session, spelling)
        session.refresh(lead)
        assert lead.email == "maria@example.com"
    mailed = set(session.scalars(select(Message.recipient)))
    assert mailed == {"maria@example.com"}


def test_lead_consent_and_mail_are_stored_in_one_transaction(engine: Engine) -> None:
    with Session(engine) as session:
        writing(session)
        capture(session)
        session.rollback()
    with Session(engine) as session:
        for model in (Lead, ConsentEvent, Message):
            assert session.scalar(select(func.count()).select_from(model)) == 0


def test_concurrent_sign_ups_of_one_address_make_one_lead(engine: Engine) -> None:
    def sign_up(number: int) -> None:
        with Session(engine) as session:
            writing(session)
            capture(session, "Maria@example.com" if number % 2 else "maria@example.com")
            session.commit()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(sign_up, range(40)))
    with Session(engine) as session:
        assert session.scalar(select(func.count(Lead.id))) == 1
        assert kinds(session, ConsentEvent) == ["given"] * 40
        assert len(kinds(session, Message)) >= outbox.MAILS_AN_HOUR


def test_first_touch_is_kept_at_a_second_sign_up(session: Session) -> None:
    capture(session, page="/compare/a", utm_source="first")
    lead = capture(session, page="/compare/b", utm_source="second")
    assert (lead.page, lead.utm_source) == ("/compare/a", "first")


def test_last_touch_changes_only_until_the_lead_confirms(session: Session) -> None:
    capture(session, page="/compare/a", utm_source="first")
    lead = capture(session, page="/compare/b", utm_campaign="second")
    assert (lead.last_page, lead.last_utm_source, lead.last_utm_campaign) == (
        "/compare/b",
        None,
        "second",
    )
    leads.confirm(session, lead.confirm_token, PROOF)
    signed_up = lead.last_signup_at
    lead = capture(session, page="/compare/c", utm_campaign="a stranger's")
    assert (lead.last_page, lead.last_signup_at) == ("/compare/b", signed_up)


def test_bounced_lead_is_mailable_after_confirming_again(
    session: Session,
) -> None:
    lead = capture(session)
    leads.confirm(session, lead.confirm_token, PROOF)
    session.flush()
    welcome = session.scalars(select(Message).where(Message.kind == "welcome")).one()
    leads.bounced(session, welcome)

    def held(message: Message) -> bool:
        message.owner = "worker"
        session.flush()
        return eligibility.admit(session, message, "worker") is None

    assert lead.state == "confirmed"
    assert held(welcome)
    capture(session)
    session.flush()
    question = session.scalars(select(Message).order_by(Message.id.desc())).first()
    assert question is not None
    assert question.kind == "confirm"
    assert not held(question)
    leads.confirm(session, lead.confirm_token, PROOF)
    queue_mail(session, MailKind.ALREADY, lead)
    session.flush()
    news = session.scalars(select(Message).where(Message.kind == "already")).one()
    assert not held(news)


def test_repeated_confirmation_sends_one_welcome(session: Session) -> None:
    lead = capture(session)
    for _ in range(3):
        assert leads.confirm(session, lead.confirm_token, PROOF) == "done"
    assert lead.state == "confirmed"
    assert kinds(session, ConsentEvent) == ["given", "confirmed"]
    assert kinds(session, Message) == ["confirm", "welcome"]


@pytest.mark.parametrize("act", [leads.confirm, leads.unsubscribe], ids=["confirm", "unsubscribe"])
def test_concurrent_clicks_count_once(
    engine: Engine, act: Callable[[Session, str, Evidence], str]
) -> None:
    with Session(engine) as session:
        lead = capture(session)
        token = lead.confirm_token if act is leads.confirm else lead.unsubscribe_token
        session.commit()

    def click(_: int) -> str:
        with Session(engine) as session:
            writing(session)
            outcome = act(session, token, PROOF)
            time.sleep(0.02)  # as on a slower machine, so that the clicks overlap
            session.commit()
        return outcome

    with ThreadPoolExecutor(6) as pool:
        assert set(pool.map(click, range(6))) == {"done"}
    with Session(engine) as session:
        assert len(kinds(session, ConsentEvent)) == 2  # the sign-up and the click
        assert kinds(session, Message).count("welcome") == (1 if act is leads.confirm else 0)


def test_concurrent_requests_stay_within_the_hourly_mail_limit(engine: Engine) -> None:
    with Session(engine) as session:
        token = capture(session).confirm_token
        session.commit()

    def ask(number: int) -> None:
        with Session(engine) as session:
            writing(session)
            if number % 2:
                leads.renew_link(session, token)
            else:
                capture(session, "MARIA@example.com")
            time.sleep(0.02)
            session.commit()

    with ThreadPoolExecutor(20) as pool:
        list(pool.map(ask, range(20)))
    with Session(engine) as session:
        assert len(kinds(session, Message)) == outbox.MAILS_AN_HOUR


def test_expired_link_does_not_confirm_and_can_be_renewed(session: Session) -> None:
    lead = capture(session)
    lead.confirm_until = now() - timedelta(seconds=1)
    assert leads.confirm(session, lead.confirm_token, PROOF) == "expired"
    assert lead.state == "pending"
    assert leads.renew_link(session, lead.confirm_token) == "expired"
    assert kinds(session, Message) == ["confirm", "confirm"]
    assert leads.confirm(session, lead.confirm_token, PROOF) == "done"


def test_confirmation_link_is_valid_for_seven_days(session: Session) -> None:
    lead = capture(session)
    assert not leads.link_expired(lead, now() + timedelta(days=6, hours=23))
    assert leads.link_expired(lead, now() + timedelta(days=7, hours=1))


def test_unsubscribe_invalidates_the_old_confirmation_link(session: Session) -> None:
    lead = capture(session)
    old = lead.confirm_token
    assert leads.unsubscribe(session, lead.unsubscribe_token, PROOF) == "done"
    session.flush()
    assert lead.state == "unsubscribed"
    assert leads.confirm(session, old, PROOF) == "unknown"


def test_second_unsubscribe_has_no_effect_and_undo_restores_the_lead(session: Session) -> None:
    lead = capture(session)
    leads.confirm(session, lead.confirm_token, PROOF)
    confirmed_at = lead.confirmed_at
    for _ in range(2):
        leads.unsubscribe(session, lead.unsubscribe_token, PROOF)
    assert lead.unsubscribed_at is not None
    for _ in range(2):
        leads.undo_unsubscribe(session, lead.unsubscribe_token, PROOF)
    session.flush()
    session.expire_all()
    assert (lead.state, lead.confirmed_at) == ("confirmed", confirmed_at)
    assert lead.unsubscribed_at is None
    assert kinds(session, ConsentEvent) == ["given", "confirmed", "unsubscribed", "resubscribed"]


def test_undo_does_not_confirm_a_pending_lead(session: Session) -> None:
    lead = capture(session)
    leads.unsubscribe(session, lead.unsubscribe_token, PROOF)
    leads.undo_unsubscribe(session, lead.unsubscribe_token, PROOF)
    assert lead.state == "pending"


def test_sign_up_after_unsubscribe_needs_a_new_confirmation(session: Session) -> None:
    lead = capture(session)
    leads.unsubscribe(session, lead.unsubscribe_token, PROOF)
    session.flush()
    lead = capture(session)
    assert lead.state == "unsubscribed"
    assert leads.confirm(session, lead.confirm_token, PROOF) == "done"
    assert lead.state == "confirmed"


@pytest.mark.parametrize("verb", [leads.confirm, leads.unsubscribe, leads.undo_unsubscribe])
def test_unknown_token_has_no_effect(session: Session, verb: object) -> None:
    capture(session)
    assert verb(session, "no-such-token", PROOF) == "unknown"  # type: ignore[operator]
    assert kinds(session, ConsentEvent) == ["given"]


def test_times_are_read_as_utc_with_a_time_zone(session: Session) -> None:
    capture(session)
    session.commit()
    session.expire_all()
    created = session.scalars(select(Lead.created_at)).one()
    assert created.utcoffset() == timedelta(0)
    assert abs(now() - created) < timedelta(minutes=1)
