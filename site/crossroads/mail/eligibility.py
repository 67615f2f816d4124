"""The one gate that all mail passes: whom a message may be sent to now, or why nobody."""

from datetime import datetime

from sqlalchemy import case, literal, select

from crossroads.mail import outbox, suppressions
from crossroads.mail.outbox import (
    CONFIRM,
    ERASED,
    HOUR,
    INVITATION,
    MAILS_AN_HOUR,
    MARKETING,
    PLACES,
    QUESTIONS,
    TRIGGERED,
    WAIT,
    WAITING,
)
from models.base import AnySession, now
from models.enrollment import Enrollment
from models.lead import CONFIRMED, Lead
from models.message import DUE, SENT, Message
from models.order import Order
from models.user import User
from models.waiting_list import Waiting

Receiver = Lead | Order | Enrollment | User


def admit(session: AnySession, message: Message, owner: str) -> Receiver | None:
    """Look at the receiver again: return whom to write to, or put the message away.

    The one gate that all mail passes, in the transaction that claimed it. Marketing goes to
    confirmed leads alone, mail about a waiting list to who is on it; a request to confirm goes to
    nobody who has confirmed, or has unsubscribed since asking. A suppressed address gets only
    what was asked for after that: a request to confirm, and what a buyer is owed. What may not go
    is held, with the reason; what would be more than is bearable waits until it is not.
    """
    if message.attempts > outbox.TRIES:
        outbox.give_up(
            session, message, owner, message.error or "stopped in the middle of every try"
        )
        return None
    receiver, reason = _receiver(session, message)
    if receiver is None:
        outbox.hold(session, message, owner, reason)
        return None
    bearable_at = _allowed_at(session, message)
    if bearable_at is not None:
        outbox.defer(session, message, owner, bearable_at)
        return None
    return receiver


def _allowed_at(session: AnySession, message: Message) -> datetime | None:
    """Return when a triggered mail may go, its address having had all it can bear; None for now.

    They were counted when they were queued; but those of many hours leave together when the mail
    server was away. What another worker has in hand counts as sent.
    """
    if message.kind not in TRIGGERED:
        return None
    at = now()
    in_hand = (Message.state == DUE) & (Message.lease_until > at)
    gone_at = case((in_hand, literal(at, Message.sent_at.type)), else_=Message.sent_at)
    query = select(gone_at).where(
        Message.address_hash == message.address_hash,
        Message.kind.in_(TRIGGERED),
        Message.id != message.id,
        in_hand | ((Message.state == SENT) & (Message.sent_at > at - HOUR)),
    )
    first: datetime | None = session.scalar(
        query.order_by(gone_at.desc()).offset(MAILS_AN_HOUR - 1).limit(1)
    )
    return first + HOUR if first is not None else None


def _receiver(session: AnySession, message: Message) -> tuple[Receiver | None, str]:
    """Return whom to write to, or None and the reason why nobody may be."""
    if message.enrollment_id is not None:
        return _participant(session, message)
    if message.order_id is not None:
        order = session.get_one(Order, message.order_id)
        return (order, "") if order.email else (None, ERASED)
    if message.user_id is not None:
        return session.get(User, message.user_id), ERASED
    lead = session.get(Lead, message.lead_id) if message.lead_id is not None else None
    if lead is None or not lead.email:
        return None, ERASED
    waiting = session.get(Waiting, message.waiting_id) if message.waiting_id is not None else None
    waits = waiting is not None and waiting.waits
    suppression = suppressions.find(session, message.address_hash)
    asks_anew = (
        message.kind in QUESTIONS
        and suppression is not None
        and message.created_at > suppression.since
    )
    left_at = lead.unsubscribed_at
    if suppression is not None and not asks_anew:
        return None, f"the address is {suppression.reason}"
    if message.kind in MARKETING and lead.state != CONFIRMED:
        return None, f"the receiver is {lead.state}"
    if message.kind == CONFIRM and lead.state == CONFIRMED and not asks_anew:
        return None, "the receiver has confirmed already"
    if message.kind == WAIT and waits and not asks_anew:
        return None, "the receiver is on the waiting list already"
    if left_at is not None and left_at >= message.created_at:
        return None, "the receiver has unsubscribed since"
    if message.kind in (WAITING, PLACES) and not waits:
        return None, "the receiver is not on the waiting list"
    return lead, ""


def _participant(session: AnySession, message: Message) -> tuple[Enrollment | None, str]:
    """Return the participant to write to, or None and the reason: seats go, and come back."""
    enrollment = session.get_one(Enrollment, message.enrollment_id)
    if not enrollment.email:
        return None, ERASED
    has_it = enrollment.kept and enrollment.ended_at is None
    if message.kind == INVITATION:
        return (enrollment, "") if has_it else (None, "the receiver no longer has the place")
    if has_it:
        return None, "the receiver has the place again"
    # Who never heard of a place is not told that it is gone. The buyer has heard by other mail.
    heard = select(Message.id).where(
        Message.enrollment_id == enrollment.id,
        Message.kind == INVITATION,
        Message.sent_at.is_not(None),
    )
    order = session.get_one(Order, enrollment.order_id)
    if enrollment.address_hash != order.address_hash and session.scalar(heard.limit(1)) is None:
        return None, "the receiver was never invited"
    return enrollment, ""
