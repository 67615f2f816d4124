"""Drifts: descriptions of the orders that did not match Stripe until a sweep."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import assert_never

from crossroads import money
from crossroads.orders import ledger
from models import Order, OrderEvent
from models.base import AnySession
from models.order import ELSEWHERE, OrderEventKind, OrderState
from models.stripe_words import RefundStatus


@dataclass(frozen=True, kw_only=True)
class Drift:
    """An order that did not match Stripe until now: `learned` lists the changes, `cause` why."""

    order: int
    before: OrderState
    after: OrderState
    learned: Sequence[str]
    cause: str

    def __str__(self) -> str:
        states = f"was {self.before}, is {self.after}"
        return f"order {self.order}: {'; '.join(self.learned)} ({self.cause}): {states}"


def describe_changes(session: AnySession, order: Order, last: int, cause: str) -> list[str]:
    """Describe the events that the sweep has added to the order's ledger after the row `last`."""
    return [
        _in_words(order, row)
        for row in ledger.events(session, order)
        if row.id > last and row.cause == cause and not row.status.startswith(RefundStatus.ASKED)
    ]


def _in_words(order: Order, row: OrderEvent) -> str:
    amount = money.display(row.amount or 0, order.currency)
    name, status = row.stripe_id or row.subject, row.status.replace("_", " ")
    match row.kind:
        case OrderEventKind.REFUND:
            theirs = " made at Stripe" if row.subject == row.stripe_id else ""
            return f"refund {name} of {amount}{theirs} is {status}"
        case OrderEventKind.DISPUTE:
            return f"dispute {name} of {amount} is {status}"
        case OrderEventKind.DUPLICATE_DISPUTE:
            return f"dispute {row.subject} of {amount}, a second payment, is {status}"
        case OrderEventKind.DUPLICATE:
            return f"returning the second payment {row.subject} of {amount}: {row.status}"
        case OrderEventKind.PAID:
            return "paid at Stripe"
        case OrderEventKind.UNSEATED:
            return "its seats were gone by then"
        case OrderEventKind.PENDING:
            return "the payment is on its way"
        case OrderEventKind.FAILED:
            return "the payment did not come"
        case OrderEventKind.EXPIRED | OrderEventKind.CANCELED if row.reason == ELSEWHERE:
            return "its checkout is not in this Stripe account"
        case OrderEventKind.EXPIRED:
            return "the checkout is over"
        case OrderEventKind.COPY_FAILED:
            return "the payment of a copy of the checkout did not come"
        case OrderEventKind.PLACED | OrderEventKind.CANCELED | OrderEventKind.NAMED:
            return row.kind.value
    assert_never(row.kind)
