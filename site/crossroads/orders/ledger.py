"""The ledger of an order: its events, and the balance computed from them.

The balance is a function of the set of events. Stripe reports refunds and disputes late, twice and
out of order, so a status is never overwritten: each one is a row, and the most advanced one counts.
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

# The states of an unpaid order, by the event that leads to each: the first event counts.
UNPAID: Final = {
    OrderEventKind.FAILED: OrderState.FAILED,
    OrderEventKind.EXPIRED: OrderState.EXPIRED,
    OrderEventKind.CANCELED: OrderState.CANCELED,
    OrderEventKind.PENDING: OrderState.PENDING,
}
UNDECIDED: Final = tuple(state for state in OrderState if state.undecided)


@dataclass(frozen=True, kw_only=True)
class Balance:
    """The sum of a ledger. Amounts count the smallest unit of the order's currency.

    `kept`: numbers of the seats that are paid for and not refunded. `returned`: amount refunded,
    or on its way to the buyer. `asked`: amount requested, without an answer from Stripe yet.
    `named`: how often each seat was given to a participant. `duplicates`: refunds of duplicate
    payments; `duplicate_disputes`: disputes about those. These two are in none of the sums, and
    change neither state nor access.
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
        """Return the number of seats that are paid for and not refunded."""
        return len(self.kept)

    @property
    def paid(self) -> bool:
        """Tell whether the order was paid, even if the payment was refunded since."""
        return self.state.paid

    @property
    def left(self) -> int:
        """Return the amount that can still be refunded."""
        return max(self.total - self.returned - self.asked, 0)

    @property
    def gone(self) -> int:
        """Return the amount refunded, requested as a refund, or lost to a dispute.

        Never more than was paid: a bank may reverse a payment that was refunded in part.
        """
        lost = sum(one.amount for one in self.disputes if one.status == "lost")
        return min(self.returned + lost, self.total)

    @property
    def free(self) -> bool:
        """Tell whether nothing had to be paid: a code covered the full price."""
        return self.paid and self.total == 0

    @property
    def disputed(self) -> bool:
        """Tell whether a bank has the money until it decides: Stripe refunds nothing meanwhile."""
        return any(one.open and not one.inquiry for one in self.disputes)

    @property
    def refundable(self) -> bool:
        """Tell whether a refund can be requested now.

        Only one at a time, so that a retry after a lost answer never refunds twice.
        """
        return self.left > 0 and not (
            self.asked or self.disputed or self.state == OrderState.DISPUTE_LOST
        )

    @property
    def free_to_return(self) -> tuple[int, ...]:
        """Return the numbers of the seats that no refund covers."""
        return _less(self.kept, [one for one in self.refunds if one.asked])

    @property
    def seats_left(self) -> int:
        """Return the number of seats that no refund covers."""
        return len(self.free_to_return)

    @property
    def open_disputes(self) -> list[DisputeState]:
        """Return the undecided disputes, those about duplicate payments too."""
        return [one for one in (*self.disputes, *self.duplicate_disputes) if one.open]

    @property
    def refund_failed(self) -> bool:
        """Tell whether a failed refund, of a duplicate too, waits for staff to acknowledge it."""
        return any(one.failed for one in (*self.refunds, *self.duplicates))

    def refund(self, reference: str) -> RefundState | None:
        """Return the refund with this reference."""
        return next((one for one in self.refunds if one.reference == reference), None)


def balance(seats: int, events: Iterable[OrderEvent]) -> Balance:
    """Return the balance of an order with this number of seats and these events."""
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
    """Lock the order's row until the transaction ends, and return its current state."""
    return session.scalars(
        select(Order)
        .where(Order.id == order_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).one()


def balance_of(session: AnySession, order: Order) -> Balance:
    """Return the current balance of the order."""
    return balance(order.seats, events(session, order))


def balances_of(session: AnySession, orders: Iterable[Order]) -> dict[int, Balance]:
    """Return the current balance of each of these orders, by the order's number."""
    seats = {order.id: order.seats for order in orders}
    rows: dict[int, list[OrderEvent]] = {number: [] for number in seats}
    for row in session.scalars(select(OrderEvent).where(OrderEvent.order_id.in_(seats))):
        rows[row.order_id].append(row)
    return {number: balance(seats[number], found) for number, found in rows.items()}


def events(session: AnySession, order: Order) -> Sequence[OrderEvent]:
    """Return the events of the order, oldest first."""
    query = select(OrderEvent).where(OrderEvent.order_id == order.id)
    return session.scalars(query.order_by(OrderEvent.id)).all()


def unfinished(session: AnySession, before: datetime, *, live: bool = False) -> Sequence[int]:
    """Return the numbers of all orders that have not ended, oldest first.

    With a test key: only orders that count, and no live ones. With a live key: also orders that
    were placed with a test key, which can only end. Orders without a checkout are included if they
    were placed before `before`: the buyer's own request may still be creating a newer one's.
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

    Stripe finds it again, perhaps paid, after the key of its own account is restored. Only orders
    that count, in the key's mode, and whose checkout expired after `since`.
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
    """Return the numbers of all orders with an unsettled refund or dispute.

    Only orders that count and were placed in the key's mode.
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
    """Add an event to the ledger unless it is there; return its number if it is new.

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
    """Store the balance on the order, and clear cached pages when the number of seats changed.

    A participant gets an email when their seat is withdrawn or restored. The buyer does not: mail
    about the refund goes to them.
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
    """Return the seats without the refunded ones: the named seats, else the last ones."""
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
