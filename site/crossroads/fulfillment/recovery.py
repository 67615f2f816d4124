"""Recovery: payments whose order is not in this database, found at Stripe and settled by staff.

No transaction is open during calls to Stripe.
"""

from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from typing import Final

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from crossroads.content import Content
from crossroads.database import identity
from crossroads.database.writing_session import writing_session
from crossroads.fulfillment import repayments
from crossroads.orders.checkout import lost_checkouts
from crossroads.orders.checkout.lost_checkouts import LostError
from crossroads.orders.lifecycle import ForeignCheckout
from crossroads.payments import (
    Checkout,
    Gateway,
    PaymentsError,
    PaymentsRefused,
    PaymentsUnavailable,
)

BATCH: Final = 100
RETURNED: Final = "charge_already_refunded"
MISSING: Final = "resource_missing"


class OrderMissing(PaymentsError):
    """The account of the key does not know a lost checkout."""

    def __init__(self) -> None:
        super().__init__(
            "this Stripe account does not know the payment: put the key of the account that it was "
            "made in back, or refund it there"
        )


def find_lost(
    engine: Engine, gateway: Gateway, since: datetime, suppression_key: str
) -> Iterator[None]:
    """Store this site's sales since a moment whose orders are missing here, in batches.

    Stores nothing with a key of another mode than the database's. Raises PaymentsUnavailable and
    PaymentsRefused.
    """
    with Session(engine) as session:
        mode = identity.of(session).stripe_mode
        session.commit()
    if mode not in (None, identity.mode_of(live=gateway.live)):
        return
    listed = gateway.checkouts(since)
    while batch := list(islice(listed, BATCH)):
        with writing_session(engine) as session:
            lost_checkouts.note(session, batch, suppression_key)
        yield


def check_session(
    engine: Engine, gateway: Gateway, cause: str
) -> Iterator[tuple[str, PaymentsError | None]]:
    """Update each lost checkout to match Stripe; yield it, with the error if that failed.

    The caller stops it when further calls would fail as well.
    """
    with Session(engine) as session:
        waiting = lost_checkouts.undecided(session, live=gateway.live)
    for session_id in waiting:
        try:
            checkout = _checkout(gateway, session_id)
            payment = checkout.payment_intent if checkout.paid else None
            returned = list(gateway.refunds(payment)) if payment else []
        except OrderMissing as error:
            if not _forget_unpaid(engine, session_id):
                yield session_id, error
            continue
        except PaymentsError as error:
            yield session_id, error
            continue
        with writing_session(engine) as session:
            lost_checkouts.refresh(session, session_id, checkout, returned, cause)
        yield session_id, None


def enroll(engine: Engine, gateway: Gateway, session_id: str, content: Content, cause: str) -> int:
    """Recreate the order and update it to match Stripe; return its number.

    Order, enrollments and the end of the lost checkout are one commit, after Stripe reports it as
    paid. Raises LostError, PaymentsUnavailable and PaymentsRefused: either nothing was stored, or
    the order is stored and the sweep fetches its refunds and disputes.
    """
    try:
        checkout = _checkout(gateway, session_id)
    except OrderMissing as error:
        raise LostError(str(error)) from None
    with writing_session(engine) as session:
        try:
            number = lost_checkouts.enroll(session, checkout, content, cause)
        except ForeignCheckout as error:
            raise LostError(str(error)) from None
    repayments.settle_payment(engine, gateway, number, cause)
    return number


def refund(engine: Engine, gateway: Gateway, session_id: str, cause: str) -> None:
    """Refund the full payment, once. Raises LostError, PaymentsUnavailable and PaymentsRefused.

    A retry after a lost answer refunds nothing twice.
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
            if error.code == MISSING:
                raise LostError(str(OrderMissing())) from None
            if error.code != RETURNED:
                raise
        except PaymentsUnavailable as error:
            if error.key_spent:
                _retry_with_new_key(engine, session_id)
            raise
    if failed:
        _retry_with_new_key(engine, session_id)
        raise LostError("the refund failed: return the money in another way, or try again")
    with writing_session(engine) as session:
        lost_checkouts.refunded(session, session_id, cause)


def _checkout(gateway: Gateway, session_id: str) -> Checkout:
    """Return a checkout. Raises NotHere, PaymentsUnavailable and PaymentsRefused."""
    try:
        return gateway.retrieve(session_id)
    except PaymentsRefused as error:
        if error.code != MISSING:
            raise
        raise OrderMissing from None


def _forget_unpaid(engine: Engine, session_id: str) -> bool:
    with writing_session(engine) as session:
        return lost_checkouts.forget_unpaid(session, session_id)


def _retry_with_new_key(engine: Engine, session_id: str) -> None:
    with writing_session(engine) as session:
        lost_checkouts.retry_with_new_key(session, session_id)
