"""Retention: deletes unconfirmed leads and names of replaced participants after a set time."""

from datetime import datetime

from sqlalchemy import delete, exists, select, update

from crossroads.database import identity
from crossroads.leads import search_index
from models import (
    CheckoutRequest,
    ConsentEvent,
    Enrollment,
    Hold,
    Lead,
    LostCheckout,
    Message,
    Order,
    OrderEvent,
    Waiting,
    personal_data,
)
from models.base import AnySession
from models.consent import ConsentKind
from models.lead import LeadState

AT_ONCE = 500
# Events that prove ownership: such leads are never deleted automatically.
OWNERS = (
    ConsentKind.CONFIRMED,
    ConsentKind.WAITING,
    ConsentKind.IMPORTED,
    ConsentKind.UNSUBSCRIBED,
    ConsentKind.ERASED,
)


def purge(session: AnySession, before: datetime) -> int:
    """Delete up to 500 leads whose last sign-up is before then and was never confirmed.

    Their events and mails go with them. Buyers and participants stay. Returns how many leads
    there were.
    """
    known = exists().where(ConsentEvent.lead_id == Lead.id, ConsentEvent.kind.in_(OWNERS))
    bought = exists().where(Order.address_hash == Lead.address_hash)
    seated = exists().where(
        Enrollment.address_hash == Lead.address_hash, Enrollment.email.is_not(None)
    )
    query = (
        select(Lead.id)
        .where(
            Lead.state.in_((LeadState.PENDING, LeadState.HELD, LeadState.WAITING)),
            Lead.last_signup_at < before,
        )
        .where(~known, ~bought, ~seated)
        .limit(AT_ONCE)
        .with_for_update()  # a sign-up at this moment waits, and is then a new lead
    )
    numbers = session.scalars(query).all()
    for model in (Message, ConsentEvent, Waiting):
        session.execute(delete(model).where(model.lead_id.in_(numbers)))
    search_index.remove(session, numbers)
    session.execute(delete(Lead).where(Lead.id.in_(numbers)))
    return len(numbers)


def forget_replaced(session: AnySession, before: datetime) -> int:
    """Remove the names of participants whose seat was reassigned before then.

    The row stays, so that their link still says so. Returns how many people there were.
    """
    query = select(Enrollment.id).where(Enrollment.ended_at < before, Enrollment.email.is_not(None))
    numbers = session.scalars(query.limit(AT_ONCE)).all()
    mailed = update(Message).where(Message.enrollment_id.in_(numbers))
    session.execute(mailed.values(personal_data.blank(Message)))
    gone = update(Enrollment).where(Enrollment.id.in_(numbers))
    session.execute(gone.values(personal_data.blank(Enrollment)))
    return len(numbers)


def forget_lost(session: AnySession, before: datetime) -> int:
    """Remove the names from payments without an order that were settled before then.

    Returns how many there were.
    """
    query = select(LostCheckout.session_id).where(
        LostCheckout.settled_at < before, LostCheckout.email != ""
    )
    ids = session.scalars(query.limit(AT_ONCE)).all()
    gone = update(LostCheckout).where(LostCheckout.session_id.in_(ids))
    session.execute(gone.values(personal_data.blank(LostCheckout)))
    return len(ids)


def purge_orders(session: AnySession, mode: str) -> int:
    """Delete the orders of a mode that does not count, lost ones too, and all their rows.

    Leads stay. Returns how many orders there were.
    """
    theirs = select(Order.id).where(Order.mode == mode, ~identity.counts())
    numbers = session.scalars(theirs.with_for_update()).all()
    for begin in range(0, len(numbers), AT_ONCE):
        some = numbers[begin : begin + AT_ONCE]
        seated = select(Enrollment.id).where(Enrollment.order_id.in_(some))
        mailed = Message.order_id.in_(some) | Message.enrollment_id.in_(seated)
        session.execute(delete(Message).where(mailed))
        for model in (Enrollment, Hold, CheckoutRequest, OrderEvent):
            session.execute(delete(model).where(model.order_id.in_(some)))
        session.execute(delete(Order).where(Order.id.in_(some)))
    if identity.of(session).stripe_mode not in (None, mode):
        session.execute(delete(LostCheckout).where(LostCheckout.mode == mode))
    return len(numbers)
