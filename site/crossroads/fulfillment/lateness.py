"""Lateness of background work: mail, Stripe events, payment pages and sweeps.

Computed from the database, so that any running process notices a worker that is dead, hangs or was
never started. Each query reads one entry of an index.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Literal

from sqlalchemy import Select, func, select

from crossroads.mail import outbox
from crossroads.orders.checkout import queue
from models import CheckoutRequest, Message, Order, Reconciliation, StripeEvent
from models.base import AnySession
from models.message import MessageState

Work = Literal["mail", "mail server", "events", "checkouts", "sweeps"]

# The age at which each is late. A worker polls twice a second, so all but sweeps usually wait for
# less than a second.
LIMITS: Final[dict[Work, timedelta]] = {
    # A mail server may take 60 seconds for one mail: a few slow ones in a row are normal.
    "mail": timedelta(minutes=5),
    # Shorter than any outage that buyers would ask about; longer than a restart of the server.
    "mail server": timedelta(minutes=5),
    # Someone may have paid and waits for a seat. A call to Stripe may take half a minute.
    "events": timedelta(minutes=2),
    # The buyer waits at a page: an attempt takes 8 seconds at most.
    "checkouts": timedelta(minutes=1),
    # One begins 3 minutes after the end of the last: five that failed or never began.
    "sweeps": timedelta(minutes=15),
}
CAUSES: Final[dict[Work, str]] = {
    "mail": "mail has been due for {age}: check that flask worker runs",
    "mail server": "the mail server has taken no mail for {age}: check SMTP_URL with flask doctor",
    "events": "events of Stripe have been due for {age}: check that flask worker runs",
    "checkouts": "buyers have waited for a payment page for {age}: check that flask worker runs",
    "sweeps": (
        "no sweep has read Stripe's events for {age}: check that flask worker runs, "
        "and what flask reconcile says"
    ),
}


@dataclass(frozen=True)
class Late:
    """Work that is overdue, and for how long it has been due."""

    work: Work
    age: timedelta

    def __str__(self) -> str:
        return CAUSES[self.work].format(age=in_words(self.age))


def late(session: AnySession, at: datetime) -> list[Late]:
    """Return what is late, in the order of LIMITS."""
    return [Late(work, age) for work, age in ages(session, at).items() if age > LIMITS[work]]


def ages(session: AnySession, at: datetime) -> dict[Work, timedelta]:
    """Return for how long each kind of work has been due; zero when nothing is.

    Mail of a paused announcement is not due. Raises SQLAlchemyError.
    """
    asked: dict[Work, Select[Any]] = {
        "mail": select(Message.due_at)
        .where(outbox.sendable(), Message.due_at <= at)
        .order_by(Message.due_at)
        .limit(1),
        "mail server": select(Message.awaits_server_since)
        .where(Message.state == MessageState.DUE, Message.awaits_server_since.is_not(None))
        .order_by(Message.awaits_server_since)
        .limit(1),
        "events": select(StripeEvent.due_at)
        .where(StripeEvent.done_at.is_(None), StripeEvent.due_at <= at)
        .order_by(StripeEvent.due_at)
        .limit(1),
        "checkouts": select(CheckoutRequest.due_at)
        .where(queue.WAITING, CheckoutRequest.due_at <= at)
        .order_by(CheckoutRequest.due_at)
        .limit(1),
        "sweeps": select(func.min(Order.created_at)),
    }
    read_until = session.scalar(select(Reconciliation.read_until))
    since: dict[Work, datetime | None] = {
        work: read_until if work == "sweeps" and read_until else session.scalar(query)
        for work, query in asked.items()
    }
    return {
        work: max(at - began, timedelta()) if began else timedelta()
        for work, began in since.items()
    }


def in_words(age: timedelta) -> str:
    """Return an age as text, rounded down: "7 minutes", "3 hours", "2 days"."""
    for seconds, unit in ((86_400, "day"), (3600, "hour"), (60, "minute")):
        number = int(age.total_seconds()) // seconds
        if number >= (2 if unit != "minute" else 1):
            return f"{number} {unit}{'' if number == 1 else 's'}"
    return "less than a minute"
