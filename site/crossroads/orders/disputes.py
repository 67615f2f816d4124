"""Disputes of payments, as Stripe reports them. Staff answer them in Stripe's dashboard."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from sqlalchemy import func, select, update

from crossroads import payments
from crossroads.database import identity
from crossroads.orders import ledger
from crossroads.orders.projections import SETTLED, DisputeState
from models import Order, OrderEvent
from models.base import AnySession
from models.order import OrderEventKind

CLOSED_SHOWN: Final = 50
KINDS: Final = (OrderEventKind.DISPUTE, OrderEventKind.DUPLICATE_DISPUTE)


@dataclass(frozen=True, kw_only=True)
class Case:
    """A dispute and the order that it is about."""

    order: Order
    dispute: DisputeState


def record_status(session: AnySession, order: Order, found: payments.Dispute, cause: str) -> None:
    """Record the status of a dispute about the order's payment or a duplicate payment.

    The deadline for evidence is updated even when the status is the same. The caller holds the
    order's lock.
    """
    own = found.payment_intent == order.payment_intent
    kind, stripe_id = (
        (OrderEventKind.DISPUTE, found.id)
        if own
        else (OrderEventKind.DUPLICATE_DISPUTE, found.payment_intent)
    )
    number = ledger.record(
        session, order, kind, cause, subject=found.id, status=found.status, stripe_id=stripe_id,
        amount=found.amount, reason=found.reason, due_at=found.due_by,
    )  # fmt: skip
    if number is None:  # a deadline moves without a new status
        session.execute(
            update(OrderEvent)
            .where(
                OrderEvent.order_id == order.id,
                OrderEvent.kind == kind,
                OrderEvent.subject == found.id,
                OrderEvent.status == found.status,
                OrderEvent.due_at.is_distinct_from(found.due_by),
            )
            .values(due_at=found.due_by)
        )


def days_left(due_at: datetime, at: datetime) -> int:
    """Return the days in UTC until a deadline: 0 on the day itself, negative after it."""
    return (due_at.astimezone(UTC).date() - at.astimezone(UTC).date()).days


def open_cases(session: AnySession) -> list[Case]:
    """Return the undecided disputes and inquiries, the most urgent first.

    Disputes that need a response come first, in the order of their deadlines.
    """
    decided = select(OrderEvent.subject).where(
        OrderEvent.kind.in_(KINDS), OrderEvent.status.in_(SETTLED)
    )
    undecided = select(OrderEvent.order_id).where(
        OrderEvent.kind.in_(KINDS), OrderEvent.subject.not_in(decided)
    )
    found = [case for case in _cases(session, set(session.scalars(undecided))) if case.dispute.open]
    return sorted(found, key=_urgency)


def closed_cases(session: AnySession) -> list[Case]:
    """Return the most recently decided disputes and inquiries, newest first."""
    query = (
        select(OrderEvent.subject, func.max(OrderEvent.id), func.max(OrderEvent.order_id))
        .where(OrderEvent.kind.in_(KINDS), OrderEvent.status.in_(SETTLED))
        .group_by(OrderEvent.subject)
        .order_by(func.max(OrderEvent.id).desc())
        .limit(CLOSED_SHOWN)
    )
    rows = session.execute(query).all()
    cases = {one.dispute.stripe_id: one for one in _cases(session, {row[2] for row in rows})}
    return [cases[row[0]] for row in rows if row[0] in cases]


def _cases(session: AnySession, numbers: set[int]) -> list[Case]:
    theirs = select(Order).where(Order.id.in_(numbers), identity.counts())
    orders: Sequence[Order] = session.scalars(theirs).all()
    balances = ledger.balances_of(session, orders)
    return [
        Case(order=order, dispute=one)
        for order in orders
        for one in (*balances[order.id].disputes, *balances[order.id].duplicate_disputes)
    ]


def _urgency(case: Case) -> tuple[bool, bool, datetime, int]:
    due = case.dispute.due_at
    last = datetime.max.replace(tzinfo=UTC)
    return not case.dispute.wants_answer, due is None, due or last, case.order.id
