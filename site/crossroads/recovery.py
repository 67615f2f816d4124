"""Recovery: payments whose order is not in this database, found at Stripe and settled by staff.

No transaction is open while Stripe is asked.
"""

from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from typing import Final

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from crossroads import identity, lost_checkouts, settlement
from crossroads.content import Content
from crossroads.lost_checkouts import LostError
from crossroads.payments import Gateway, PaymentsAway, PaymentsError, PaymentsRefused
from models import writing

BATCH: Final = 100
RETURNED: Final = "charge_already_refunded"


def find(engine: Engine, gateway: Gateway, since: datetime, suppression_key: str) -> Iterator[None]:
    """Note what this site sold since a moment and what is not here, some at a time.

    Nothing is noted with a key of another mode than the database's. Raises PaymentsAway and
    PaymentsRefused.
    """
    with Session(engine) as session:
        mode = identity.of(session).stripe_mode
        session.commit()
    if mode not in (None, identity.mode_of(live=gateway.live)):
        return
    listed = gateway.checkouts(since)
    while batch := list(islice(listed, BATCH)):
        with Session(engine) as session:
            writing(session)
            lost_checkouts.note(session, batch, suppression_key)
            session.commit()
        yield


def look_after(
    engine: Engine, gateway: Gateway, cause: str
) -> Iterator[tuple[str, PaymentsError | None]]:
    """Bring each lost checkout to where it is at Stripe; yield it, and why that failed if it did.

    The caller ends it when asking for the rest would be no use.
    """
    with Session(engine) as session:
        waiting = lost_checkouts.undecided(session, live=gateway.live)
    for session_id in waiting:
        try:
            checkout = gateway.retrieve(session_id)
            payment = checkout.payment_intent if checkout.paid else None
            returned = list(gateway.refunds(payment)) if payment else []
        except PaymentsError as error:
            yield session_id, error
            continue
        with Session(engine) as session:
            writing(session)
            lost_checkouts.refresh(session, session_id, checkout, returned, cause)
            session.commit()
        yield session_id, None


def enroll(engine: Engine, gateway: Gateway, session_id: str, content: Content, cause: str) -> int:
    """Make the order again and bring it to where it is at Stripe; return its number.

    Raises LostError, PaymentsAway and PaymentsRefused. After the latter two the order is here, and
    the sweep asks again.
    """
    with Session(engine) as session:
        writing(session)
        number = lost_checkouts.adopt(session, session_id, content, cause).id
        session.commit()
    settlement.settle(engine, gateway, number, cause)
    return number


def refund(engine: Engine, gateway: Gateway, session_id: str, cause: str) -> None:
    """Return the whole payment, once. Raises LostError, PaymentsAway and PaymentsRefused.

    Asking again after no answer came returns nothing twice.
    """
    with Session(engine) as session:
        payment, key = lost_checkouts.to_refund(session, session_id)
        session.rollback()
    failed = False
    if payment is not None:  # a code took the whole price off otherwise
        try:
            made = gateway.refund(payment, None, key=key, reference=key)
            failed = not made.counts
        except PaymentsRefused as error:
            if error.code != RETURNED:
                raise
        except PaymentsAway as error:
            if error.key_spent:
                _ask_with_new_key(engine, session_id)
            raise
    if failed:
        _ask_with_new_key(engine, session_id)
        raise LostError("the refund failed: return the money in another way, or try again")
    with Session(engine) as session:
        writing(session)
        lost_checkouts.refunded(session, session_id, cause)
        session.commit()


def _ask_with_new_key(engine: Engine, session_id: str) -> None:
    with Session(engine) as session:
        writing(session)
        lost_checkouts.ask_with_new_key(session, session_id)
        session.commit()
