"""Queries of the desk's home page: counts of leads and orders, and failures."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise

from sqlalchemy import ColumnElement, and_, func, select, true

from crossroads.database import identity
from models import Hold, Lead, Message, Order, OrderEvent, StripeEvent
from models.base import AnySession
from models.lead import LeadState
from models.message import MessageState
from models.order import OrderEventKind

DAYS = 30
WEEK = timedelta(days=7)
NEWEST = 8
STUCK_TRIES = 3  # an event that failed once or twice is tried again within a minute


@dataclass(frozen=True)
class Figures:
    """Counts of leads, `week_before` being the seven days before `week`."""

    leads: int
    week: int
    week_before: int
    confirmed: int

    @property
    def change(self) -> int:
        return self.week - self.week_before

    @property
    def confirmed_share(self) -> int:
        """Whole per cent of all leads, rounded down so that 100 means every one."""
        return self.confirmed * 100 // self.leads if self.leads else 0


@dataclass(frozen=True)
class Sales:
    """Orders paid in the last seven days and in the seven before, and what stands open now.

    `revenue` is what was paid in `week`, less what of that went back since, by currency, in its
    smallest unit. Open orders hold `held` seats; of `unseated` ones the money came after the seats
    were gone.
    """

    week: int
    week_before: int
    revenue: dict[str, int]
    open: int
    held: int
    enrolled: int
    unseated: int

    @property
    def change(self) -> int:
        return self.week - self.week_before


@dataclass(frozen=True)
class Stuck:
    """A Stripe event that failed several times, and its order's number."""

    event: StripeEvent
    order: int | None


@dataclass(frozen=True)
class Day:
    """Sign-ups of one day in UTC."""

    date: date
    signups: int


def figures(session: AnySession, at: datetime) -> Figures:
    """Return the counts on the desk's home page."""
    by_state = select(Lead.state, func.count(Lead.id)).group_by(Lead.state)  # from the index only
    leads = {row[0]: row[1] for row in session.execute(by_state)}
    return Figures(
        leads=sum(leads.values()),
        week=_signups(session, at - WEEK, at),
        week_before=_signups(session, at - 2 * WEEK, at - WEEK),
        confirmed=leads.get(LeadState.CONFIRMED, 0),
    )


def days(session: AnySession, at: datetime) -> list[Day]:
    """Return the sign-ups of the last 30 days, oldest first, days without any among them."""
    last = at.astimezone(UTC).date()
    dates = [last - timedelta(days=DAYS - 1 - i) for i in range(DAYS)]
    midnights = [datetime.combine(date, time(), UTC) for date in [*dates, last + timedelta(days=1)]]
    # One index-only count for each day: computing the day of every row is much slower.
    numbers = [
        select(func.count(Lead.id))
        .where(Lead.created_at >= begin, Lead.created_at < end)
        .scalar_subquery()
        for begin, end in pairwise(midnights)
    ]
    counted = session.execute(select(*numbers)).one()
    return [Day(date, number) for date, number in zip(dates, counted, strict=True)]


def newest(session: AnySession) -> Sequence[Lead]:
    """Return the newest leads."""
    query = select(Lead).order_by(Lead.created_at.desc(), Lead.id.desc()).limit(NEWEST)
    return session.scalars(query).all()


def undelivered(session: AnySession, *, leads: bool, orders: bool) -> tuple[int, Sequence[Message]]:
    """Count the mails to leads, to buyers or to both that were given up; return the last ones."""
    given_up = Message.state == MessageState.DEAD
    whose: ColumnElement[bool] = true()
    if not (leads and orders):
        whose = Message.order_id.is_(None) if leads else Message.order_id.is_not(None)
    # Counted with a filter: as a condition it has SQLite look at all mail that is about an order.
    number = select(func.count(Message.id).filter(whose)).where(given_up)
    query = select(Message).where(given_up, whose).order_by(Message.id.desc()).limit(NEWEST)
    return session.scalar(number) or 0, session.scalars(query).all()


def sales(session: AnySession, at: datetime) -> Sales:
    """Count orders and sum the payments less refunds."""
    revenue = session.execute(
        select(Order.currency, func.sum(OrderEvent.amount_total - Order.amount_returned))
        .join(Order, Order.id == OrderEvent.order_id)
        .where(_paid(at - WEEK, at), identity.counts())
        .group_by(Order.currency)
        .order_by(func.count(Order.id).desc(), Order.currency)
    )
    # A hold lives exactly as long as its order is open.
    open_, held = session.execute(select(func.count(Hold.order_id), func.sum(Hold.seats))).one()
    unseated = select(func.count()).where(Order.state == OrderEventKind.UNSEATED, identity.counts())
    return Sales(
        week=_count_paid(session, at - WEEK, at),
        week_before=_count_paid(session, at - 2 * WEEK, at - WEEK),
        revenue={currency: amount or 0 for currency, amount in revenue},
        open=open_,
        held=held or 0,
        enrolled=session.scalar(select(func.sum(Order.seats_kept)).where(identity.counts())) or 0,
        unseated=session.scalar(unseated) or 0,
    )


def stuck(session: AnySession) -> tuple[int, Sequence[Stuck]]:
    """Count Stripe events that keep failing; return the oldest ones."""
    failing = StripeEvent.done_at.is_(None) & (StripeEvent.attempts >= STUCK_TRIES)
    rows = session.execute(
        select(StripeEvent, Order.id)
        .outerjoin(Order, Order.session_id == StripeEvent.object_id)
        .where(failing)
        .order_by(StripeEvent.received_at, StripeEvent.id)
        .limit(NEWEST)
    )
    count = session.scalar(select(func.count(StripeEvent.id)).where(failing)) or 0
    return count, [Stuck(event, order) for event, order in rows]


def _signups(session: AnySession, since: datetime, until: datetime) -> int:
    query = select(func.count(Lead.id))
    return session.scalar(query.where(Lead.created_at > since, Lead.created_at <= until)) or 0


def _paid(since: datetime, until: datetime) -> ColumnElement[bool]:
    return and_(
        OrderEvent.kind == OrderEventKind.PAID,
        OrderEvent.created_at > since,
        OrderEvent.created_at <= until,
    )


def _count_paid(session: AnySession, since: datetime, until: datetime) -> int:
    theirs = identity.of_counting(OrderEvent.order_id)
    query = select(func.count(OrderEvent.id)).where(_paid(since, until), theirs)
    return session.scalar(query) or 0
