"""One order's record at the desk: what happened to it, when, and from what we know."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import select

from crossroads.orders import ledger
from crossroads.orders.ledger import Balance
from models import Enrollment, Hold, Message, Order, OrderEvent, StripeEvent, now
from models.base import AnySession
from models.message import SENT
from models.order import PAID

MAIL: Final = "mail"
NOTICE: Final = "notice"
SOON: Final = timedelta(minutes=1)  # a worker that runs has followed an event by then


@dataclass(frozen=True, kw_only=True)
class Step:
    """One line of the timeline: a kind of event of the order, a mail sent, or a Stripe event.

    `about` is the kind of the mail or of Stripe's event, `cause` what an event of the order came
    from, `done_at` when Stripe's event had been followed. `event` is the order's own.
    """

    at: datetime
    kind: str
    about: str = ""
    cause: str = ""
    done_at: datetime | None = None
    event: OrderEvent | None = None


@dataclass(frozen=True, kw_only=True)
class Record:
    """All that is known of an order. `undone` are events of Stripe that should be followed by now.

    `drift` says that Stripe sold it at another price than the order's, codes and tax aside.
    `enrollments` are by seat: who has it now, then who had it before.
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
        """Tell whether the tax is part of what was sold, and does not come on top."""
        paid = self.paid
        return paid is not None and paid.amount_total == (paid.amount_subtotal or 0) - (
            paid.amount_discount or 0
        )


def of(session: AnySession, order: Order) -> Record:
    """Return the record of an order."""
    events = ledger.events(session, order)
    query = select(Message).where(Message.order_id == order.id)
    mails = session.scalars(query.order_by(Message.created_at.desc(), Message.id.desc())).all()
    heard = session.scalars(
        select(StripeEvent)
        .where(StripeEvent.object_id.in_(_known(order, events)))
        .order_by(StripeEvent.received_at, StripeEvent.id)
    ).all()
    paid = next((event for event in events if event.kind == PAID), None)
    seats = select(Enrollment).where(Enrollment.order_id == order.id)
    by_seat = Enrollment.seat, Enrollment.ended_at.is_not(None), Enrollment.id.desc()
    return Record(
        balance=ledger.balance(order.seats, events),
        paid=paid,
        drift=paid is not None and paid.amount_subtotal != order.amount,
        hold=session.get(Hold, order.id),
        enrollments=session.scalars(seats.order_by(*by_seat)).all(),
        messages=mails,
        undone=[event for event in heard if event.done_at is None and _late(event)],
        timeline=sorted(_steps(events, mails, heard), key=lambda step: step.at),
    )


def _late(event: StripeEvent) -> bool:
    return event.attempts > 0 or event.received_at < now() - SOON


def _known(order: Order, events: Sequence[OrderEvent]) -> list[str]:
    """Return Stripe's ids of all that is known to belong to the order."""
    named = (name for event in events for name in (event.stripe_id, event.subject))
    ids = {order.session_id, *named}
    return [one for one in ids if one]


def _steps(
    events: Sequence[OrderEvent], mails: Sequence[Message], heard: Sequence[StripeEvent]
) -> Iterator[Step]:
    for event in events:
        yield Step(at=event.created_at, kind=event.kind, cause=event.cause, event=event)
    for mail in mails:
        if mail.state == SENT and mail.sent_at is not None:
            yield Step(at=mail.sent_at, kind=MAIL, about=mail.kind)
    for one in heard:
        yield Step(
            at=one.received_at, kind=NOTICE, about=one.kind, cause=one.id, done_at=one.done_at
        )
