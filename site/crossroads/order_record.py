"""One order's record at the desk: what happened to it, when, and from what we know."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import select

from crossroads import orders
from models import Enrollment, Hold, Message, Order, OrderEvent, StripeEvent
from models.base import AnySession
from models.message import SENT
from models.order import PAID

MAIL: Final = "mail"
NOTICE: Final = "notice"


@dataclass(frozen=True, kw_only=True)
class Step:
    """One line of the timeline: a kind of event of the order, a mail sent, or a Stripe event.

    `about` is the kind of the mail or of Stripe's event, `cause` what an event of the order came
    from, `done_at` when Stripe's event had been followed.
    """

    at: datetime
    kind: str
    about: str = ""
    cause: str = ""
    done_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Record:
    """All that is known of an order. `undone` are events of Stripe still to be followed."""

    state: str
    paid: OrderEvent | None
    hold: Hold | None
    enrollments: Sequence[Enrollment]
    messages: Sequence[Message]
    undone: Sequence[StripeEvent]
    timeline: Sequence[Step]


def of(session: AnySession, order: Order) -> Record:
    """Return the record of an order."""
    ledger = orders.events(session, order)
    query = select(Message).where(Message.order_id == order.id)
    mails = session.scalars(query.order_by(Message.created_at.desc(), Message.id.desc())).all()
    heard = session.scalars(
        select(StripeEvent)
        .where(StripeEvent.object_id == order.session_id)
        .order_by(StripeEvent.received_at, StripeEvent.id)
    ).all()
    seated = orders.UNSEATED not in {event.kind for event in ledger}
    return Record(
        state=orders.state(ledger) if seated else orders.UNSEATED,
        paid=next((event for event in ledger if event.kind == PAID), None),
        hold=session.get(Hold, order.id),
        enrollments=orders.enrollments(session, order),
        messages=mails,
        undone=[event for event in heard if event.done_at is None],
        timeline=sorted(_steps(ledger, mails, heard), key=lambda step: step.at),
    )


def _steps(
    ledger: Sequence[OrderEvent], mails: Sequence[Message], heard: Sequence[StripeEvent]
) -> Iterator[Step]:
    for event in ledger:
        yield Step(at=event.created_at, kind=event.kind, cause=event.cause)
    for mail in mails:
        if mail.state == SENT and mail.sent_at is not None:
            yield Step(at=mail.sent_at, kind=MAIL, about=mail.kind)
    for one in heard:
        yield Step(
            at=one.received_at, kind=NOTICE, about=one.kind, cause=one.id, done_at=one.done_at
        )
