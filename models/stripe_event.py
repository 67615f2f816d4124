"""The queue of Stripe's webhook events."""

from datetime import datetime

from sqlalchemy import String, Text
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, UTCDateTime, now, partial_index
from models.labels import Labeled


class StripeEventState(Labeled):
    """Whether what an event asks for was done, and what the desk calls that."""

    DUE = "due", "not processed yet"
    DONE = "done", "processed"


class StripeEvent(Base):
    """One event, by Stripe's own id. `object_id` names the Checkout Session it is about.

    The body is not kept: an event is a hint, and the object itself is fetched when the job is
    done. `done_at` is set in the transaction that does what the event asks for. One that was not
    `delivered` was found in Stripe's list: its webhook never came.
    """

    __tablename__ = "stripe_event"
    __table_args__ = (partial_index("ix_stripe_event_due", "due_at", where="done_at IS NULL"),)

    id: Mapped[str] = mapped_column(String(255), primary_key=True)
    kind: Mapped[str] = mapped_column(String(100))
    object_id: Mapped[str] = mapped_column(String(255), index=True)
    attempts: Mapped[int] = mapped_column(default=0)
    due_at: Mapped[datetime] = mapped_column(UTCDateTime, default_factory=now)
    delivered: Mapped[bool] = mapped_column(default=True)
    owner: Mapped[str | None] = mapped_column(String(64), default=None)
    lease_until: Mapped[datetime | None] = mapped_column(UTCDateTime, default=None)
    error: Mapped[str] = mapped_column(Text, default="")
    received_at: Mapped[datetime] = mapped_column(UTCDateTime, default_factory=now)
    done_at: Mapped[datetime | None] = mapped_column(UTCDateTime, default=None)

    @property
    def state(self) -> StripeEventState:
        """Return whether what the event asks for was done."""
        return StripeEventState.DUE if self.done_at is None else StripeEventState.DONE


class RefusedEvent(Base):
    """The claimed id of an event whose signature did not verify: it may not be from Stripe."""

    __tablename__ = "refused_event"

    id: Mapped[str] = mapped_column(String(255), primary_key=True)
    refused_at: Mapped[datetime] = mapped_column(UTCDateTime, default_factory=now)
