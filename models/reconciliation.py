"""The time until which Stripe's events were read, and the lease of the running sweep."""

from datetime import datetime

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, UTCDateTime


class Reconciliation(Base):
    """The single row (id 1) that sweeps share: one works at a time, the next goes on from it.

    What happened at Stripe before `read_until` was read through without error.
    """

    __tablename__ = "reconciliation"

    id: Mapped[int] = mapped_column(primary_key=True)
    read_until: Mapped[datetime | None] = mapped_column(UTCDateTime, default=None)
    owner: Mapped[str | None] = mapped_column(String(64), default=None)
    lease_until: Mapped[datetime | None] = mapped_column(UTCDateTime, default=None)
