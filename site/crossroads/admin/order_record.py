"""The record of one order at the desk: each event with its time and source."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal, assert_never

from sqlalchemy import select

from crossroads import money
from crossroads.orders import ledger, projections
from crossroads.orders.ledger import Balance
from models import Enrollment, Hold, Message, Order, OrderEvent, StripeEvent, now
from models.base import AnySession
from models.labels import label_of
from models.message import MessageState
from models.order import OrderEventKind
from models.stripe_event import StripeEventState
from models.stripe_words import DisputeReason, DisputeStatus, RefundFailure, RefundStatus

SOON: Final = timedelta(minutes=1)  # a worker that runs has followed an event by then


@dataclass(frozen=True, kw_only=True)
class Step:
    """One line of the timeline: an event of the order, a mail sent, or a Stripe event.

    `title` says in words what happened to the order, and `reason` why, where that is known.
    `about` is the kind of the mail or of Stripe's event, `cause` what an event of the order came
    from, `state` and `done_at` whether and
    when Stripe's event was followed. `stripe_id` is Stripe's of the payment,
    the refund or the dispute.
    """

    at: datetime
    kind: Literal["event", "mail", "notice"]
    title: str = ""
    reason: str = ""
    about: str = ""
    cause: str = ""
    state: StripeEventState | None = None
    done_at: datetime | None = None
    stripe_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class Record:
    """The full record of an order. `undone` are Stripe events that should be processed by now.

    `drift` says that Stripe sold it at another price than the order's, codes and tax aside.
    `enrollments` are by seat: the present participant, then earlier ones.
    """

    balance: Balance
    paid: OrderEvent | None
    drift: bool
    hold: Hold | None
    enrollments: Sequence[Enrollment]
    messages: Sequence[Message]
    undone: Sequence[StripeEvent]
    timeline: Sequence[Step]

    @property
    def tax_included(self) -> bool:
        """Return whether the tax is included in the price."""
        paid = self.paid
        return paid is not None and paid.amount_total == (paid.amount_subtotal or 0) - (
            paid.amount_discount or 0
        )


def load(session: AnySession, order: Order) -> Record:
    """Return the record of an order."""
    events = ledger.events(session, order)
    query = select(Message).where(Message.order_id == order.id)
    mails = session.scalars(query.order_by(Message.created_at.desc(), Message.id.desc())).all()
    heard = session.scalars(
        select(StripeEvent)
        .where(StripeEvent.object_id.in_(_known(order, events)))
        .order_by(StripeEvent.received_at, StripeEvent.id)
    ).all()
    paid = next((event for event in events if event.kind == OrderEventKind.PAID), None)
    seats = select(Enrollment).where(Enrollment.order_id == order.id)
    by_seat = Enrollment.seat, Enrollment.ended_at.is_not(None), Enrollment.id.desc()
    enrollments = session.scalars(seats.order_by(*by_seat)).all()
    steps = _steps(order, events, mails, heard, enrolled=bool(enrollments))
    return Record(
        balance=ledger.balance(order.seats, events),
        paid=paid,
        drift=paid is not None and paid.amount_subtotal != order.amount,
        hold=session.get(Hold, order.id),
        enrollments=enrollments,
        messages=mails,
        undone=[event for event in heard if event.done_at is None and _late(event)],
        timeline=sorted(steps, key=lambda step: step.at),
    )


def title(order: Order, event: OrderEvent, *, enrolled: bool) -> str:
    """Return the title of an order's event for staff; `enrolled` is whether it has seats."""
    amount = money.with_code(event.amount or 0, order.currency)
    match event.kind:
        case OrderEventKind.REFUND:
            return f"Refund of {amount}{_seats(order, event)}: {_refund_status(event)}"
        case OrderEventKind.DUPLICATE:
            return f"Second payment of {amount}, its refund: {_refund_status(event)}"
        case OrderEventKind.DISPUTE:
            return f"Dispute of {amount}: {label_of(DisputeStatus, event.status)}"
        case OrderEventKind.DUPLICATE_DISPUTE:
            status = label_of(DisputeStatus, event.status)
            return f"Dispute of {amount}, a second payment: {status}"
        case OrderEventKind.NAMED:
            times = f", {event.status} times by then" if event.status != "1" else ""
            return f"Seat {event.subject} named{times}"
        case OrderEventKind.PAID:
            seats = f"{order.seats} {'seat' if order.seats == 1 else 'seats'}"
            return f"{event.kind.label}, {seats} enrolled" if enrolled else event.kind.label
        case OrderEventKind.PLACED | OrderEventKind.PENDING | OrderEventKind.UNSEATED:
            return event.kind.label
        case OrderEventKind.FAILED | OrderEventKind.EXPIRED | OrderEventKind.CANCELED:
            return event.kind.label
        case OrderEventKind.COPY_FAILED:
            return event.kind.label
    assert_never(event.kind)


def _refund_status(event: OrderEvent) -> str:
    return label_of(RefundStatus, projections.plain(event.status))


def _seats(order: Order, event: OrderEvent) -> str:
    """Return the seats that a refund takes, or their number where none were chosen."""
    if not event.seats:
        return ""
    word = "seat" if event.seats == 1 else "seats"
    if event.seat_numbers and event.seats < order.seats:
        return f", {word} {', '.join(map(str, event.seat_numbers))}"
    return f", {event.seats} {word}"


def _reason(event: OrderEvent) -> str:
    disputes = (OrderEventKind.DISPUTE, OrderEventKind.DUPLICATE_DISPUTE)
    return label_of(DisputeReason if event.kind in disputes else RefundFailure, event.reason)


def _late(event: StripeEvent) -> bool:
    return event.attempts > 0 or event.received_at < now() - SOON


def _known(order: Order, events: Sequence[OrderEvent]) -> list[str]:
    """Return all known Stripe ids that belong to the order."""
    named = (name for event in events for name in (event.stripe_id, event.subject))
    ids = {order.session_id, *named}
    return [one for one in ids if one]


def _steps(
    order: Order,
    events: Sequence[OrderEvent],
    mails: Sequence[Message],
    heard: Sequence[StripeEvent],
    *,
    enrolled: bool,
) -> Iterator[Step]:
    for event in events:
        yield Step(
            at=event.created_at,
            kind="event",
            title=title(order, event, enrolled=enrolled),
            reason=_reason(event),
            cause=event.cause,
            stripe_id=event.stripe_id,
        )
    for mail in mails:
        if mail.state == MessageState.SENT and mail.sent_at is not None:
            yield Step(at=mail.sent_at, kind="mail", about=mail.kind)
    for one in heard:
        yield Step(
            at=one.received_at,
            kind="notice",
            about=one.kind,
            cause=one.id,
            state=one.state,
            done_at=one.done_at,
        )
