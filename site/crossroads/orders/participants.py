"""Participants: the buyer of several seats names a person for each of them.

Every naming is an event of the order's ledger, and each seat counts its namings. A form carries
the count that it was rendered with, so the second of two windows that change the same seat gets an
error.
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
NAMINGS_A_DAY: Final = 5  # for each seat: every naming mails an address that the buyer typed


class ParticipantError(ValueError):
    """A seat cannot be given to this person. The message tells the buyer what to do."""


class AlreadyNamed(ParticipantError):
    """The person has a seat in the cohort already."""


class Changed(ParticipantError):
    """The seat was named or canceled after the form was rendered."""


@dataclass(frozen=True, kw_only=True)
class Seat:
    """A seat as its buyer sees it: its participant, its state and the state of the invitation.

    `turn` counts the namings. `kept`: it is paid for and not refunded. `own`: it is the buyer's.
    `mail` is None when no invitation was sent, as for the buyer's own seat.
    """

    number: int
    turn: int
    kept: bool
    own: bool
    participant: Enrollment
    mail: MessageState | None

    @property
    def named(self) -> bool:
        """Tell whether it has a participant, even one whose data was erased."""
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
    """Give a seat to a person and invite them. The previous participant gets an email.

    A participant can be replaced until the course starts. The same address with another name
    corrects the name, until the course is over. `turn` is the count of namings that the form
    carries. The caller holds the order's lock. Raises ParticipantError, among them Changed and
    AlreadyNamed.
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
        session.flush()  # each seat has one current row
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
    """Resend the invitation to a seat. Raises the same exceptions as name().

    The caller holds the order's lock.
    """
    balance = ledger.balance_of(session, order)
    current = _current(session, order, balance, number)
    if turn != balance.named.get(number, 0):
        raise Changed(_address_of(current))
    if current.email is None:
        raise ParticipantError("This seat has no participant, so there is nobody to invite")
    if _mails(session, order).get(current.id) == MessageState.DUE:
        raise ParticipantError("The invitation is on its way: please wait five minutes")
    if not outbox.under_rate_limit(session, current.address_hash):
        raise ParticipantError(
            f"{current.email} has reached the limit of mails in an hour. "
            "Ask them to check their spam folder, or try again in an hour"
        )
    outbox.enqueue_for_participant(session, MailKind.INVITATION, current)
    return current


def locked(cohort: Cohort | None, at: datetime) -> bool:
    """Tell whether participants can no longer be replaced: from the day the course starts."""
    return cohort is None or seats.started(cohort, at)


def _current(session: AnySession, order: Order, balance: Balance, number: int) -> Enrollment:
    """Return the seat's current enrollment. Raises ParticipantError when it cannot change."""
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
            f"write to us and mention order {order.id}"
        )


def _require_new(session: AnySession, order: Order, number: int, address: Address) -> None:
    """Raise AlreadyNamed when the person has a seat in the cohort already.

    Locks the cohort's seats until the transaction ends.
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
    taken = {row.order_id: row.seat for row in session.execute(held)}
    if order.id in taken:
        other = taken[order.id]
        which = "this seat" if other == number else f"seat {other}"
        raise AlreadyNamed(f"This person has {which} already: enter another person for each seat")
    if taken:
        raise AlreadyNamed(
            "This person already has a seat on these dates from another order: enter another person"
        )


def _require_interval(session: AnySession, order: Order, number: int, at: datetime) -> None:
    recent = [
        event
        for event in ledger.events(session, order)
        if event.kind == OrderEventKind.NAMED
        and event.subject == str(number)
        and event.created_at > at - A_DAY
    ]
    if len(recent) >= NAMINGS_A_DAY:
        raise ParticipantError(
            f"This seat changed its participant {NAMINGS_A_DAY} times in a day: "
            f"wait until tomorrow, or write to us and mention order {order.id}"
        )


def _address_of(current: Enrollment) -> str:
    if current.email is None:
        return "This seat was changed in another window: check it again"
    return f"This seat was given to {current.email} in another window"


def _mails(session: AnySession, order: Order) -> Mapping[int, MessageState]:
    """Return the state of the last invitation to each participant, by enrollment id."""
    query = select(Message.enrollment_id, Message.state).where(
        Message.order_id == order.id, Message.kind == MailKind.INVITATION
    )
    mails: dict[int, MessageState] = {}
    for number, state in session.execute(query.order_by(Message.id)):
        if number is not None:
            mails[number] = state
    return mails
