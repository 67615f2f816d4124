"""The ledger of an order: what its events add up to, in whatever order and however often they came.

Everything here is a function of the set of events. What Stripe says of a refund or a dispute comes
late, twice and out of order, so a status is never overwritten: each that was seen is a row, and
the one that is furthest along counts.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from sqlalchemy import or_, select
from sqlalchemy.orm import aliased

from crossroads.database import identity, page_cache_version
from crossroads.mail import outbox
from crossroads.mail.kinds import MailKind
from crossroads.orders import projections
from crossroads.orders.projections import SETTLED, DisputeState, RefundState
from models import Enrollment, Order, OrderEvent, insert_for, now
from models.base import AnySession
from models.order import ELSEWHERE, OrderEventKind, OrderState
from models.site import LIVE

Access = Literal["none", "given", "paused"]

# The states of an order that was not paid, by what leads to each: the first that happened counts.
UNPAID: Final = {
    OrderEventKind.FAILED: OrderState.FAILED,
    OrderEventKind.EXPIRED: OrderState.EXPIRED,
    OrderEventKind.CANCELED: OrderState.CANCELED,
    OrderEventKind.PENDING: OrderState.PENDING,
}
UNDECIDED: Final = tuple(state for state in OrderState if state.undecided)


@dataclass(frozen=True, kw_only=True)
class Balance:
    """What a ledger adds up to: amounts as the order's, seats by their numbers.

    `kept` are paid for and not given back. `returned` has gone back to the buyer or is on its way,
    `asked` is still to go. `named` counts how often a seat was given to someone by name.
    `duplicates` are the refunds of further payments, `duplicate_disputes` what banks make of those:
    they are in none of the sums, and change neither state nor access.
    """

    state: OrderState
    kept: tuple[int, ...]
    named: Mapping[int, int]
    access: Access
    total: int
    returned: int
    asked: int
    refunds: Sequence[RefundState]
    duplicates: Sequence[RefundState]
    disputes: Sequence[DisputeState]
    duplicate_disputes: Sequence[DisputeState]

    @property
    def seats(self) -> int:
        """Return how many seats are paid for and not given back."""
        return len(self.kept)

    @property
    def paid(self) -> bool:
        """Tell whether the order was paid, whatever became of the money."""
        return self.state.paid

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
        return self.left > 0 and not (
            self.asked or self.disputed or self.state == OrderState.DISPUTE_LOST
        )

    @property
    def free_to_return(self) -> tuple[int, ...]:
        """Return the seats that no refund has taken or is to take."""
        return _less(self.kept, [one for one in self.refunds if one.asked])

    @property
    def seats_left(self) -> int:
        """Return how many seats no refund has taken or is to take."""
        return len(self.free_to_return)

    @property
    def open_disputes(self) -> list[DisputeState]:
        """Return what banks have not decided, of further payments too."""
        return [one for one in (*self.disputes, *self.duplicate_disputes) if one.open]

    @property
    def refund_failed(self) -> bool:
        """Tell whether a refund, that of a duplicate too, failed and nobody has seen to it yet."""
        return any(one.failed for one in (*self.refunds, *self.duplicates))

    def refund(self, reference: str) -> RefundState | None:
        """Return the refund of this name."""
        return next((one for one in self.refunds if one.reference == reference), None)


def balance(seats: int, events: Iterable[OrderEvent]) -> Balance:
    """Return what the events of an order of so many seats add up to."""
    rows = list(events)
    kinds = {row.kind for row in rows}
    refunds = projections.refunds(rows)
    disputes = projections.disputes(rows)
    total = next((row.amount_total or 0 for row in rows if row.kind == OrderEventKind.PAID), 0)
    returned = sum(one.amount for one in refunds if one.counts)
    kept = _less(range(1, seats + 1), [one for one in refunds if one.counts])
    whole = 0 < total <= returned
    lost = any(one.status == "lost" for one in disputes)
    disputed = any(one.open and not one.inquiry for one in disputes)
    if OrderEventKind.PAID not in kinds or OrderEventKind.UNSEATED in kinds or whole or lost:
        kept = ()
    if OrderEventKind.PAID not in kinds:
        ended = (state for kind, state in UNPAID.items() if kind in kinds)
        state = next(ended, OrderState.OPEN)
    elif lost:
        state = OrderState.DISPUTE_LOST
    elif disputed:
        state = OrderState.DISPUTED
    elif whole:
        state = OrderState.REFUNDED
    elif OrderEventKind.UNSEATED in kinds:
        state = OrderState.UNSEATED
    elif returned:
        state = OrderState.PARTLY_REFUNDED
    elif any(one.status == "won" for one in disputes):
        state = OrderState.DISPUTE_WON
    else:
        state = OrderState.PAID
    return Balance(
        state=state,
        kept=kept,
        named=_named(rows),
        access="none" if not kept else "paused" if disputed else "given",
        total=total,
        returned=returned,
        asked=sum(one.amount for one in refunds if one.asked),
        refunds=refunds,
        duplicates=projections.duplicates(rows),
        disputes=disputes,
        duplicate_disputes=projections.duplicate_disputes(rows),
    )


def lock(session: AnySession, order_id: int) -> Order:
    """Return the order as it is now; nobody else changes it until the transaction ends."""
    return session.scalars(
        select(Order)
        .where(Order.id == order_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).one()


def balance_of(session: AnySession, order: Order) -> Balance:
    """Return what the ledger of the order adds up to now."""
    return balance(order.seats, events(session, order))


def balances_of(session: AnySession, orders: Iterable[Order]) -> dict[int, Balance]:
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


def unfinished(session: AnySession, before: datetime, *, live: bool = False) -> Sequence[int]:
    """Return the numbers of all orders that have not ended, oldest first.

    With a test key only those that count, and no live ones. With a live key those too that were
    made with a test key: they can only end. Those without a checkout count when they were placed
    before then: the buyer's own request may be about to make it.
    """
    undecided = Order.state.in_(UNDECIDED)
    begun = or_(Order.session_id.is_not(None), Order.created_at < before)
    query = select(Order.id).where(undecided, begun).order_by(Order.id)
    if not live:
        query = query.where(identity.counts(), Order.mode != LIVE)
    return session.scalars(query).all()


def of_another_account(
    session: AnySession, since: datetime, *, live: bool = False
) -> Sequence[int]:
    """Return the numbers of orders that ended because Stripe did not know their checkout.

    It is known again once the key of its own account is back, and may be paid. Only orders that
    count, of the mode of the key, and whose checkout could be paid until a moment after `since`.
    """
    row = OrderEvent
    ended = select(row.order_id).where(
        row.kind.in_((OrderEventKind.EXPIRED, OrderEventKind.CANCELED)), row.reason == ELSEWHERE
    )
    modes = (identity.UNKNOWN, identity.mode_of(live=live))
    query = select(Order.id).where(
        Order.state.in_((OrderState.EXPIRED, OrderState.CANCELED)), Order.session_id.is_not(None),
        Order.session_until > since, identity.counts(), Order.mode.in_(modes),
        Order.id.in_(ended),
    )  # fmt: skip
    return session.scalars(query.order_by(Order.id)).all()


def unsettled(session: AnySession, *, live: bool = False) -> Sequence[int]:
    """Return the numbers of all orders with a refund or a dispute that is still to be settled.

    Only of those that count, and that were made in the mode of the key.
    """
    row, later = OrderEvent, aliased(OrderEvent)
    settled = select(later.id).where(
        later.order_id == row.order_id,
        later.kind == row.kind,
        later.subject == row.subject,
        later.status.in_(SETTLED),
    )
    moves = row.kind.in_(
        (
            OrderEventKind.REFUND,
            OrderEventKind.DISPUTE,
            OrderEventKind.DUPLICATE,
            OrderEventKind.DUPLICATE_DISPUTE,
        )
    )
    mode = identity.mode_of(live=live)
    theirs = select(Order.id).where(identity.counts(), Order.mode.in_((identity.UNKNOWN, mode)))
    query = select(row.order_id).where(moves, ~settled.exists(), row.order_id.in_(theirs))
    return session.scalars(query.distinct().order_by(row.order_id)).all()


def record(
    session: AnySession, order: Order, kind: OrderEventKind, cause: str, **facts: object
) -> int | None:
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
        store_balance(session, order)
    return number


def store_balance(session: AnySession, order: Order) -> Balance:
    """Store on the order what its ledger adds up to, and let pages know of seats that are free.

    Who has a seat that goes, or comes back, is told; the buyer is told of the money instead.
    """
    found = balance_of(session, order)
    if order.seats_kept != found.seats:
        page_cache_version.advance(session)
    order.state, order.seats_kept, order.amount_returned = found.state, found.seats, found.gone
    seated = select(Enrollment).where(Enrollment.order_id == order.id)
    for one in session.scalars(seated):
        kept = one.seat in found.kept
        if one.kept != kept and one.ended_at is None and one.address_hash != order.address_hash:
            outbox.enqueue_for_participant(
                session, MailKind.INVITATION if kept else MailKind.WITHDRAWN, one
            )
        one.kept = kept
    session.flush()
    return found


def _less(seats: Iterable[int], refunds: Sequence[RefundState]) -> tuple[int, ...]:
    """Return the seats that refunds leave: those they name go, else as many of the last."""
    named = {number for one in refunds for number in one.numbers}
    left = [seat for seat in seats if seat not in named]
    unnamed = sum(one.seats for one in refunds if not one.numbers)
    return tuple(left[: max(len(left) - unnamed, 0)])


def _named(rows: Sequence[OrderEvent]) -> dict[int, int]:
    found: dict[int, int] = {}
    for row in rows:
        if row.kind == OrderEventKind.NAMED:
            seat = int(row.subject)
            found[seat] = max(found.get(seat, 0), int(row.status))
    return found
