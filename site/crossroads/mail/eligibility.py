"""Decide for each queued message: send it, hold it with a reason, or defer it."""

from datetime import datetime
from typing import assert_never

from sqlalchemy import case, literal, select

from crossroads.mail import kinds, outbox, suppressions
from crossroads.mail.kinds import LIMITED, MailKind, SendIf
from crossroads.mail.outbox import ERASED, HOUR, MAILS_AN_HOUR
from models.base import AnySession, now
from models.enrollment import Enrollment
from models.lead import Lead, LeadState
from models.message import Message, MessageState
from models.order import Order
from models.user import User
from models.waiting_list import Waiting

Receiver = Lead | Order | Enrollment | User


def admit(session: AnySession, message: Message, owner: str) -> Receiver | None:
    """Return the receiver of a claimed message, or hold, defer or give up the message.

    All mail passes here, in the transaction that claims it. The kind's `send_if` is the state that
    the receiver must be in; if it is not, the message is held with the reason. A message over the
    hourly limit of its address is due again when the limit allows it.
    """
    if message.attempts > outbox.TRIES:
        outbox.give_up(
            session, message, owner, message.error or "stopped in the middle of every try"
        )
        return None
    kind = kinds.find(message.kind)
    if kind is None:  # queued by another version of the app, which may be the next to claim it
        outbox.retry_later(session, message, owner, f"no mail of kind {message.kind} is known here")
        return None
    receiver, reason = _receiver(session, message, kind)
    if receiver is None:
        outbox.hold(session, message, owner, reason)
        return None
    allowed_at = _allowed_at(session, message) if kind.limited else None
    if allowed_at is not None:
        outbox.defer(session, message, owner, allowed_at)
        return None
    return receiver


def _allowed_at(session: AnySession, message: Message) -> datetime | None:
    """Return when a limited mail may be sent if its address is at its limit now; else None.

    Mail is also counted when it is queued. But after an outage of the mail server, the mail of many
    hours is sent at once. A mail that another worker is sending counts as sent.
    """
    at = now()
    in_hand = (Message.state == MessageState.DUE) & (Message.lease_until > at)
    gone_at = case((in_hand, literal(at, Message.sent_at.type)), else_=Message.sent_at)
    query = select(gone_at).where(
        Message.address_hash == message.address_hash,
        Message.kind.in_(LIMITED),
        Message.id != message.id,
        in_hand | ((Message.state == MessageState.SENT) & (Message.sent_at > at - HOUR)),
    )
    first: datetime | None = session.scalar(
        query.order_by(gone_at.desc()).offset(MAILS_AN_HOUR - 1).limit(1)
    )
    return first + HOUR if first is not None else None


def _receiver(session: AnySession, message: Message, kind: MailKind) -> tuple[Receiver | None, str]:
    """Return the receiver, or None and the reason to hold the message."""
    if message.user_id is not None:  # the test of an announcement
        return session.get(User, message.user_id), ERASED
    match kind.send_if:
        case SendIf.BUYER:
            return _buyer(session, message)
        case SendIf.SEAT_TAKEN | SendIf.SEAT_LOST:
            return _participant(session, message, kind.send_if)
        case (
            SendIf.LEAD_NOT_CONFIRMED | SendIf.LEAD_CONFIRMED | SendIf.NOT_WAITING | SendIf.WAITING
        ):
            return _lead(session, message, kind)
        case _:
            assert_never(kind.send_if)


def _buyer(session: AnySession, message: Message) -> tuple[Order | None, str]:
    order = session.get(Order, message.order_id) if message.order_id is not None else None
    return (order, "") if order is not None and order.email else (None, ERASED)


def _lead(session: AnySession, message: Message, kind: MailKind) -> tuple[Lead | None, str]:
    lead = session.get(Lead, message.lead_id) if message.lead_id is not None else None
    if lead is None or not lead.email:
        return None, ERASED
    suppression = suppressions.find(session, message.address_hash)
    asked_since = (
        kind.asks_to_confirm and suppression is not None and message.created_at > suppression.since
    )
    if suppression is not None and not asked_since:
        return None, f"the address is {suppression.reason}"
    waiting = session.get(Waiting, message.waiting_id) if message.waiting_id is not None else None
    waits = waiting is not None and waiting.waits
    if kind.send_if is SendIf.LEAD_CONFIRMED and lead.state != LeadState.CONFIRMED:
        return None, f"the receiver is {lead.state}"
    confirmed = lead.state == LeadState.CONFIRMED
    if kind.send_if is SendIf.LEAD_NOT_CONFIRMED and confirmed and not asked_since:
        return None, "the receiver has confirmed already"
    if kind.send_if is SendIf.NOT_WAITING and waits and not asked_since:
        return None, "the receiver is on the waiting list already"
    if lead.unsubscribed_at is not None and lead.unsubscribed_at >= message.created_at:
        return None, "the receiver has unsubscribed since"
    if kind.send_if is SendIf.WAITING and not waits:
        return None, "the receiver is not on the waiting list"
    return lead, ""


def _participant(
    session: AnySession, message: Message, send_if: SendIf
) -> tuple[Enrollment | None, str]:
    """Return the participant, or None and a reason: a seat can be lost, and taken again."""
    enrollment = (
        session.get(Enrollment, message.enrollment_id)
        if message.enrollment_id is not None
        else None
    )
    if enrollment is None or not enrollment.email:
        return None, ERASED
    has_seat = enrollment.kept and enrollment.ended_at is None
    if send_if is SendIf.SEAT_TAKEN:
        return (enrollment, "") if has_seat else (None, "the receiver no longer has the seat")
    if has_seat:
        return None, "the receiver has the seat again"
    order = session.get_one(Order, enrollment.order_id)
    if enrollment.address_hash != order.address_hash and not _knows_of(session, enrollment):
        return None, "the receiver was never invited"
    return enrollment, ""


def _knows_of(session: AnySession, enrollment: Enrollment) -> bool:
    """Return whether the participant was sent any mail about having the seat."""
    seat_kinds = [kind for kind in MailKind if kind.send_if is SendIf.SEAT_TAKEN]
    heard = select(Message.id).where(
        Message.enrollment_id == enrollment.id,
        Message.kind.in_(seat_kinds),
        Message.sent_at.is_not(None),
    )
    return session.scalar(heard.limit(1)) is not None
