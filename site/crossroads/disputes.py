"""Disputes: what Stripe says of a payment that a bank takes back. Answering is done at Stripe."""

from crossroads import ledger, payments
from models import Order
from models.base import AnySession
from models.order import DISPUTE


def learn(session: AnySession, order: Order, found: payments.Dispute, cause: str) -> None:
    """Note what Stripe says of a dispute of the order's payment.

    The caller holds the order's lock.
    """
    ledger.record(
        session, order, DISPUTE, cause, subject=found.id, status=found.status, stripe_id=found.id,
        amount=found.amount, reason=found.reason, due_at=found.due_by,
    )  # fmt: skip
