"""The ledger of an order: what its events add up to, in whatever order and however often they came.

Everything here is a function of the set of events. What Stripe says of a refund or a dispute comes
late, twice and out of order, so a status is never overwritten: each that was seen is a row, and
the one that is furthest along counts.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from sqlalchemy import select
from sqlalchemy.orm import aliased

from crossroads import site_version
from models import Order, OrderEvent, insert_for, now
from models.base import AnySession
from models.order import (
    CANCELED,
    DISPUTE,
    EXPIRED,
    FAILED,
    PAID,
    PENDING,
    REFUND,
    UNSEATED,
)

State = Literal[
    "open",
    "pending",
    "paid",
    "unseated",
    "partly-refunded",
    "refunded",
    "disputed",
    "dispute-won",
    "dispute-lost",
    "failed",
    "expired",
    "canceled",
]
Access = Literal["none", "given", "paused"]

UNPAID: Final[tuple[State, ...]] = (FAILED, EXPIRED, CANCELED, PENDING)
UNDECIDED: Final = ("open", "pending")  # the payment may still come
PARTLY: Final = "partly-refunded"
REFUNDED: Final = "refunded"
DISPUTED: Final = "disputed"
WON: Final = "dispute-won"
LOST: Final = "dispute-lost"

ASKED: Final = "asked"  # by us; the answer is not known
REFUSED: Final = "refused"  # Stripe will not make it
ELSEWHERE: Final = "elsewhere"  # it failed, and the buyer got the money without Stripe
DISMISSED: Final = "dismissed"  # it failed, and nothing more is to be done about it
# From the first to the last that a refund goes through; one may fail days after it succeeded.
# https://docs.stripe.com/refunds#failed-refunds
REFUND_COURSE: Final = (
    ASKED, REFUSED, "pending", "requires_action", "succeeded", "canceled", "failed",
    DISMISSED, ELSEWHERE,
)  # fmt: skip
RETURNED: Final = ("pending", "requires_action", "succeeded", ELSEWHERE)
FAILURES: Final = (REFUSED, "canceled", "failed")
# A lost one may be appealed: it stays lost here unless it is won.
# https://docs.stripe.com/api/disputes/object#dispute_object-status
DISPUTE_COURSE: Final = (
    "warning_needs_response", "warning_under_review", "prevented", "warning_closed",
    "needs_response", "under_review", "appeal_needs_response", "appeal_under_review", "lost", "won",
)  # fmt: skip

SETTLED: Final = (
    REFUSED,
    "succeeded",
    "canceled",
    "failed",
    "prevented",
    "warning_closed",
    "lost",
    "won",
)


@dataclass(frozen=True, kw_only=True)
class Refund:
    """Money given back, or asked to be: `reference` is our name for it, else Stripe's id.

    `seats` is how many it takes back. `tries` counts how often Stripe is asked under a new key.
    """

    reference: str
    stripe_id: str | None
    amount: int
    seats: int
    status: str
    reason: str
    cause: str
    tries: int

    @property
    def name(self) -> str:
        """What staff call it: the number of ours, else Stripe's id. It opens no page."""
        return self.reference.rpartition("-refund-")[2]

    @property
    def counts(self) -> bool:
        """Tell whether the money is with the buyer or on its way there."""
        return self.status in RETURNED

    @property
    def asked(self) -> bool:
        """Tell whether Stripe's answer is still to come."""
        return self.status == ASKED

    @property
    def failed(self) -> bool:
        """Tell whether the money has stayed, or has come back, and nobody has seen to it yet."""
        return self.status in FAILURES


@dataclass(frozen=True, kw_only=True)
class Dispute:
    """The payment in doubt. `due_at` is until when Stripe wants evidence."""

    stripe_id: str
    amount: int
    status: str
    reason: str
    due_at: datetime | None

    @property
    def inquiry(self) -> bool:
        """Tell whether the bank only asks, with no money taken."""
        return self.status.startswith("warning_") or self.status == "prevented"

    @property
    def open(self) -> bool:
        """Tell whether it is undecided."""
        return self.wants_answer or self.status.endswith("under_review")

    @property
    def wants_answer(self) -> bool:
        """Tell whether Stripe waits for ours, until the deadline."""
        return self.status.endswith("needs_response")


@dataclass(frozen=True, kw_only=True)
class Balance:
    """What a ledger adds up to. `seats` are paid for and not given back; amounts as the order's.

    `returned` has gone back to the buyer or is on its way, `asked` is still to go.
    """

    state: State
    seats: int
    access: Access
    total: int
    returned: int
    asked: int
    refunds: Sequence[Refund]
    disputes: Sequence[Dispute]

    @property
    def paid(self) -> bool:
        """Tell whether the order was paid, whatever became of the money."""
        return self.state not in (*UNDECIDED, FAILED, EXPIRED, CANCELED)

    @property
    def left(self) -> int:
        """Return what of the payment can still be given back."""
        return max(self.total - self.returned - self.asked, 0)

    @property
    def gone(self) -> int:
        """Return what the buyer has back, or is to have: by refunds, and by a dispute that is lost.

        Never more than was paid: a bank may take back what had been returned in part.
        """
        lost = sum(one.amount for one in self.disputes if one.status == "lost")
        return min(self.returned + lost, self.total)

    @property
    def free(self) -> bool:
        """Tell whether nothing had to be paid: a code took the whole price off."""
        return self.paid and self.total == 0

    @property
    def disputed(self) -> bool:
        """Tell whether a bank has the money until it has decided: Stripe returns nothing then."""
        return any(one.open and not one.inquiry for one in self.disputes)

    @property
    def refundable(self) -> bool:
        """Tell whether anything can be given back now: one after the other, so that what is asked
        for anew, because no answer came, is not given back twice."""
        return self.left > 0 and not (self.asked or self.disputed or self.state == LOST)

    @property
    def seats_left(self) -> int:
        """Return the seats that no refund has taken or is to take."""
        return max(self.seats - sum(one.seats for one in self.refunds if one.asked), 0)

    def refund(self, reference: str) -> Refund | None:
        """Return the refund of this name."""
        return next((one for one in self.refunds if one.reference == reference), None)


def balance(seats: int, events: Iterable[OrderEvent]) -> Balance:
    """Return what the events of an order of so many seats add up to."""
    rows = list(events)
    kinds = {row.kind for row in rows}
    refunds = [_refund(found) for found in _by_subject(rows, REFUND)]
    disputes = [_dispute(found) for found in _by_subject(rows, DISPUTE)]
    total = next((row.amount_total or 0 for row in rows if row.kind == PAID), 0)
    returned = sum(one.amount for one in refunds if one.counts)
    kept = max(seats - sum(one.seats for one in refunds if one.counts), 0)
    whole = 0 < total <= returned
    lost = any(one.status == "lost" for one in disputes)
    disputed = any(one.open and not one.inquiry for one in disputes)
    if PAID not in kinds or UNSEATED in kinds or whole or lost:
        kept = 0
    state: State = "open"
    if PAID not in kinds:
        state = next((kind for kind in UNPAID if kind in kinds), "open")
    elif lost:
        state = LOST
    elif disputed:
        state = DISPUTED
    elif whole:
        state = REFUNDED
    elif UNSEATED in kinds:
        state = UNSEATED
    elif returned:
        state = PARTLY
    else:
        state = WON if any(one.status == "won" for one in disputes) else PAID
    return Balance(
        state=state,
        seats=kept,
        access="none" if not kept else "paused" if disputed else "given",
        total=total,
        returned=returned,
        asked=sum(one.amount for one in refunds if one.asked),
        refunds=refunds,
        disputes=disputes,
    )


def lock(session: AnySession, order_id: int) -> Order:
    """Return the order as it is now; nobody else changes it until the transaction ends."""
    return session.scalars(
        select(Order)
        .where(Order.id == order_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).one()


def of(session: AnySession, order: Order) -> Balance:
    """Return what the ledger of the order adds up to now."""
    return balance(order.seats, events(session, order))


def of_each(session: AnySession, orders: Iterable[Order]) -> dict[int, Balance]:
    """Return what the ledger of each of these orders adds up to now, by the order's number."""
    seats = {order.id: order.seats for order in orders}
    rows: dict[int, list[OrderEvent]] = {number: [] for number in seats}
    for row in session.scalars(select(OrderEvent).where(OrderEvent.order_id.in_(seats))):
        rows[row.order_id].append(row)
    return {number: balance(seats[number], found) for number, found in rows.items()}


def events(session: AnySession, order: Order) -> Sequence[OrderEvent]:
    """Return what happened to the order, oldest first."""
    query = select(OrderEvent).where(OrderEvent.order_id == order.id)
    return session.scalars(query.order_by(OrderEvent.id)).all()


def unsettled(session: AnySession) -> Sequence[int]:
    """Return the numbers of all orders with a refund or a dispute that is still to be settled."""
    row, later = OrderEvent, aliased(OrderEvent)
    settled = select(later.id).where(
        later.order_id == row.order_id,
        later.kind == row.kind,
        later.subject == row.subject,
        later.status.in_(SETTLED),
    )
    query = select(row.order_id).where(row.kind.in_((REFUND, DISPUTE)), ~settled.exists())
    return session.scalars(query.distinct().order_by(row.order_id)).all()


def record(session: AnySession, order: Order, kind: str, cause: str, **facts: object) -> int | None:
    """Note what happened to the order, once; return the event's number if it is new.

    The caller holds the order's lock.
    """
    values = {"subject": "", "status": "", "reason": "", **facts}
    number = session.scalar(
        insert_for(session, OrderEvent)
        .values(order_id=order.id, kind=kind, cause=cause, created_at=now(), **values)
        .on_conflict_do_nothing(
            index_elements=[
                OrderEvent.order_id, OrderEvent.kind, OrderEvent.subject, OrderEvent.status
            ]
        )
        .returning(OrderEvent.id)
    )  # fmt: skip
    if number is not None:
        sum_up(session, order)
    return number


def sum_up(session: AnySession, order: Order) -> Balance:
    """Store on the order what its ledger adds up to, and let pages know of seats that are free."""
    found = of(session, order)
    if order.seats_kept != found.seats:
        site_version.advance(session)
    order.state, order.seats_kept, order.amount_returned = found.state, found.seats, found.gone
    session.flush()
    return found


def _by_subject(rows: Sequence[OrderEvent], kind: str) -> list[list[OrderEvent]]:
    """Return the rows of each refund or dispute, in an order that does not depend on theirs."""
    found: dict[str, list[OrderEvent]] = {}
    for row in rows:
        if row.kind == kind:
            found.setdefault(row.subject, []).append(row)
    return [found[subject] for subject in sorted(found)]


def _refund(rows: list[OrderEvent]) -> Refund:
    last = max(rows, key=_along(REFUND_COURSE))
    first = min(rows, key=_along(REFUND_COURSE))
    return Refund(
        reference=last.subject,
        stripe_id=next((row.stripe_id for row in rows if row.stripe_id), None),
        amount=last.amount or 0,
        seats=max(row.seats or 0 for row in rows),
        status=_plain(last.status),
        reason=last.reason,
        cause=first.cause,
        tries=sum(_plain(row.status) == ASKED for row in rows),
    )


def _dispute(rows: list[OrderEvent]) -> Dispute:
    last = max(rows, key=_along(DISPUTE_COURSE))
    return Dispute(
        stripe_id=last.subject,
        amount=last.amount or 0,
        status=last.status,
        reason=last.reason,
        due_at=last.due_at,
    )


def _plain(status: str) -> str:
    """Return a status without the number of the try: asked-2 is asked."""
    return status.partition("-")[0]


def _along(course: Sequence[str]) -> Callable[[OrderEvent], tuple[int, str]]:
    """Return what orders events by how far along their status is."""

    def place(row: OrderEvent) -> tuple[int, str]:
        status = _plain(row.status)
        return (course.index(status) if status in course else -1), row.status

    return place
