"""Refunds: ask for one, and note what Stripe says of each. The money itself moves in settlement."""

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
    """A refund that cannot be asked for. The message says why, and what can."""


def price(order: Order, balance: Balance, seats: int | None, amount: int | None) -> tuple[int, int]:
    """Return the amount that a refund gives back and the seats that it takes.

    Of `seats` their share of what was paid, of an `amount` no seat, of neither all that is left.
    Raises RefundError when it cannot be asked for.
    """
    if not balance.paid:
        raise RefundError("the order is not paid: there is nothing to return")
    if balance.free:
        raise RefundError("nothing had to be paid for the order: there is nothing to return")
    if balance.disputed:
        raise RefundError("the payment is disputed: Stripe returns nothing until that is decided")
    if balance.state == OrderState.DISPUTE_LOST:
        raise RefundError("the dispute is lost: the bank has returned the money")
    if balance.left <= 0:
        raise RefundError("nothing is left of the payment: all of it was returned, or is to be")
    if balance.asked:
        waits = money.display(balance.asked, order.currency)
        raise RefundError(f"a refund of {waits} waits for Stripe's answer: one after the other")
    if seats is not None and not 1 <= seats <= balance.seats_left:
        raise RefundError(_refusal("seats", str(balance.seats_left)))
    if amount is not None and not 1 <= amount <= balance.left:
        raise RefundError(_refusal("amount", money.display(balance.left, order.currency)))
    if amount is not None:
        if amount % money.step(order.currency):
            raise RefundError(f"Stripe returns {order.currency} in steps of 0.01: round it")
        return amount, (balance.seats_left if amount == balance.left else 0)
    if seats is None or seats == balance.seats_left:
        return balance.left, balance.seats_left
    share = balance.total * seats // order.seats
    return min(share - share % money.step(order.currency), balance.left), seats


def choose(
    session: AnySession, order: Order, balance: Balance, number: int, wanted: Sequence[int] = ()
) -> tuple[int, ...]:
    """Return which seats a refund of so many takes: those that are wanted, if any are.

    Else the ones that wait for a name, the last of them first, and then those that were named
    last. Raises RefundError when the wanted ones are not as many, or not there to be taken.
    """
    free = balance.free_to_return
    if wanted:
        chosen = tuple(sorted(set(wanted)))
        if not set(chosen) <= set(free):
            raise RefundError(f"choose among the seats that are left: {listed(free)}")
        if len(chosen) != number:
            raise RefundError(f"{number} to give back, and {listed(chosen)} named: name as many")
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
    """Note that money is to be given back, and return the refund's reference; Stripe comes after.

    `wanted` are the numbers of the seats that it is for, where it matters. Raises RefundError.
    """
    order = ledger.lock(session, order_id)
    balance = ledger.balance_of(session, order)
    returned, taken = price(order, balance, seats, amount)
    numbers = choose(session, order, balance, taken, wanted)
    return _request(session, order, balance, returned, numbers, cause)


def return_late(session: AnySession, order: Order) -> None:
    """Note that all that was paid for an order is to be given back: no seat was left."""
    balance = ledger.balance_of(session, order)
    if balance.left:
        _request(session, order, balance, balance.left, (), LATE)


def retry_with_new_key(session: AnySession, order_id: int, reference: str, cause: str) -> None:
    """Ask under a new key from now on, as Stripe keeps a failure under that of the last."""
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
    """Return the idempotency key that Stripe is asked with."""
    return refund.reference if refund.tries == 1 else f"{refund.reference}-{refund.tries}"


def record_status(session: AnySession, order: Order, found: payments.Refund, cause: str) -> None:
    """Note what Stripe says of a refund of the order's payment.

    The buyer is told of one that is new, and when one that they were told of comes to nothing,
    unless a bank has the payment in hand, or has returned it. The caller holds the order's lock.
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
    told = was is not None and (was.counts or was.cause == LATE)
    if told and not found.counts and (before.disputed or before.state == OrderState.DISPUTE_LOST):
        return
    if told != found.counts:
        kind = MailKind.REFUND if found.counts else MailKind.REFUND_FAILED
        outbox.enqueue_for_order(session, kind, order, number)


def record_refusal(
    session: AnySession, order: Order, reference: str, reason: str, cause: str
) -> None:
    """Note that Stripe will not make a refund. The caller holds the order's lock."""
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
    """Note what became of a refund that failed: it was returned ELSEWHERE, or is DISMISSED.

    That of a duplicate is named by its payment. Raises RefundError.
    """
    order = ledger.lock(session, order_id)
    balance = ledger.balance_of(session, order)
    each = [
        *((OrderEventKind.REFUND, one, balance.left) for one in balance.refunds),
        *((OrderEventKind.DUPLICATE, one, one.amount) for one in balance.duplicates),
    ]
    found = next((one for one in each if one[1].name == name and one[1].failed), None)
    if found is None:
        raise RefundError("that refund is seen to already")
    kind, refund, most = found
    if status == RefundStatus.ELSEWHERE and refund.amount > most:
        raise RefundError(_refusal("amount", money.display(most, order.currency)))
    ledger.record(
        session, order, kind, cause, subject=refund.reference, status=status,
        amount=refund.amount,
    )  # fmt: skip


def failed(session: AnySession) -> list[int]:
    """Return the numbers of the orders with a refund that failed and that nobody has seen to."""
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


def number(order: Order, balance: Balance) -> int:
    """Return the number that the order's next refund will have: who asks for it twice is known."""
    return 1 + sum(one.reference.startswith(_ours(order)) for one in balance.refunds)


def missing(balance: Balance, found: Iterable[payments.Refund]) -> list[projections.RefundState]:
    """Return what was asked for and is not among the refunds that Stripe has."""
    there = {one.reference for one in found}
    return [one for one in balance.refunds if one.asked and one.reference not in there]


def due(refund: projections.RefundState, balance: Balance, found: Iterable[payments.Refund]) -> int:
    """Return how much of a refund is to be made, in the currency's smallest unit.

    Late money goes back whole: what of it staff returned at Stripe before is not due again.
    """
    if refund.cause != LATE:
        return refund.amount
    returned = sum(one.amount for one in found if one.counts)
    return max(min(refund.amount, balance.total - returned), 0)


def dismiss(session: AnySession, order: Order, refund: projections.RefundState, cause: str) -> None:
    """Note that nothing more is to be done about a refund. The caller holds the order's lock."""
    ledger.record(
        session, order, OrderEventKind.REFUND, cause,
        subject=refund.reference, status=RefundStatus.DISMISSED,
        amount=refund.amount,
    )  # fmt: skip


def listed(numbers: Sequence[int]) -> str:
    """Return the numbers of seats in words."""
    said = ", ".join(map(str, numbers))
    return f"seat {said}" if len(numbers) == 1 else f"seats {said}"


def _request(
    session: AnySession,
    order: Order,
    balance: Balance,
    amount: int,
    numbers: Sequence[int],
    cause: str,
) -> str:
    reference = f"{_ours(order)}{number(order, balance)}"
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
        return f"the order has {most} seats to give back: name 1 to {most}"
    return f"{most} is left of the payment: name more than nothing, and no more than that"
