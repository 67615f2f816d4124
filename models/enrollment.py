"""Paid seats and their participants."""

from datetime import datetime

from sqlalchemy import ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, UTCDateTime, now, partial_index
from models.labels import Labeled
from models.lead import new_token


class EnrollmentState(Labeled):
    """Who has the seat of an enrollment, and what the desk calls that."""

    UNNAMED = "unnamed", "No name yet"
    NAMED = "named", "Named"
    RELEASED = "released", "Released"  # by a refund or a lost dispute
    REPLACED = "replaced", "Replaced"  # someone else has the seat


class Enrollment(Base):
    """One participant's time on a seat of an order, or that of nobody yet.

    Seat 1 is the buyer's until it is given to someone else; the others wait for a name. Who is
    replaced keeps their row, with `ended_at`, so that the link they were mailed can say so: of
    each seat one row has none. `address_hash` is the participant's, as of a lead, and empty until
    there is one. `kept` says that the seat is paid for and not given back: what the order's events
    add up to, stored to be listed by; only `ledger.sum_up` writes it.
    """

    __tablename__ = "enrollment"
    __table_args__ = (
        partial_index(
            "uq_enrollment_order_id_seat", "order_id", "seat", unique=True, where="ended_at IS NULL"
        ),
        Index("ix_enrollment_order_id_seat", "order_id", "seat"),
        Index("ix_enrollment_course_cohort", "course", "cohort"),
    )

    id: Mapped[int] = mapped_column(primary_key=True, init=False)
    order_id: Mapped[int] = mapped_column(ForeignKey("order.id"))
    seat: Mapped[int]
    course: Mapped[str] = mapped_column(String(100))
    cohort: Mapped[str] = mapped_column(String(50))
    email: Mapped[str | None] = mapped_column(String(254), default=None)
    name: Mapped[str] = mapped_column(String(100), default="")
    address_hash: Mapped[str] = mapped_column(String(64), index=True, default="")
    token: Mapped[str] = mapped_column(String(64), unique=True, default_factory=new_token)
    kept: Mapped[bool] = mapped_column(default=True)
    created_at: Mapped[datetime] = mapped_column(UTCDateTime, default_factory=now)
    ended_at: Mapped[datetime | None] = mapped_column(UTCDateTime, default=None)

    @property
    def state(self) -> EnrollmentState:
        """Return who has the seat: its participant, nobody yet, or someone else."""
        if self.ended_at is not None:
            return EnrollmentState.REPLACED
        if not self.kept:
            return EnrollmentState.RELEASED
        return EnrollmentState.NAMED if self.address_hash else EnrollmentState.UNNAMED
