"""Holds: the seats that unpaid orders reserve, and how many one buyer may hold."""

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import ColumnElement, delete, func, select

from crossroads.database import page_cache_version
from models import CheckoutRequest, Hold, Order, now, personal_data
from models.base import AnySession
from models.order import OrderEventKind

MINUTES = 45  # longer than a checkout is open, so a seat is not sold while it can be paid for


@dataclass(frozen=True, kw_only=True)
class HoldLimits:
    """The most seats that unpaid orders may hold, for each email address and for each network."""

    per_address: int
    per_network: int

    @property
    def most(self) -> int:
        """The most seats in one order."""
        return min(self.per_address, self.per_network)


class TooManyHeld(Exception):
    """The order would exceed the limit of held seats for its address or its network."""


def require_room(
    session: AnySession, limits: HoldLimits, order: Order, network: str, replaced: Order | None
) -> None:
    """Raise TooManyHeld when the new order's seats would exceed its buyer's limit.

    Seats of the order that it replaces do not count, and neither do seats with a payment on its
    way: that takes days, and such a buyer has nothing left to do. Locks the holds of all cohorts
    until the end of the transaction.
    """
    # One row for the whole site, so no other request takes seats in another cohort meanwhile.
    page_cache_version.advance(session)
    held = (
        (_held(session, Hold.email_key == order.email_key, replaced), limits.per_address),
        (_held(session, Hold.network == network, replaced), limits.per_network),
    )
    if any(seats + order.seats > most for seats, most in held):
        raise TooManyHeld(f"{order.seats} more seats")


def take(session: AnySession, order: Order, network: str) -> None:
    """Hold the order's seats. The caller has locked the cohort and counted its seats."""
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
    """Release the order's seats, and remove the order from the queue for payment pages."""
    session.execute(delete(Hold).where(Hold.order_id == order.id))
    session.execute(delete(CheckoutRequest).where(CheckoutRequest.order_id == order.id))
    page_cache_version.advance(session)


def erase(session: AnySession, order: Order) -> None:
    """Erase the buyer's data from a hold."""
    hold = session.get(Hold, order.id)
    if hold is not None:
        personal_data.erase(hold)


def _held(session: AnySession, whose: ColumnElement[bool], replaced: Order | None) -> int:
    query = select(func.sum(Hold.seats)).join(Order, Order.id == Hold.order_id)
    query = query.where(whose, Order.state != OrderEventKind.PENDING)
    if replaced is not None:
        query = query.where(Hold.order_id != replaced.id)
    return session.scalar(query) or 0
