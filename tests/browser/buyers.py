"""Sample orders in every state, for the pages of orders and seats in the admin area."""

from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from models import Message, Order, StripeEvent
from models.message import MessageState
from tests.browser.crowd import LONGEST
from tests.support.order_states import STATES, bring


def sell(session: Session, at: datetime) -> Order:
    """Add an order in each state, and one with every feature of an order; return that one.

    It has the longest address, several seats, an undelivered mail and an unprocessed event.
    """
    for state in STATES:
        bring(session, state)
    name = "Wilhelmina Featherstonehaugh-Chatterjee"
    order = bring(session, "paid", email=LONGEST, name=name, number=5)
    # As long as ids from Stripe can be.
    order.session_id = "cs_test_" + "a1b2C3d4E5" * 6
    order.payment_intent = "pi_3PqRsTuVwXyZ0123456789ab"
    lost = session.scalars(select(Message).where(Message.order_id == order.id)).all()[-1]
    lost.state, lost.attempts = MessageState.DEAD, 12
    lost.error = "554 5.7.1 The receiving server refused the mail: the mailbox is full"
    session.add(
        StripeEvent(
            id="evt_3PqRsTuVwXyZ0123456789ab",
            kind="checkout.session.async_payment_succeeded",
            object_id=order.session_id,
            attempts=7,
            error="APIConnectionError",
            due_at=at + timedelta(days=1),  # the worker must not process it during the test
        )
    )
    return order
