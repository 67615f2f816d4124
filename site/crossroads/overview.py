"""What the desk's first page says: how many leads, how many lately, and what went wrong."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from sqlalchemy import func, select

from models import Lead, Message
from models.base import AnySession
from models.lead import CONFIRMED
from models.message import DEAD

DAYS = 30
WEEK = timedelta(days=7)
NEWEST = 8


@dataclass(frozen=True)
class Figures:
    """Counts of leads and of mails, `week_before` being the seven days before `week`."""

    leads: int
    week: int
    week_before: int
    confirmed: int
    undelivered: int

    @property
    def change(self) -> int:
        return self.week - self.week_before

    @property
    def confirmed_share(self) -> int:
        """Whole per cent of all leads, rounded down so that 100 means every one."""
        return self.confirmed * 100 // self.leads if self.leads else 0


@dataclass(frozen=True)
class Day:
    """Sign-ups of one day in UTC."""

    date: date
    signups: int


def figures(session: AnySession, at: datetime) -> Figures:
    """Count what the desk's numerals show."""
    return Figures(
        leads=session.scalar(select(func.count(Lead.id))) or 0,
        week=_signups(session, at - WEEK, at),
        week_before=_signups(session, at - 2 * WEEK, at - WEEK),
        confirmed=session.scalar(select(func.count(Lead.id)).where(Lead.state == CONFIRMED)) or 0,
        undelivered=session.scalar(select(func.count(Message.id)).where(Message.state == DEAD))
        or 0,
    )


def days(session: AnySession, at: datetime) -> list[Day]:
    """Return the sign-ups of the last 30 days, oldest first, days without any among them."""
    last = at.astimezone(UTC).date()
    first = last - timedelta(days=DAYS - 1)
    moment = Lead.created_at
    # date() cuts a time with a zone in the connection's own zone on PostgreSQL.
    utc = moment if session.get_bind().dialect.name == "sqlite" else func.timezone("UTC", moment)
    day = func.date(utc)
    rows = session.execute(
        select(day, func.count(Lead.id))
        .where(moment >= datetime.combine(first, time(), UTC))
        .group_by(day)
    )
    counted = {str(name): number for name, number in rows}
    dates = [first + timedelta(days=i) for i in range(DAYS)]
    return [Day(d, counted.get(d.isoformat(), 0)) for d in dates]


def newest(session: AnySession) -> Sequence[Lead]:
    """Return the leads that came last."""
    query = select(Lead).order_by(Lead.created_at.desc(), Lead.id.desc()).limit(NEWEST)
    return session.scalars(query).all()


def undelivered(session: AnySession) -> Sequence[Message]:
    """Return the mails given up last."""
    query = select(Message).where(Message.state == DEAD)
    return session.scalars(query.order_by(Message.id.desc()).limit(NEWEST)).all()


def _signups(session: AnySession, since: datetime, until: datetime) -> int:
    query = select(func.count(Lead.id))
    return session.scalar(query.where(Lead.created_at > since, Lead.created_at <= until)) or 0
