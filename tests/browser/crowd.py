"""Sample leads of five weeks, so that the admin area has data to show."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

from crossroads.mail.kinds import MailKind
from models import Announcement, ConsentEvent, Lead, Message
from models.base import AnySession
from models.consent import ConsentKind
from models.lead import LeadState
from models.message import MessageState
from tests.support.people import hashed

CONSENT = (
    "Email me when a new comparison is published or course dates open. "
    "I can unsubscribe in one click."
)
COMPARISON = "/compare/ai-product-manager-vs-traditional-product-manager"
COURSE = "/courses/ai-pm-bootcamp"

FIRST = ("Ana", "Ben", "Chioma", "Dmitri", "Élodie", "Farah", "Grace", "Hiro", "Inés", "Jonas")
LAST = ("Okafor", "Lindqvist", "Marchetti", "Nakamura", "Petrov", "Quispe", "Rahman", "Silva")
PAGES = (COMPARISON, COMPARISON, COMPARISON, COURSE, "/signup")
CAMPAIGNS = (None, "spring-launch", None, "newsletter-14", "career-talk")
STATES = (
    LeadState.CONFIRMED,
    LeadState.CONFIRMED,
    LeadState.PENDING,
    LeadState.CONFIRMED,
    LeadState.UNSUBSCRIBED,
    LeadState.CONFIRMED,
    LeadState.PENDING,
    LeadState.HELD,
)
# Sign-ups per day, the oldest first.
DAYS = (2, 3, 1, 4, 3, 2, 0, 5, 4, 3, 6, 2, 1, 3, 4, 7, 5, 2, 3, 1, 4, 6, 8, 5, 3, 2, 4, 6, 9, 7)
AGENT = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/156.0.0.0 Safari/537.36"
LONGEST = "a.person.with.a.very.long.address.that.must.break@subdomain.example-company.org"


def gather(session: AnySession, at: datetime) -> None:
    """Add the leads to the session, the last of them a few minutes before `at`."""
    leads = [
        _lead(number, at - timedelta(days=len(DAYS) - 1 - day, minutes=7 + 41 * turn))
        for number, (day, turn) in enumerate(
            (day, turn) for day, signups in enumerate(DAYS) for turn in range(signups)
        )
    ]
    _add(session, leads)


def add_extreme(session: AnySession, at: datetime) -> Lead:
    """Add a lead with every fact a lead can have, with long values, and mail in several states.

    And an announcement that is not sent yet.
    """
    session.add(
        Announcement(
            subject=f"A word to {LONGEST}", body="## News\n\nSee [the course](/courses).", rate=60
        )
    )
    lead = Lead(
        email=LONGEST,
        email_key=LONGEST,
        address_hash=hashed(LONGEST),
        name="Wilhelmina Featherstonehaugh-Chatterjee",
        state=LeadState.UNSUBSCRIBED,
        page=COURSE,
        utm_source="partner-newsletter",
        utm_medium="email",
        utm_campaign="spring-launch",
        utm_term="ai pm course",
        utm_content="second button",
        created_at=at,
        confirm_until=at + timedelta(days=7),
        confirmed_at=at,
        unsubscribed_at=at,
    )
    _add(session, [lead])

    def mail(kind: MailKind, **given: Any) -> Message:
        return Message(
            kind=kind,
            recipient=lead.email,
            address_hash=lead.address_hash,
            lead_id=lead.id,
            created_at=at,
            **given,
        )

    reason = "554 5.7.1 The receiving server refused the mail: the mailbox is full"
    session.add_all(
        [
            mail(MailKind.CONFIRM, state=MessageState.SENT, attempts=1, sent_at=at),
            mail(MailKind.WELCOME, state=MessageState.SENT, attempts=2, sent_at=at),
            mail(MailKind.ALREADY, state=MessageState.DEAD, attempts=12, error=reason),
        ]
    )
    return lead


def _add(session: AnySession, leads: Sequence[Lead]) -> None:
    session.add_all(leads)
    session.flush()
    for lead in leads:
        session.add_all(_ledger(lead))


def _lead(number: int, at: datetime) -> Lead:
    first, last = FIRST[number % len(FIRST)], LAST[number * 3 % len(LAST)]
    state = STATES[number % len(STATES)]
    email = f"{first}.{last}{number}@example.com".lower().replace("é", "e")
    campaign = CAMPAIGNS[number % len(CAMPAIGNS)]
    return Lead(
        email=email,
        email_key=email,
        address_hash=hashed(email),
        name=f"{first} {last}" if number % 3 else "",
        state=state,
        page=PAGES[number % len(PAGES)],
        utm_source="letter" if campaign else None,
        utm_campaign=campaign,
        created_at=at,
        confirm_until=at + timedelta(days=7),
        confirmed_at=at + timedelta(minutes=3)
        if state in (LeadState.CONFIRMED, LeadState.UNSUBSCRIBED)
        else None,
        unsubscribed_at=at + timedelta(minutes=5) if state == LeadState.UNSUBSCRIBED else None,
    )


def _ledger(lead: Lead) -> list[ConsentEvent]:
    acts = [("given", "signup", lead.created_at)]
    if lead.confirmed_at:
        acts.append(("confirmed", "confirm", lead.confirmed_at))
    if lead.unsubscribed_at:
        acts.append(("unsubscribed", "one-click", lead.unsubscribed_at))
    return [
        ConsentEvent(
            lead_id=lead.id,
            address_hash=lead.address_hash,
            kind=ConsentKind(kind),
            form=form,
            wording=CONSENT if kind == "given" else "",
            wording_hash=sha256(CONSENT.encode()).hexdigest() if kind == "given" else "",
            page=lead.page,
            ip="203.0.113.0",
            user_agent=AGENT,
            created_at=at,
        )
        for kind, form, at in acts
    ]
