"""Drifts: what a sweep found of an order that was not where Stripe had it, in words."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from crossroads import money
from crossroads.orders import ledger, projections
from crossroads.orders.ledger import State
from models import Order, OrderEvent
from models.base import AnySession
from models.order import (
    COPY_FAILED,
    DISPUTE,
    DUPLICATE,
    DUPLICATE_DISPUTE,
    ELSEWHERE,
    EXPIRED,
    FAILED,
    PAID,
    PENDING,
    REFUND,
    UNSEATED,
)

SAID: Final = {
    PAID: "paid at Stripe",
    UNSEATED: "its seats were gone by then",
    PENDING: "the payment is on its way",
    FAILED: "the payment did not come",
    EXPIRED: "the checkout is over",
    COPY_FAILED: "the payment of a copy of the checkout did not come",
}


@dataclass(frozen=True, kw_only=True)
class Drift:
    """An order that was not where Stripe had it, and is now: `learned` what, `cause` why not."""

    order: int
    before: State
    after: State
    learned: Sequence[str]
    cause: str

    def __str__(self) -> str:
        states = f"was {self.before}, is {self.after}"
        return f"order {self.order}: {'; '.join(self.learned)} ({self.cause}): {states}"


def learned(session: AnySession, order: Order, last: int, cause: str) -> list[str]:
    """Return in words what the sweep has added to the order's ledger since the row `last`."""
    return [
        _in_words(order, row)
        for row in ledger.events(session, order)
        if row.id > last and row.cause == cause and not row.status.startswith(projections.ASKED)
    ]


def _in_words(order: Order, row: OrderEvent) -> str:
    if row.kind in (REFUND, DISPUTE):
        theirs = " made at Stripe" if row.kind == REFUND and row.subject == row.stripe_id else ""
        amount = money.display(row.amount or 0, order.currency)
        name = row.stripe_id or row.subject
        return f"{row.kind} {name} of {amount}{theirs} is {row.status.replace('_', ' ')}"
    if row.kind == DUPLICATE_DISPUTE:
        amount = money.display(row.amount or 0, order.currency)
        status = row.status.replace("_", " ")
        return f"dispute {row.subject} of {amount}, a second payment, is {status}"
    if row.kind == DUPLICATE:
        amount = money.display(row.amount or 0, order.currency)
        return f"returning the second payment {row.subject} of {amount}: {row.status}"
    if row.reason == ELSEWHERE:
        return "its checkout is not in this Stripe account"
    return SAID.get(row.kind, row.kind)
