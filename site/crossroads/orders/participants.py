"""Participants: whom the buyer of several seats gives each of them to.

Every naming is an event of the order's ledger, which counts them: a form says which count it was
made for, so that of two windows that name the same seat one wins, and the other hears of it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import select

from crossroads.content import Cohort, schedule
from crossroads.database import identity
from crossroads.mail import outbox
from crossroads.mail.addresses import Address
from crossroads.mail.kinds import MailKind
from crossroads.orders import ledger, seats
from crossroads.orders import lifecycle as orders
from crossroads.orders.ledger import Balance
from models import Enrollment, Message, Order, now
from models.base import AnySession
from models.message import MessageState
from models.order import OrderEventKind

A_DAY = timedelta(days=1)
NAMINGS_A_DAY: Final = 5  # of one seat: each sends mail to an address that the buyer typed


class ParticipantError(ValueError):
    """A seat that cannot be given to this person. The message tells the buyer what can be done."""


class AlreadyNamed(ParticipantError):
    """The person has a seat of the cohort already: it is for someone else."""


class Changed(ParticipantError):
    """The seat was named, or given back, since the form was made."""


@dataclass(frozen=True, kw_only=True)
class Seat:
    """A seat as its buyer sees it: who has it, whether it is kept, and how the invitation fares.

    `turn` counts how often it was named. `own` says that the buyer has it. `mail` is None when no
    invitation was sent, as to who has it since it was bought.
    """

    number: int
    turn: int
    kept: bool
    own: bool
    participant: Enrollment
    mail: MessageState | None

    @property
    def named(self) -> bool:
        """Tell whether it was given to someone, who may have been erased since."""
        return bool(self.participant.address_hash)


def seats_of(session: AnySession, order: Order) -> Sequence[Seat]:
    """Return the seats of a paid order, the first one first."""
    balance = ledger.balance_of(session, order)
    mails = _mails(session, order)
    return [
        Seat(
            number=one.seat,
            turn=balance.named.get(one.seat, 0),
            kept=one.seat in balance.kept,
            own=one.address_hash == order.address_hash,
            participant=one,
            mail=mails.get(one.id),
        )
        for one in orders.enrollments(session, order)
    ]


def name(
    session: AnySession,
    order: Order,
    number: int,
    turn: int,
    *,
    address: Address,
    called: str,
    cohort: Cohort | None,
) -> Enrollment:
    """Give a seat to someone, who is invited; who had it before the start of the course is told.

    The address of who has it with another name corrects the name, until the course is over.
    `turn` is how often the seat was named when the buyer was asked. The caller holds the order's
    lock. Raises ParticipantError, and of its kinds Changed and Seated.
    """
    balance = ledger.balance_of(session, order)
    current = _current(session, order, balance, number)
    if turn != balance.named.get(number, 0):
        raise Changed(_address_of(current))
    at = now()
    if address.hash == current.address_hash and called != current.name:
        _require_ahead(cohort, at)
        current.name = called
        return current
    _require_time(order, current, cohort, at)
    _require_new(session, order, number, address)
    _require_interval(session, order, number, at)
    if current.address_hash:
        current.ended_at = at
        session.flush()  # of each seat one row is current
        given = Enrollment(order_id=order.id, seat=number, course=order.course, cohort=order.cohort)
        session.add(given)
        outbox.enqueue_for_participant(session, MailKind.REPLACED, current)
    else:
        given = current
    given.email, given.name, given.address_hash = address.typed, called, address.hash
    ledger.record(
        session, order, OrderEventKind.NAMED, "buyer", subject=str(number), status=str(turn + 1)
    )
    outbox.enqueue_for_participant(session, MailKind.INVITATION, given)
    return given


def invite(session: AnySession, order: Order, number: int, turn: int) -> Enrollment:
    """Send the invitation to a seat once more. Raises as name() does.

    The caller holds the order's lock.
    """
    balance = ledger.balance_of(session, order)
    current = _current(session, order, balance, number)
    if turn != balance.named.get(number, 0):
        raise Changed(_address_of(current))
    if current.email is None:
        raise ParticipantError("This seat has no participant, so there is nobody to invite")
    if _mails(session, order).get(current.id) == MessageState.DUE:
        raise ParticipantError("The invitation is on its way: give it five minutes")
    if not outbox.under_rate_limit(session, current.address_hash):
        raise ParticipantError(
            f"{current.email} has had as many mails in the last hour as we send. "
            "Ask them to look in spam, or try again in an hour"
        )
    outbox.enqueue_for_participant(session, MailKind.INVITATION, current)
    return current


def locked(cohort: Cohort | None, at: datetime) -> bool:
    """Tell whether who has a seat keeps it: from the day the course starts."""
    return cohort is None or seats.started(cohort, at)


def _current(session: AnySession, order: Order, balance: Balance, number: int) -> Enrollment:
    """Return who has the seat now. Raises ParticipantError when nobody may give it."""
    if balance.access == "paused":
        raise ParticipantError(
            "A bank is reviewing the payment: the seats cannot change until it has decided"
        )
    current = session.scalar(
        select(Enrollment)
        .where(
            Enrollment.order_id == order.id,
            Enrollment.seat == number,
            Enrollment.ended_at.is_(None),
        )
        .execution_options(populate_existing=True)
    )
    if current is None or number not in balance.kept:
        raise Changed("This seat was canceled, so nobody can take it")
    if number not in balance.free_to_return:
        raise ParticipantError("The refund for this seat is on its way, so the seat cannot change")
    return current


def _require_ahead(cohort: Cohort | None, at: datetime) -> None:
    if cohort is not None and schedule.state(cohort, at) == "over":
        raise ParticipantError("This course is over, so its seats cannot change")


def _require_time(order: Order, current: Enrollment, cohort: Cohort | None, at: datetime) -> None:
    _require_ahead(cohort, at)
    if current.address_hash and locked(cohort, at):
        raise ParticipantError(
            "The course has started, so a seat can no longer change its participant here: "
            f"write to us and name order {order.id}"
        )


def _require_new(session: AnySession, order: Order, number: int, address: Address) -> None:
    """Raise Seated when the person has a seat in the cohort already.

    Nobody else gives seats of the cohort away from here on until the transaction ends.
    """
    seats.lock_and_count(session, order.course, order.cohort)
    held = select(Enrollment.order_id, Enrollment.seat).where(
        Enrollment.course == order.course,
        Enrollment.cohort == order.cohort,
        Enrollment.address_hash == address.hash,
        Enrollment.ended_at.is_(None),
        Enrollment.kept.is_(True),
        identity.of_counting(Enrollment.order_id),
    )
    places = {row.order_id: row.seat for row in session.execute(held)}
    if order.id in places:
        other = places[order.id]
        which = "this seat" if other == number else f"seat {other}"
        raise AlreadyNamed(f"This person has {which} already: enter another person for each seat")
    if places:
        raise AlreadyNamed(
            "This person already has a seat on these dates from another order: enter another person"
        )


def _require_interval(session: AnySession, order: Order, number: int, at: datetime) -> None:
    lately = [
        event
        for event in ledger.events(session, order)
        if event.kind == OrderEventKind.NAMED
        and event.subject == str(number)
        and event.created_at > at - A_DAY
    ]
    if len(lately) >= NAMINGS_A_DAY:
        raise ParticipantError(
            f"This seat changed its participant {NAMINGS_A_DAY} times in a day: "
            f"wait until tomorrow, or write to us and mention order {order.id}"
        )


def _address_of(current: Enrollment) -> str:
    if current.email is None:
        return "This seat was changed in another window: check it again"
    return f"This seat was given to {current.email} in another window"


def _mails(session: AnySession, order: Order) -> Mapping[int, MessageState]:
    """Return how the last invitation to each participant of an order fares, by enrollment."""
    query = select(Message.enrollment_id, Message.state).where(
        Message.order_id == order.id, Message.kind == MailKind.INVITATION
    )
    mails: dict[int, MessageState] = {}
    for number, state in session.execute(query.order_by(Message.id)):
        if number is not None:
            mails[number] = state
    return mails
