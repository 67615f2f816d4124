"""Held seats: what unpaid orders take off the offer, and how much one buyer may hold."""

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import ColumnElement, delete, func, select

from crossroads.database import page_cache_version
from models import CheckoutRequest, Hold, Order, now, personal_data
from models.base import AnySession
from models.order import OrderEventKind

MINUTES = 45  # longer than a checkout is open: no seat that can still be paid for is given away


@dataclass(frozen=True, kw_only=True)
class HoldLimits:
    """How many seats unpaid orders may hold: those with one email address, those of one network."""

    per_address: int
    per_network: int

    @property
    def most(self) -> int:
        """The most seats that one order can have."""
        return min(self.per_address, self.per_network)


class TooManyHeld(Exception):
    """The order would hold more seats than the limits allow one address or one network."""


def require_room(
    session: AnySession, limits: HoldLimits, order: Order, network: str, replaced: Order | None
) -> None:
    """Raise TooManyHeld when the new order's seats are more than its buyer may still hold.

    Those of the order that it replaces do not count, nor do those whose payment is on its way:
    that takes days, and such a buyer has nothing left to do. What is counted stays true until
    the end of the transaction, in all cohorts.
    """
    # This row is one for the whole site, so nobody takes seats in another cohort meanwhile.
    page_cache_version.advance(session)
    held = (
        (_held(session, Hold.email_key == order.email_key, replaced), limits.per_address),
        (_held(session, Hold.network == network, replaced), limits.per_network),
    )
    if any(seats + order.seats > most for seats, most in held):
        raise TooManyHeld(f"{order.seats} more seats")


def take(session: AnySession, order: Order, network: str) -> None:
    """Take the order's seats off the offer. The caller has locked the cohort and counted."""
    session.add(
        Hold(
            order_id=order.id,
            course=order.course,
            cohort=order.cohort,
            email_key=order.email_key,
            seats=order.seats,
            network=network,
            until=now() + timedelta(minutes=MINUTES),
        )
    )


def release(session: AnySession, order: Order) -> None:
    """Put the order's seats back on offer; nobody waits for its payment page any longer."""
    session.execute(delete(Hold).where(Hold.order_id == order.id))
    session.execute(delete(CheckoutRequest).where(CheckoutRequest.order_id == order.id))
    page_cache_version.advance(session)


def erase(session: AnySession, order: Order) -> None:
    """Take out of a hold who has it."""
    hold = session.get(Hold, order.id)
    if hold is not None:
        personal_data.erase(hold)


def _held(session: AnySession, whose: ColumnElement[bool], replaced: Order | None) -> int:
    query = select(func.sum(Hold.seats)).join(Order, Order.id == Hold.order_id)
    query = query.where(whose, Order.state != OrderEventKind.PENDING)
    if replaced is not None:
        query = query.where(Hold.order_id != replaced.id)
    return session.scalar(query) or 0
