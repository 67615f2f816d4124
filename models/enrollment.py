"""Seats that are paid for: one row a seat."""

from datetime import datetime

from sqlalchemy import ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, UTCDateTime, now
from models.lead import new_token


class Enrollment(Base):
    """One seat in a cohort. Seat 1 is the buyer's; the others wait for a name."""

    __tablename__ = "enrollment"
    __table_args__ = (
        UniqueConstraint("order_id", "seat"),
        Index("ix_enrollment_course_cohort", "course", "cohort"),
    )

    id: Mapped[int] = mapped_column(primary_key=True, init=False)
    order_id: Mapped[int] = mapped_column(ForeignKey("order.id"))
    seat: Mapped[int]
    course: Mapped[str] = mapped_column(String(100))
    cohort: Mapped[str] = mapped_column(String(50))
    email: Mapped[str | None] = mapped_column(String(254), default=None)
    name: Mapped[str] = mapped_column(String(100), default="")
    token: Mapped[str] = mapped_column(String(64), unique=True, default_factory=new_token)
    created_at: Mapped[datetime] = mapped_column(UTCDateTime, default_factory=now)
