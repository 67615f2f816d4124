"""Checkouts of this site whose order is missing after a backup was restored."""

from datetime import datetime

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, UTCDateTime, now
from models.labels import Labeled, stored


class LostCheckoutEnd(Labeled):
    """How staff ended a lost checkout; none yet is an empty string in the database."""

    NONE = "", "Undecided"
    ENROLLED = "enrolled", "Enrolled"
    REFUNDED = "refunded", "Refunded"


class LostCheckout(Base):
    """A Checkout Session that carries this site's id and the name of an order that is not here.

    `number`, `reference` (the order's token), `course`, `cohort`, `item`, `quantity` and `amount`
    (the currency's smallest unit) are what Stripe has; `unit_amount` is the price of one seat.
    `email` and `name` are the buyer's as Stripe knows them, `address_hash` as of a lead; empty once
    the person was erased. `paid_at` is None while the payment may still come. `attempt` counts the
    keys with which a refund was asked for. `settled_at` and `how` say when and how staff ended it.
    """

    __tablename__ = "lost_checkout"

    session_id: Mapped[str] = mapped_column(String(255), primary_key=True)
    reference: Mapped[str] = mapped_column(String(64))
    number: Mapped[int | None]
    course: Mapped[str] = mapped_column(String(100))
    cohort: Mapped[str] = mapped_column(String(50))
    item: Mapped[str] = mapped_column(String(250))
    quantity: Mapped[int]
    unit_amount: Mapped[int]
    amount: Mapped[int]
    currency: Mapped[str] = mapped_column(String(3))
    mode: Mapped[str] = mapped_column(String(4))
    email: Mapped[str] = mapped_column(String(254))
    name: Mapped[str] = mapped_column(String(100))
    address_hash: Mapped[str] = mapped_column(String(64), index=True)
    made_at: Mapped[datetime] = mapped_column(UTCDateTime)
    payment_intent: Mapped[str | None] = mapped_column(String(255), default=None)
    paid_at: Mapped[datetime | None] = mapped_column(UTCDateTime, default=None)
    attempt: Mapped[int] = mapped_column(default=1)
    settled_at: Mapped[datetime | None] = mapped_column(UTCDateTime, default=None)
    how: Mapped[LostCheckoutEnd] = mapped_column(
        stored(LostCheckoutEnd), default=LostCheckoutEnd.NONE
    )
    cause: Mapped[str] = mapped_column(String(255), default="")
    found_at: Mapped[datetime] = mapped_column(UTCDateTime, default_factory=now)
