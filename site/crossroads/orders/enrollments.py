"""Enrollments: the participant of each seat, with the receipt and the access to the course."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import exists, select

from crossroads import money
from crossroads.leads import waiting_list
from crossroads.orders import ledger
from crossroads.orders.ledger import Access
from models import Enrollment, Order, OrderEvent
from models.base import AnySession
from models.order import OrderEventKind


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """The payment of an order, formatted for display.

    `price` is for one seat. `subtotal` is None if it equals the total; `discount` and `tax` are
    None if there were none. `tax_included`: the tax is part of the subtotal. `free`: nothing had to
    be paid. `invoiced`: Stripe creates an invoice.
    """

    number: int
    item: str
    seats: int
    price: str
    subtotal: str | None
    discount: str | None
    tax: str | None
    tax_included: bool
    total: str
    free: bool
    invoiced: bool
    returned: str | None
    paid_at: datetime


@dataclass(frozen=True, kw_only=True)
class Returned:
    """A refund, formatted for display: its amount, the refunded seats and how many are left.

    `twice`: it refunds a duplicate payment.
    """

    amount: str
    seats: int
    kept: int
    whole: bool
    twice: bool = False


@dataclass(frozen=True, kw_only=True)
class Bought:
    """A paid order as mail to its buyer shows it.

    `token` opens the course page of the buyer's own seat; None if the buyer has none.
    `leave_token` takes the buyer off the waiting list: set if the course was full when the
    payment arrived. `returned` is the refund that the mail is about, if any.
    """

    order: Order
    receipt: Receipt
    token: str | None
    leave_token: str | None = None
    returned: Returned | None = None


def find(session: AnySession, token: str) -> Enrollment | None:
    """Return the enrollment with this token."""
    return session.scalar(select(Enrollment).where(Enrollment.token == token))


def own_seat(session: AnySession, order: Order) -> Enrollment | None:
    """Return the buyer's own seat of an order, or None when others have all of them."""
    query = select(Enrollment).where(
        Enrollment.order_id == order.id,
        Enrollment.address_hash == order.address_hash,
        Enrollment.ended_at.is_(None),
    )
    return session.scalars(query.order_by(Enrollment.seat).limit(1)).first()


def receipt(session: AnySession, enrollment: Enrollment) -> Receipt:
    """Return the receipt of the order that paid for the seat. Amounts are Stripe's."""
    order = session.get_one(Order, enrollment.order_id)
    return of_order(session, order)


def of_order(session: AnySession, order: Order) -> Receipt:
    """Return the receipt of a paid order. Raises NoResultFound when it is not paid."""
    query = select(OrderEvent).where(
        OrderEvent.order_id == order.id, OrderEvent.kind == OrderEventKind.PAID
    )
    paid = session.scalars(query).one()
    returned = ledger.balance_of(session, order).returned
    subtotal, discount, tax, total = (
        amount or 0
        for amount in (
            paid.amount_subtotal, paid.amount_discount, paid.amount_tax, paid.amount_total
        )
    )  # fmt: skip
    return Receipt(
        number=order.id,
        item=order.item,
        seats=order.seats,
        price=money.display(order.unit_amount, order.currency),
        subtotal=money.display(subtotal, order.currency) if subtotal != total else None,
        discount=f"-{money.display(discount, order.currency)}" if discount else None,
        tax=money.display(tax, order.currency) if tax else None,
        tax_included=total == subtotal - discount,
        total=money.display(total, order.currency),
        free=total == 0,
        invoiced=bool(order.checkout_options.get("invoices")),
        returned=money.display(returned, order.currency) if returned else None,
        paid_at=paid.created_at,
    )


def bought(session: AnySession, order: Order, event_id: int | None = None) -> Bought:
    """Return a paid order for a mail to its buyer, with the refund of the given event if any.

    Raises NoResultFound when the order is not paid.
    """
    own = own_seat(session, order)
    unseated = exists().where(
        OrderEvent.order_id == order.id, OrderEvent.kind == OrderEventKind.UNSEATED
    )
    seated = not session.scalar(select(unseated))
    waiter = None if seated else waiting_list.of_buyer(session, order)
    event = session.get(OrderEvent, event_id) if event_id is not None else None
    return Bought(
        order=order,
        receipt=of_order(session, order),
        token=own.token if own else None,
        leave_token=waiter.unsubscribe_token if waiter else None,
        returned=_returned(session, order, event) if event else None,
    )


def has_access(session: AnySession, enrollment: Enrollment) -> Access:
    """Return whether the participant has the seat now: paid, not refunded, not reassigned."""
    balance = ledger.balance_of(session, session.get_one(Order, enrollment.order_id))
    has_it = enrollment.seat in balance.kept and enrollment.ended_at is None
    return balance.access if has_it else "none"


def _returned(session: AnySession, order: Order, event: OrderEvent) -> Returned:
    balance = ledger.balance_of(session, order)
    refund = balance.refund(event.subject)
    return Returned(
        amount=money.display(event.amount or 0, order.currency),
        seats=refund.seats if refund else 0,
        kept=balance.seats,
        whole=balance.returned >= balance.total,
        twice=event.kind == OrderEventKind.DUPLICATE,
    )
