"""Refunds: request one, and record what Stripe reports. Settlement sends the requests to Stripe."""

from collections.abc import Iterable, Sequence

from sqlalchemy import select
from sqlalchemy.orm import aliased

from crossroads import money, payments
from crossroads.database import identity
from crossroads.mail import outbox
from crossroads.mail.kinds import MailKind
from crossroads.orders import ledger, projections
from crossroads.orders.ledger import Balance
from crossroads.orders.projections import FAILURES
from models import Enrollment, Order, OrderEvent
from models.base import AnySession
from models.order import OrderEventKind, OrderState
from models.stripe_words import RefundStatus

LATE = "paid after the seats were given back"  # the cause of a refund that nobody asked for


class RefundError(ValueError):
    """A refund that cannot be requested. The message gives the reason, and what is possible."""


def price(order: Order, balance: Balance, seats: int | None, amount: int | None) -> tuple[int, int]:
    """Return the amount of a refund and the number of seats that it cancels.

    With `seats`: their share of the payment. With `amount`: no seat. With neither: everything that
    is left. Raises RefundError when it cannot be requested.
    """
    if not balance.paid:
        raise RefundError("the order is not paid: there is nothing to refund")
    if balance.free:
        raise RefundError("nothing had to be paid for the order: there is nothing to refund")
    if balance.disputed:
        raise RefundError("the payment is disputed: Stripe refunds nothing until that is decided")
    if balance.state == OrderState.DISPUTE_LOST:
        raise RefundError("the dispute is lost: the bank has returned the money")
    if balance.left <= 0:
        raise RefundError("the full payment is refunded already, or a refund of it is requested")
    if balance.asked:
        waits = money.display(balance.asked, order.currency)
        raise RefundError(f"a refund of {waits} waits for Stripe's answer: try again after it")
    if seats is not None and not 1 <= seats <= balance.seats_left:
        raise RefundError(_refusal("seats", str(balance.seats_left)))
    if amount is not None and not 1 <= amount <= balance.left:
        raise RefundError(_refusal("amount", money.display(balance.left, order.currency)))
    if amount is not None:
        if amount % money.step(order.currency):
            raise RefundError(f"Stripe refunds {order.currency} in steps of 0.01: round the amount")
        return amount, (balance.seats_left if amount == balance.left else 0)
    if seats is None or seats == balance.seats_left:
        return balance.left, balance.seats_left
    share = balance.total * seats // order.seats
    return min(share - share % money.step(order.currency), balance.left), seats


def choose(
    session: AnySession, order: Order, balance: Balance, number: int, wanted: Sequence[int] = ()
) -> tuple[int, ...]:
    """Return the numbers of the seats that a refund of `number` seats cancels.

    These are the `wanted` ones if given; otherwise seats without a participant, the last first,
    then the most recently named. Raises RefundError when the wanted seats do not fit the number or
    cannot be refunded.
    """
    free = balance.free_to_return
    if wanted:
        chosen = tuple(sorted(set(wanted)))
        if not set(chosen) <= set(free):
            raise RefundError(f"these seats can be refunded: {seats_text(free)}")
        if len(chosen) != number:
            raise RefundError(
                f"{number} to refund, but {seats_text(chosen)} chosen: choose {number}"
            )
        return chosen
    query = select(Enrollment.seat, Enrollment.address_hash).where(
        Enrollment.order_id == order.id, Enrollment.ended_at.is_(None)
    )
    whose = {row.seat: row.address_hash for row in session.execute(query)}
    named = [event for event in ledger.events(session, order) if event.kind == OrderEventKind.NAMED]
    last = {int(event.subject): event.id for event in named}

    def first_to_go(seat: int) -> tuple[bool, int, int]:
        return bool(whose.get(seat)), -last.get(seat, 0), -seat

    return tuple(sorted(sorted(free, key=first_to_go)[:number]))


def request(
    session: AnySession,
    order_id: int,
    cause: str,
    *,
    seats: int | None,
    amount: int | None,
    wanted: Sequence[int] = (),
) -> str:
    """Record the request for a refund, and return its reference. Settlement sends it to Stripe.

    `wanted` are the numbers of the seats to cancel, empty for no choice. Raises RefundError.
    """
    order = ledger.lock(session, order_id)
    balance = ledger.balance_of(session, order)
    returned, taken = price(order, balance, seats, amount)
    numbers = choose(session, order, balance, taken, wanted)
    return _request(session, order, balance, returned, numbers, cause)


def return_late(session: AnySession, order: Order) -> None:
    """Record the request for a full refund, because no seat was left."""
    balance = ledger.balance_of(session, order)
    if balance.left:
        _request(session, order, balance, balance.left, (), LATE)


def retry_with_new_key(session: AnySession, order_id: int, reference: str, cause: str) -> None:
    """Use a new idempotency key: Stripe would answer the last one with the same failure."""
    order = ledger.lock(session, order_id)
    refund = ledger.balance_of(session, order).refund(reference)
    if refund is not None and refund.asked:
        ledger.record(
            session, order, OrderEventKind.REFUND, cause,
        subject=reference, amount=refund.amount,
            seats=refund.seats, seat_numbers=list(refund.numbers) or None,
            status=f"{RefundStatus.ASKED}-{refund.tries + 1}",
        )  # fmt: skip


def key(refund: projections.RefundState) -> str:
    """Return the idempotency key of a refund."""
    return refund.reference if refund.tries == 1 else f"{refund.reference}-{refund.tries}"


def record_status(session: AnySession, order: Order, found: payments.Refund, cause: str) -> None:
    """Record the status of a refund at Stripe.

    The buyer gets an email about a new refund, and about the failure of one that they know of,
    except while a dispute is open or after it is lost. The caller holds the order's lock.
    """
    before = ledger.balance_of(session, order)
    known = before.refund(found.reference or "")
    subject = known.reference if known else found.id
    number = ledger.record(
        session, order, OrderEventKind.REFUND, cause,
        subject=subject, status=found.status, stripe_id=found.id,
        amount=found.amount, reason=found.failure_reason or "",
    )  # fmt: skip
    was = before.refund(subject)
    if number is None or (was is not None and was.status in ("canceled", "failed")):
        return
    buyer_knows = was is not None and (was.counts or was.cause == LATE)
    if (
        buyer_knows
        and not found.counts
        and (before.disputed or before.state == OrderState.DISPUTE_LOST)
    ):
        return
    if buyer_knows != found.counts:
        kind = MailKind.REFUND if found.counts else MailKind.REFUND_FAILED
        outbox.enqueue_for_order(session, kind, order, number)


def record_refusal(
    session: AnySession, order: Order, reference: str, reason: str, cause: str
) -> None:
    """Record that Stripe refused a refund. The caller holds the order's lock."""
    refund = ledger.balance_of(session, order).refund(reference)
    if refund is not None:
        ledger.record(
            session, order, OrderEventKind.REFUND, cause,
        subject=reference, status=RefundStatus.REFUSED,
            amount=refund.amount, reason=reason,
        )  # fmt: skip


def acknowledge_failure(
    session: AnySession, order_id: int, name: str, status: RefundStatus, cause: str
) -> None:
    """Record what staff did about a failed refund: refunded ELSEWHERE, or DISMISSED.

    The refund of a duplicate has the payment's id as its reference. Raises RefundError.
    """
    order = ledger.lock(session, order_id)
    balance = ledger.balance_of(session, order)
    each = [
        *((OrderEventKind.REFUND, one, balance.left) for one in balance.refunds),
        *((OrderEventKind.DUPLICATE, one, one.amount) for one in balance.duplicates),
    ]
    found = next((one for one in each if one[1].name == name and one[1].failed), None)
    if found is None:
        raise RefundError("that refund is acknowledged already")
    kind, refund, most = found
    if status == RefundStatus.ELSEWHERE and refund.amount > most:
        raise RefundError(_refusal("amount", money.display(most, order.currency)))
    ledger.record(
        session, order, kind, cause, subject=refund.reference, status=status,
        amount=refund.amount,
    )  # fmt: skip


def failed(session: AnySession) -> list[int]:
    """Return the numbers of the orders with a failed refund that staff have not acknowledged."""
    row, later = OrderEvent, aliased(OrderEvent)
    seen_to = select(later.id).where(
        later.order_id == row.order_id,
        later.kind == row.kind,
        later.subject == row.subject,
        later.status.in_((RefundStatus.ELSEWHERE, RefundStatus.DISMISSED)),
    )
    some = select(row.order_id).where(
        row.kind.in_((OrderEventKind.REFUND, OrderEventKind.DUPLICATE)),
        row.status.in_(FAILURES),
        ~seen_to.exists(),
    )
    theirs = select(Order).where(Order.id.in_(some), identity.counts())
    orders = session.scalars(theirs.order_by(Order.id))
    found = ledger.balances_of(session, orders.all())
    return [number for number, one in found.items() if one.refund_failed]


def next_number(order: Order, balance: Balance) -> int:
    """Return the number of the order's next refund. A form carries it, so a resend is detected."""
    return 1 + sum(one.reference.startswith(_ours(order)) for one in balance.refunds)


def missing(balance: Balance, found: Iterable[payments.Refund]) -> list[projections.RefundState]:
    """Return the requested refunds that are not among the refunds at Stripe."""
    there = {one.reference for one in found}
    return [one for one in balance.refunds if one.asked and one.reference not in there]


def due(refund: projections.RefundState, balance: Balance, found: Iterable[payments.Refund]) -> int:
    """Return the amount still to refund, in the currency's smallest unit.

    A refund of a late payment covers all of it: parts that staff refunded at Stripe are subtracted.
    """
    if refund.cause != LATE:
        return refund.amount
    returned = sum(one.amount for one in found if one.counts)
    return max(min(refund.amount, balance.total - returned), 0)


def dismiss(session: AnySession, order: Order, refund: projections.RefundState, cause: str) -> None:
    """Record that a refund needs no further action. The caller holds the order's lock."""
    ledger.record(
        session, order, OrderEventKind.REFUND, cause,
        subject=refund.reference, status=RefundStatus.DISMISSED,
        amount=refund.amount,
    )  # fmt: skip


def seats_text(numbers: Sequence[int]) -> str:
    """Return the numbers of seats as text, such as "seats 1, 2"."""
    joined = ", ".join(map(str, numbers))
    return f"seat {joined}" if len(numbers) == 1 else f"seats {joined}"


def _request(
    session: AnySession,
    order: Order,
    balance: Balance,
    amount: int,
    numbers: Sequence[int],
    cause: str,
) -> str:
    reference = f"{_ours(order)}{next_number(order, balance)}"
    ledger.record(
        session, order, OrderEventKind.REFUND, cause,
        subject=reference, status=RefundStatus.ASKED, amount=amount,
        seats=len(numbers), seat_numbers=list(numbers) or None,
    )  # fmt: skip
    return reference


def _ours(order: Order) -> str:
    return f"order-{order.token}-refund-"


def _refusal(what: str, most: str) -> str:
    if what == "seats":
        return f"the order has {most} seats to refund: enter 1 to {most}"
    return f"{most} is left to refund: enter more than 0 and no more than that"
