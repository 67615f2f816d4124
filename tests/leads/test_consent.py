"""The consent ledger: events are immutable, prove what was agreed, and determine a lead's state."""

import hashlib
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import Engine, select, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from crossroads.leads import consent
from crossroads.leads import lifecycle as leads
from crossroads.leads.consent import Evidence
from crossroads.leads.lifecycle import Touch
from crossroads.leads.waiting_list import confirm as confirm_place
from crossroads.leads.waiting_list import join, send_confirmations
from crossroads.mail import eligibility, suppressions
from crossroads.mail.kinds import MailKind
from crossroads.privacy import person, retention
from models import Base, ConsentEvent, Lead, Message, Waiting, now, writing
from models.consent import ConsentKind
from tests.support.consent import PROOF, WORDING, capture
from tests.support.databases import opened
from tests.support.orders import COURSE, SMALL
from tests.support.people import address, hashed, import_
from tests.support.queued_mail import queue_mail

START = datetime(2027, 1, 1, tzinfo=UTC)


def test_database_refuses_to_rewrite_an_event(engine: Engine) -> None:
    events_stay(engine)


def test_tables_made_from_the_models_refuse_to_rewrite_an_event(empty_database_url: str) -> None:
    with opened(empty_database_url) as engine:
        Base.metadata.create_all(engine)
        events_stay(engine)


def events_stay(engine: Engine) -> None:
    with Session(engine) as session:
        capture(session)
        session.commit()
        for values in (
            {"wording": "Email me and sell my address."},
            {"wording": ""},
            {"kind": "confirmed"},
            {"page": "/elsewhere"},
            {"page_version": "other"},
            {"lead_id": 7},
            {"address_hash": "x"},
            {"created_at": now()},
        ):
            with pytest.raises(DBAPIError, match="never rewritten"):
                session.execute(update(ConsentEvent).values(**values))
            session.rollback()
        session.execute(update(ConsentEvent).values(ip=None, user_agent=None))
        session.commit()
        event = session.scalars(select(ConsentEvent)).one()
        assert (event.wording, event.ip, event.user_agent) == (WORDING, None, None)
        # The text from an import file can be removed, but not replaced.
        brought = ConsentEvent(
            lead_id=event.lead_id,
            address_hash="",
            kind=ConsentKind.IMPORTED,
            form="import",
            wording="a card",
        )
        session.add(brought)
        session.commit()
        theirs = update(ConsentEvent).where(ConsentEvent.form == "import")
        with pytest.raises(DBAPIError, match="never rewritten"):
            session.execute(theirs.values(wording="another card"))
        session.rollback()
        session.execute(theirs.values(wording=""))
        session.commit()
        assert brought.wording == ""


def test_event_stores_the_shown_text_and_the_address_hash(engine: Engine) -> None:
    with Session(engine) as session:
        capture(session, "Maria@Example.com")
        lead = session.scalars(select(Lead)).one()
        (event,) = consent.events_of(session, lead.id)
        assert (event.kind, event.page, event.page_version) == ("given", "/compare", "abc")
        assert event.wording_hash == hashlib.sha256(WORDING.encode()).hexdigest()
        assert event.address_hash == lead.address_hash == hashed("maria@example.com")


@dataclass
class Known:
    """The expected facts about an address, kept without the code under test."""

    confirmed: bool = False
    left: bool = False
    suppressed: bool = False
    moved_on: datetime = START  # links mailed until then are invalid


class Sequences(RuleBasedStateMachine):
    """All actions of people, robots and staff, in any order, in one transaction."""

    engine: Engine
    people = st.sampled_from(["maria@example.com", "MARIA@example.com", "jo@example.com"])
    any_link = st.integers(0, 10_000)

    def __init__(self) -> None:
        super().__init__()
        self.clock = time_machine.travel(START, tick=False)
        self.traveller = self.clock.start()
        self.session = Session(self.engine)
        writing(self.session)
        self.known: dict[str, Known] = {}
        self.links: list[tuple[str, str, str, datetime]] = []  # kind, address, token, mailed
        self.mailed = 0

    def teardown(self) -> None:
        self.session.rollback()
        self.session.close()
        self.clock.stop()

    def of(self, email: str) -> Known:
        return self.known.setdefault(address(email).key, Known())

    def lead(self, email: str) -> Lead | None:
        return leads.of_address(self.session, address(email))

    def pick(self, kind: str, number: int) -> tuple[str, str, datetime] | None:
        found = [link[1:] for link in self.links if link[0] == kind]
        return found[number % len(found)] if found else None

    def after(self, seconds: float = 1) -> None:
        """Collect the links from new mail, and let time pass."""
        self.session.flush()
        query = select(Message).where(Message.id > self.mailed).order_by(Message.id)
        for message in self.session.scalars(query):
            self.mailed = message.id
            lead = self.session.get_one(Lead, message.lead_id)
            self.links.append(("out", lead.email_key, lead.unsubscribe_token, now()))
            if message.kind == MailKind.CONFIRM:
                self.links.append(("in", lead.email_key, lead.confirm_token, now()))
            elif message.kind == MailKind.WAIT:
                waiting = self.session.get_one(Waiting, message.waiting_id)
                self.links.append(("wait", lead.email_key, waiting.token, now()))
        self.traveller.shift(seconds)

    @initialize()
    def begin(self) -> None:
        self.after()

    @rule(email=people, suspect=st.booleans())
    def sign_up(self, email: str, suspect: bool) -> None:
        capture(self.session, email, suspect=suspect)
        self.after()

    @rule(email=people, suspect=st.booleans())
    def ask_to_wait(self, email: str, suspect: bool) -> None:
        asked = leads.Submission(
            address=address(email),
            name="",
            touch=Touch(),
            wording="Tell me.",
            evidence=replace(PROOF, form="waiting-list"),
            suspect=suspect,
        )
        join(self.session, [asked], course=COURSE, cohort=SMALL)
        self.after()

    @rule(number=any_link)
    def confirm(self, number: int) -> None:
        if link := self.pick("in", number):
            key, token, mailed = link
            known = self.known.setdefault(key, Known())
            outcome = leads.confirm(self.session, token, PROOF)
            if mailed <= known.moved_on:
                assert outcome == "unknown"
            elif outcome == "done":
                known.confirmed, known.left, known.suppressed = True, False, False
            self.after()

    @rule(number=any_link)
    def confirm_the_place(self, number: int) -> None:
        if link := self.pick("wait", number):
            key, token, mailed = link
            known = self.known.setdefault(key, Known())
            outcome = confirm_place(self.session, token, PROOF)
            if mailed <= known.moved_on:
                assert outcome == "unknown"
            elif outcome == "done":
                known.confirmed = known.confirmed and not known.left
                known.left = known.suppressed = False
            self.after()

    @rule(number=any_link)
    def ask_for_a_new_link(self, number: int) -> None:
        if link := self.pick("in", number):
            leads.renew_link(self.session, link[1])
            self.after()

    @rule(number=any_link)
    def unsubscribe(self, number: int) -> None:
        if link := self.pick("out", number):
            known = self.known.setdefault(link[0], Known())
            if leads.unsubscribe(self.session, link[1], PROOF) == "done" and not known.left:
                known.left, known.moved_on = True, now()
            self.after()

    @rule(number=any_link)
    def undo(self, number: int) -> None:
        if link := self.pick("out", number):
            if leads.undo_unsubscribe(self.session, link[1], PROOF) == "done":
                self.known.setdefault(link[0], Known()).left = False
            self.after()

    @rule(email=people)
    def bounce(self, email: str) -> None:
        query = select(Message).where(Message.address_hash == hashed(email)).limit(1)
        if message := self.session.scalar(query):
            leads.bounced(self.session, message)
            known = self.of(email)
            known.suppressed, known.moved_on = True, now()
            self.after()

    @rule(email=people)
    def import_(self, email: str) -> None:
        free = self.lead(email) is None and not self.of(email).suppressed
        taken = import_(self.session, email) == 1
        assert taken == free
        if taken:
            self.of(email).confirmed = True
        self.after()

    @rule(email=people)
    def release(self, email: str) -> None:
        if (lead := self.lead(email)) and leads.release(self.session, lead.id, PROOF):
            send_confirmations(self.session, lead)
            self.after()

    @rule(email=people)
    def erase(self, email: str) -> None:
        if found := person.find(self.session, hashed(email), lock=True):
            person.erase(self.session, found, Evidence(form="desk"))
            self.known[address(email).key] = Known(suppressed=True, moved_on=now())
            self.after()

    @rule(days=st.sampled_from([0, 8, 31]))
    def wait_and_purge(self, days: int) -> None:
        self.after(days * 86_400)
        retention.purge(self.session, now() - timedelta(days=30))
        self.session.expire_all()
        for key, known in self.known.items():
            if self.session.scalar(select(Lead.id).where(Lead.email_key == key)) is None:
                assert not known.confirmed
                assert not known.left
        self.after()

    @invariant()
    def ledger_alone_tells_every_state(self) -> None:
        for lead in self.session.scalars(select(Lead)):
            assert consent.state_of(consent.events_of(self.session, lead.id)) == lead.state

    @invariant()
    def gate_lets_marketing_to_those_alone_who_confirmed_since(self) -> None:
        for key, known in self.known.items():
            lead = self.session.scalar(select(Lead).where(Lead.email_key == key))
            wanted = known.confirmed and not known.left and not known.suppressed
            assert (lead is not None and self.mailable(lead)) == wanted, (key, known)
            assert (suppressions.find(self.session, hashed(key)) is not None) == known.suppressed

    def mailable(self, lead: Lead) -> bool:
        """Return whether a newsletter could be sent to the lead now, and roll back the trial."""
        with self.session.begin_nested() as trial:
            queue_mail(self.session, MailKind.ALREADY, lead)
            self.session.flush()
            message = self.session.scalars(select(Message).order_by(Message.id.desc())).first()
            assert message is not None
            admitted = eligibility.admit(self.session, message, "worker")
            trial.rollback()
        return admitted is not None


def test_only_confirmed_leads_are_mailable_after_any_sequence(engine: Engine) -> None:
    given = type("Given", (Sequences,), {"engine": engine})
    run_state_machine_as_test(
        given,
        settings=settings(
            # The order of actions does not depend on the database: the slower one gets few
            # examples.
            max_examples=20 if engine.dialect.name == "sqlite" else 6,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
