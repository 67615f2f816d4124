"""Retention: who never confirmed is not kept for ever."""

from datetime import datetime

from sqlalchemy import delete, exists, select

from crossroads import consent
from models import ConsentEvent, Lead, Message, Order, Waiting
from models.base import AnySession
from models.lead import HELD, PENDING, WAITING

AT_ONCE = 500
# Whoever did one of these once was the owner of the address, and is not forgotten unasked.
OWNERS = (
    consent.CONFIRMED,
    consent.WAITING,
    consent.IMPORTED,
    consent.UNSUBSCRIBED,
    consent.ERASED,
)


def purge(session: AnySession, before: datetime) -> int:
    """Delete up to 500 leads whose last sign-up lies before then and who never answered to it.

    Their events and mails go with them. Buyers stay. Returns how many leads there were.
    """
    known = exists().where(ConsentEvent.lead_id == Lead.id, ConsentEvent.kind.in_(OWNERS))
    bought = exists().where(Order.address_hash == Lead.address_hash)
    query = (
        select(Lead.id)
        .where(Lead.state.in_((PENDING, HELD, WAITING)), Lead.last_signup_at < before)
        .where(~known, ~bought)
        .limit(AT_ONCE)
        .with_for_update()  # whoever signs up at this moment waits, and is a new lead then
    )
    numbers = session.scalars(query).all()
    for model in (Message, ConsentEvent, Waiting):
        session.execute(delete(model).where(model.lead_id.in_(numbers)))
    session.execute(delete(Lead).where(Lead.id.in_(numbers)))
    return len(numbers)
