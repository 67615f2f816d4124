"""One person: export all data stored about an address, or erase it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import select

from crossroads.content import Content
from crossroads.leads import consent
from crossroads.leads import lifecycle as leads
from crossroads.leads.consent import Evidence
from crossroads.leads.imports import batches
from crossroads.mail import outbox, suppressions
from crossroads.orders import ledger
from crossroads.orders import lifecycle as orders
from crossroads.orders.checkout import lost_checkouts
from models import (
    ConsentEvent,
    Enrollment,
    Hold,
    Lead,
    LostCheckout,
    Message,
    Order,
    Suppression,
    Waiting,
    now,
    personal_data,
)
from models.base import AnySession, Base
from models.lead import LeadState
from models.suppression import SuppressionReason

FORMAT = "crossroads-person-1"


@dataclass(frozen=True, kw_only=True)
class Person:
    """What is stored under the address with this hash. `enrollments` are the person's own seats,
    also those that have gone to others since.
    """

    address_hash: str
    lead: Lead | None
    consents: Sequence[ConsentEvent]
    waiting: Sequence[Waiting]
    messages: Sequence[Message]
    orders: Sequence[Order]
    enrollments: Sequence[Enrollment]
    suppression: Suppression | None
    lost: Sequence[LostCheckout] = ()

    @property
    def email(self) -> str:
        """The address as it was typed, last by the lead, else for an order or a seat."""
        if self.lead:
            return self.lead.email
        return (self.orders or self.enrollments or self.lost)[-1].email or ""


def find(session: AnySession, address_hash: str, *, lock: bool = False) -> Person | None:
    """Return all data stored about a person, or None when there is none.

    With `lock` nobody else changes lead and orders until the transaction ends.
    """
    bought = select(Order).where(Order.address_hash == address_hash, Order.email != "")
    bought = bought.order_by(Order.id)
    # Orders before the lead, the order in which fulfillment locks them: no deadlock.
    theirs = session.scalars(bought.with_for_update() if lock else bought).all()
    query = select(Lead).where(Lead.address_hash == address_hash, Lead.state != LeadState.ERASED)
    lead = session.scalar(query.with_for_update() if lock else query)
    held = select(Enrollment).where(
        Enrollment.address_hash == address_hash, Enrollment.email.is_not(None)
    )
    held = held.order_by(Enrollment.id)
    seats = session.scalars(held.with_for_update() if lock else held).all()
    paid = select(LostCheckout).where(
        LostCheckout.address_hash == address_hash, LostCheckout.email != ""
    )
    paid = paid.order_by(LostCheckout.made_at)
    lost = session.scalars(paid.with_for_update() if lock else paid).all()
    if lead is None and not theirs and not seats and not lost:
        return None
    mails = select(Message).where(Message.address_hash == address_hash, Message.recipient != "")
    places = select(Waiting).where(Waiting.lead_id == (lead.id if lead else None))
    return Person(
        address_hash=address_hash,
        lead=lead,
        consents=consent.events_of(session, lead.id) if lead else (),
        waiting=session.scalars(places.order_by(Waiting.id)).all(),
        messages=session.scalars(mails.order_by(Message.id)).all(),
        orders=theirs,
        enrollments=seats,
        suppression=suppressions.find(session, address_hash),
        lost=lost,
    )


def erase(session: AnySession, person: Person, evidence: Evidence) -> None:
    """Erase a person, found with `lock`, from everything stored here.

    What is kept names no one: the bare events of the ledger, the amounts of the orders, and the
    keyed hash of the address, which keeps a later import from mailing it. A sign-up with
    it again is a new lead.
    """
    outbox.erase(session, person.address_hash)
    if person.lead:
        leads.erase(session, person.lead, evidence)
    orders.erase(session, person.orders, person.enrollments)
    lost_checkouts.erase(person.lost)
    suppressions.add(session, person.address_hash, SuppressionReason.ERASED)


def upcoming_seats(person: Person, content: Content, today: date) -> list[Enrollment]:
    """Return the person's seats in cohorts that are not over."""
    found = []
    for seat in person.enrollments:
        if seat.ended_at is not None or not seat.kept:
            continue
        course = content.course(seat.course)
        cohort = course.cohort(seat.cohort) if course else None
        if cohort is not None and cohort.ends >= today:
            found.append(seat)
    return found


def data(session: AnySession, person: Person) -> dict[str, Any]:
    """Return all data stored about a person, ready for JSON. Times are UTC, ISO 8601.

    - format: "crossroads-person-1"; made_at; address_hash
    - suppression: why the address is not mailed (bounced, erased) and since when, or null
    - lead: id, email, name, state, signed_up_at, last_signup_at, confirmed_at, unsubscribed_at,
      first_touch and last_touch: page, utm_source, utm_medium, utm_campaign, utm_term,
      utm_content, and import, the file that the lead came with: id, at, file, consent_source, or
      null; null when the person never signed up
    - consent: what was agreed to and taken back: kind, at, form, page, page_version, wording,
      wording_hash (SHA-256), ip (truncated), user_agent
    - waiting_list: course, cohort, asked_at, since, left_at
    - mails: kind, recipient, state, queued_at, tries, sent_at, error
    - orders: number, course, cohort, item, seats, unit_amount and currency (smallest unit, ISO
      code), email, name, placed_at, stripe_session, stripe_payment, hold, the seats that are held
      for it: seats, until, network (truncated), or null, and events: kind, at, cause,
      amount_subtotal, amount_discount, amount_tax, amount_total; of refunds and disputes subject,
      status, stripe_id, amount, seats, seat_numbers, reason, due_at
    - enrollments: order, seat, course, cohort, email, name, enrolled_at, ended_at, when it went to
      someone else, and kept, whether it is paid for and not refunded
    - lost_checkouts: paid at Stripe for an order that is not here: number, course, cohort, item,
      quantity, amount, currency, email, name, stripe_session, stripe_payment, made_at, paid_at,
      settled_at, how

    What is not known is null. Keys of mailed links are left out: the holder of the file must not be
    able to act with it.
    """
    suppression = person.suppression
    return {
        "format": FORMAT,
        "made_at": _time(now()),
        "address_hash": person.address_hash,
        "suppression": suppression and _fields(suppression, "reason", "since"),
        "lead": person.lead and _lead(session, person.lead),
        "consent": [
            _fields(one, "kind", "form", "page", "page_version", "wording_hash", at="created_at")
            for one in person.consents
        ],
        "waiting_list": [
            _fields(one, "course", "cohort", "asked_at", "since", "left_at")
            for one in person.waiting
        ],
        "mails": [
            _fields(one, "kind", "state", "sent_at", queued_at="created_at", tries="attempts")
            for one in person.messages
        ],
        "orders": [_order(session, one) for one in person.orders],
        "enrollments": [
            _fields(
                one, "seat", "course", "cohort", "ended_at", "kept",
                order="order_id", enrolled_at="created_at",
            )
            for one in person.enrollments
        ],
        "lost_checkouts": [
            _fields(
                one, "number", "course", "cohort", "item", "quantity", "amount", "currency",
                "made_at", "paid_at", "settled_at", "how",
                stripe_session="session_id", stripe_payment="payment_intent",
            )
            for one in person.lost
        ],
    }  # fmt: skip


def _lead(session: AnySession, lead: Lead) -> dict[str, Any]:
    record = batches.of_lead(session, lead)
    return {
        **_fields(
            lead, "id", "state", "last_signup_at", "confirmed_at", "unsubscribed_at",
            signed_up_at="created_at",
        ),
        "import": record and _fields(record, "id", at="created_at"),
    }  # fmt: skip


def _order(session: AnySession, order: Order) -> dict[str, Any]:
    hold = session.get(Hold, order.id)
    return {
        **_fields(
            order, "course", "cohort", "item", "seats", "unit_amount", "currency",
            number="id", placed_at="created_at", stripe_session="session_id",
            stripe_payment="payment_intent",
        ),
        "hold": hold and _fields(hold, "seats", "until"),
        "events": [
            _fields(
                event, "kind", "cause", "amount_subtotal", "amount_discount", "amount_tax",
                "amount_total", "subject", "status", "stripe_id", "amount", "seats", "reason",
                "seat_numbers", "due_at", at="created_at",
            )
            for event in ledger.events(session, order)
        ],
    }  # fmt: skip


def _fields(row: Base, *names: str, **renamed: str) -> dict[str, Any]:
    """Return what a row says of the person, and columns by name or by another name given."""
    found = personal_data.stored(row)
    found |= {name: getattr(row, name) for name in names}
    found |= {name: getattr(row, column) for name, column in renamed.items()}
    return {name: _time(one) if isinstance(one, datetime) else one for name, one in found.items()}


def _time(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")
