"""The waiting list of a cohort: join, confirm, count. To unsubscribe is to leave it.

Anyone may enter an address; only its owner, with the mailed link, joins the list.
That holds for an address that is confirmed for something else too. A buyer whose payment arrived
after the last seat was sold joins without confirming: the payment proves the request.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, func, select

from crossroads.content import Cohort, Content, Course
from crossroads.leads import consent
from crossroads.leads import lifecycle as leads
from crossroads.leads.consent import Evidence
from crossroads.leads.lifecycle import CONFIRM_DAYS, Outcome, Submission, Touch
from crossroads.mail import outbox, suppressions
from crossroads.mail.addresses import Address, cleaned
from crossroads.mail.kinds import MailKind
from models import Lead, Order, Waiting, insert_for, now
from models.base import AnySession
from models.consent import ConsentKind
from models.lead import LeadState, new_token

WAITS: ColumnElement[bool] = Waiting.since.is_not(None) & Waiting.left_at.is_(None)


def wording(content: Content, course: str, cohort: str) -> str:
    """Return the sentence beside the form's checkbox for these dates, as the page shows it."""
    title, dates = describe_cohort(content, course, cohort)
    words = content.site.waiting_list.consent
    return words.replace("{course}", title).replace("{dates}", dates)


def describe_cohort(content: Content, course: str, cohort: str) -> tuple[str, str]:
    """Return the course and the dates of a cohort as text; slug and code if it was removed."""
    found = content.course(course)
    run = found.cohort(cohort) if found else None
    return found.title if found else course, run.dates if run else cohort


def join(
    session: AnySession, signups: Sequence[Submission], *, course: Course, cohort: Cohort
) -> None:
    """Record a request to join the list: consent event and mail."""
    for signup in signups:
        kind = ConsentKind.HELD_TO_WAIT if signup.suspect else ConsentKind.ASKED_TO_WAIT
        lead = leads.record(session, signup, kind)
        waiting = _find_or_add(session, lead, course.slug, cohort.code)
        if not signup.suspect:
            _ask(session, lead, waiting)


def add_buyer(session: AnySession, order: Order) -> None:
    """Add the buyer of an order to its waiting list: the payment arrived after the last seat.

    The ledger of consent says what was paid for, and in which order. Who unsubscribed or may not be
    mailed is left alone. The caller holds the order's lock.
    """
    if not order.email or suppressions.find(session, order.address_hash):
        return
    address = Address(typed=cleaned(order.email), key=order.email_key, hash=order.address_hash)
    page = f"/courses/{order.course}/enroll"
    lead = leads.of_address(session, address, lock=True) or leads.find_or_add(
        session, address=address, name=order.name, touch=Touch(page=page), state=LeadState.WAITING
    )
    if lead.state == LeadState.UNSUBSCRIBED:
        return
    wording = f"Paid for {order.item}, order {order.id}, when no seat was left in it."
    consent.record(
        session, lead, ConsentKind.PAID_TO_WAIT, Evidence(form="order", page=page), wording
    )
    waiting = _find_or_add(session, lead, order.course, order.cohort)
    if not waiting.waits:
        waiting.since, waiting.left_at = now(), None


def of_buyer(session: AnySession, order: Order) -> Lead | None:
    """Return the buyer of an order if they are on its waiting list now."""
    dates = (Waiting.course == order.course) & (Waiting.cohort == order.cohort)
    query = select(Lead).join(Waiting, Waiting.lead_id == Lead.id)
    return session.scalar(query.where(Lead.address_hash == order.address_hash, dates, WAITS))


def find(session: AnySession, token: str) -> tuple[Waiting, Lead] | None:
    """Return the entry whose confirmation link has the token, and its lead."""
    query = select(Waiting, Lead).join(Lead, Lead.id == Waiting.lead_id)
    row = session.execute(query.where(Waiting.token == token)).one_or_none()
    return (row[0], row[1]) if row else None


def link_expired(waiting: Waiting, at: datetime) -> bool:
    """Return whether the confirmation link has expired. A used link never expires."""
    return not waiting.waits and waiting.confirm_until < at


def confirm(session: AnySession, token: str, evidence: Evidence) -> Outcome:
    """Add the owner of a mailed link to the list. Confirming twice changes nothing more."""
    found = _locked(session, token)
    if found is None:
        return "unknown"
    waiting, lead = found
    at = now()
    if link_expired(waiting, at):
        return "expired"
    if not waiting.waits or suppressions.find(session, lead.address_hash):
        waiting.since, waiting.left_at = at, None
        if lead.state == LeadState.UNSUBSCRIBED:
            # Resubscribed to this list only: their earlier consent stays withdrawn.
            lead.confirmed_at, lead.unsubscribed_at = None, None
        consent.record(session, lead, ConsentKind.WAITING, evidence)
        suppressions.lift(session, lead.address_hash)
        outbox.enqueue_rate_limited(session, MailKind.WAITING, lead, waiting=waiting)
    return "done"


def renew_link(session: AnySession, token: str) -> Outcome:
    """Mail a new confirmation link to the owner of an expired one."""
    found = _locked(session, token)
    if found is None:
        return "unknown"
    waiting, lead = found
    if waiting.waits:
        return "done"
    _ask(session, lead, waiting)
    return "expired"


def send_confirmations(session: AnySession, lead: Lead) -> None:
    """Mail a confirmation link for each waiting list that the lead asked to join."""
    query = select(Waiting).where(Waiting.lead_id == lead.id, Waiting.since.is_(None))
    for waiting in session.scalars(query.order_by(Waiting.id)):
        _ask(session, lead, waiting)


@dataclass(frozen=True, kw_only=True)
class ListSize:
    """The number of people who wait for one cohort. `course` is slug/code, as in list filters."""

    course: str
    name: str
    waiting: int


def list_sizes(session: AnySession, content: Content) -> list[ListSize]:
    """Return each cohort with people on its waiting list, by its course and code."""
    query = select(Waiting.course, Waiting.cohort, func.count()).where(WAITS)
    query = query.group_by(Waiting.course, Waiting.cohort).order_by(Waiting.course, Waiting.cohort)
    return [
        ListSize(
            course=f"{course}/{cohort}",
            name=", ".join(describe_cohort(content, course, cohort)),
            waiting=number,
        )
        for course, cohort, number in session.execute(query)
    ]


def _ask(session: AnySession, lead: Lead, waiting: Waiting) -> None:
    """Mail a confirmation link, or "already on the list", within the hourly limit."""
    if waiting.waits and not suppressions.find(session, lead.address_hash):
        most = outbox.REMINDERS_AN_HOUR
        outbox.enqueue_rate_limited(session, MailKind.WAITING, lead, most=most, waiting=waiting)
    elif outbox.enqueue_rate_limited(session, MailKind.WAIT, lead, waiting=waiting):
        waiting.confirm_until = now() + timedelta(days=CONFIRM_DAYS)


def _locked(session: AnySession, token: str) -> tuple[Waiting, Lead] | None:
    """Return what the link stands for, its lead locked: unsubscribing may make the link void."""
    query = select(Lead).join(Waiting, Waiting.lead_id == Lead.id).where(Waiting.token == token)
    session.execute(query.with_for_update(of=Lead))
    session.expire_all()
    return find(session, token)


def _find_or_add(session: AnySession, lead: Lead, course: str, cohort: str) -> Waiting:
    at = now()
    session.execute(
        insert_for(session, Waiting)
        .values(
            lead_id=lead.id,
            course=course,
            cohort=cohort,
            confirm_until=at + timedelta(days=CONFIRM_DAYS),
            token=new_token(),
            asked_at=at,
        )
        .on_conflict_do_nothing(index_elements=[Waiting.lead_id, Waiting.course, Waiting.cohort])
    )
    return session.scalars(
        select(Waiting).where(
            Waiting.lead_id == lead.id, Waiting.course == course, Waiting.cohort == cohort
        )
    ).one()
