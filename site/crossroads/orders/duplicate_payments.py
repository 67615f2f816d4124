"""Duplicates: orders that were paid more than once. All payments after the first are refunded.

The recovery link of an expired checkout opens any number of copies, and each can be paid.
https://docs.stripe.com/payments/checkout/abandoned-carts
"""

from collections.abc import Iterable, Sequence
from typing import Final

from crossroads import payments
from crossroads.mail import outbox
from crossroads.mail.kinds import MailKind
from crossroads.orders import ledger
from crossroads.orders.projections import RefundState
from crossroads.payments import Checkout
from models import Order
from models.base import AnySession
from models.order import OrderEventKind
from models.stripe_words import RefundStatus

ALONG: Final = tuple(RefundStatus)  # from the first to the last


def note(session: AnySession, order: Order, checkout: Checkout, cause: str) -> None:
    """Record that a paid order was paid again by this checkout, and request a full refund.

    The caller holds the order's lock.
    """
    if checkout.payment_intent is not None:
        ledger.record(
            session, order, OrderEventKind.DUPLICATE, cause,
            subject=checkout.payment_intent, status=RefundStatus.ASKED,
            amount=checkout.amount_total, stripe_id=checkout.id,
        )  # fmt: skip


def key(duplicate: RefundState) -> str:
    """Return the idempotency key for refunding a duplicate at Stripe."""
    tries = f"-{duplicate.tries}" if duplicate.tries > 1 else ""
    return f"duplicate-{duplicate.reference}{tries}"


def missing(duplicate: RefundState, found: Iterable[payments.Refund]) -> bool:
    """Tell whether a part of a duplicate is not refunded yet, given its refunds at Stripe."""
    returned = sum(one.amount for one in found if one.counts)
    return duplicate.asked and returned < duplicate.amount


def retry_with_new_key(
    session: AnySession, order_id: int, duplicate: RefundState, cause: str
) -> None:
    """Use a new idempotency key: Stripe would answer the last one with the same failure."""
    order = ledger.lock(session, order_id)
    ledger.record(
        session, order, OrderEventKind.DUPLICATE, cause,
        subject=duplicate.reference, amount=duplicate.amount,
        status=f"{RefundStatus.ASKED}-{duplicate.tries + 1}",
    )  # fmt: skip


def record_status(
    session: AnySession,
    order: Order,
    duplicate: RefundState,
    found: Sequence[payments.Refund],
    cause: str,
) -> None:
    """Record the status of a duplicate's refunds at Stripe, given newest first.

    There are several if staff refunded a part of it. The buyer gets an email when the full amount
    is refunded. The caller holds the order's lock.
    """
    counting = [one for one in found if one.counts]
    whole = sum(one.amount for one in counting) >= duplicate.amount
    if whole:
        decisive = min(counting, key=lambda one: ALONG.index(one.status))
    else:
        failed = [one for one in found if not one.counts]
        if not failed:  # the rest is asked for, or was refused
            return
        decisive = failed[0]
    number = ledger.record(
        session, order, OrderEventKind.DUPLICATE, cause,
        subject=duplicate.reference, status=decisive.status,
        stripe_id=decisive.id, amount=duplicate.amount, reason=decisive.failure_reason or "",
    )  # fmt: skip
    if number is not None and whole and duplicate.asked:
        outbox.enqueue_for_order(session, MailKind.REFUND, order, number)
    elif number is not None and duplicate.counts and not whole:
        outbox.enqueue_for_order(session, MailKind.REFUND_FAILED, order, number)


def record_refusal(
    session: AnySession, order: Order, duplicate: RefundState, reason: str, cause: str
) -> None:
    """Record that Stripe refused to refund a duplicate. The caller holds the order's lock."""
    ledger.record(
        session, order, OrderEventKind.DUPLICATE, cause,
        subject=duplicate.reference, status=RefundStatus.REFUSED,
        amount=duplicate.amount, reason=reason,
    )  # fmt: skip
