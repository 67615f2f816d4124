"""Refund and dispute states, folded from an order's events.

Stripe reports late, twice and out of order: the most advanced status that was recorded counts.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from models import OrderEvent
from models.labels import Labeled, label_of
from models.order import OrderEventKind
from models.stripe_words import DisputeReason, DisputeStatus, RefundFailure, RefundStatus

FAILURES: Final = tuple(status for status in RefundStatus if status.failed)
SETTLED: Final = (
    *(status for status in RefundStatus if status.settled),
    *(status for status in DisputeStatus if status.settled),
)


@dataclass(frozen=True, kw_only=True)
class RefundState:
    """A refund, requested or made. `reference` is our name for it, or Stripe's id if we have none.

    `seats` is the number of seats that it cancels, `numbers` their numbers if they were chosen.
    `tries` counts the idempotency keys that were used for it.
    """

    reference: str
    stripe_id: str | None
    amount: int
    seats: int
    numbers: tuple[int, ...]
    status: str
    reason: str
    cause: str
    tries: int

    @property
    def name(self) -> str:
        """Its name in the desk: our number for it, or Stripe's id."""
        return self.reference.rpartition("-refund-")[2]

    @property
    def counts(self) -> bool:
        """Tell whether the money is with the buyer or on its way there."""
        known = RefundStatus.known(self.status)
        return known is not None and known.returned

    @property
    def asked(self) -> bool:
        """Tell whether it is requested, without an answer from Stripe."""
        return self.status == RefundStatus.ASKED

    @property
    def failed(self) -> bool:
        """Tell whether it failed, or was refused, and staff have not acknowledged that."""
        return self.status in FAILURES

    @property
    def status_label(self) -> str:
        """Return how far it is, in the words of the desk."""
        return label_of(RefundStatus, self.status)

    @property
    def reason_label(self) -> str:
        """Return the reason for the failure, as the desk shows it."""
        return label_of(RefundFailure, self.reason)


@dataclass(frozen=True, kw_only=True)
class DisputeState:
    """A dispute. `duplicate`: it is about a duplicate payment of the order.

    `due_at` is the deadline for evidence.
    """

    stripe_id: str
    amount: int
    status: str
    reason: str
    due_at: datetime | None
    duplicate: str | None = None

    @property
    def inquiry(self) -> bool:
        """Tell whether it is an inquiry: the bank asks, and takes no money."""
        return self.status.startswith("warning_") or self.status == "prevented"

    @property
    def open(self) -> bool:
        """Tell whether it is undecided."""
        return self.wants_answer or self.status.endswith("under_review")

    @property
    def wants_answer(self) -> bool:
        """Tell whether Stripe waits for our response, until the deadline."""
        return self.status.endswith("needs_response")

    @property
    def status_label(self) -> str:
        """Return how far it is, in the words of the desk."""
        return label_of(DisputeStatus, self.status)

    @property
    def reason_label(self) -> str:
        """Return the bank's reason, as the desk shows it."""
        return label_of(DisputeReason, self.reason)


def refunds(rows: Sequence[OrderEvent]) -> list[RefundState]:
    """Return the refunds among the events of an order, in a stable order."""
    return [_refund(found) for found in _by_subject(rows, OrderEventKind.REFUND)]


def duplicates(rows: Sequence[OrderEvent]) -> list[RefundState]:
    """Return the refunds of duplicate payments. The payment's id is the reference of each."""
    return [_refund(found) for found in _by_subject(rows, OrderEventKind.DUPLICATE)]


def disputes(rows: Sequence[OrderEvent]) -> list[DisputeState]:
    """Return the disputes among the events of an order, in a stable order."""
    return [_dispute(found) for found in _by_subject(rows, OrderEventKind.DISPUTE)]


def duplicate_disputes(rows: Sequence[OrderEvent]) -> list[DisputeState]:
    """Return the disputes about duplicate payments of an order."""
    return [_dispute(found) for found in _by_subject(rows, OrderEventKind.DUPLICATE_DISPUTE)]


def _by_subject(rows: Sequence[OrderEvent], kind: str) -> list[list[OrderEvent]]:
    """Return the rows of each refund or dispute, in an order that does not depend on the input."""
    found: dict[str, list[OrderEvent]] = {}
    for row in rows:
        if row.kind == kind:
            found.setdefault(row.subject, []).append(row)
    return [found[subject] for subject in sorted(found)]


def _refund(rows: list[OrderEvent]) -> RefundState:
    last = max(rows, key=_along(RefundStatus))
    first = min(rows, key=_along(RefundStatus))
    return RefundState(
        reference=last.subject,
        stripe_id=next((row.stripe_id for row in rows if row.stripe_id), None),
        amount=last.amount or 0,
        seats=max(row.seats or 0 for row in rows),
        numbers=next((tuple(row.seat_numbers) for row in rows if row.seat_numbers), ()),
        status=plain(last.status),
        reason=last.reason,
        cause=first.cause,
        tries=sum(plain(row.status) == RefundStatus.ASKED for row in rows),
    )


def _dispute(rows: list[OrderEvent]) -> DisputeState:
    last = max(rows, key=_along(DisputeStatus))
    return DisputeState(
        stripe_id=last.subject,
        amount=last.amount or 0,
        status=last.status,
        reason=last.reason,
        due_at=last.due_at,
        duplicate=last.stripe_id if last.kind == OrderEventKind.DUPLICATE_DISPUTE else None,
    )


def plain(status: str) -> str:
    """Return a status without the number of the attempt: asked-2 becomes asked."""
    return status.partition("-")[0]


def _along(course: type[Labeled]) -> Callable[[OrderEvent], tuple[int, str]]:
    """Return the sort key of events: by how advanced the status is, unknown ones first."""
    known = [status.value for status in course]

    def place(row: OrderEvent) -> tuple[int, str]:
        status = plain(row.status)
        return (known.index(status) if status in known else -1), row.status

    return place
