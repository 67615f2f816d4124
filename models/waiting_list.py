"""Who waits for a place in a cohort that is full."""

from datetime import datetime

from sqlalchemy import ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, UTCDateTime, now
from models.labels import Labeled
from models.lead import new_token


class WaitingState(Labeled):
    """Whether a person is on a waiting list, and what the desk calls that."""

    ASKED = "asked", "Not confirmed"
    WAITS = "waits", "Waits"
    LEFT = "left", "Left"


class Waiting(Base):
    """One person's place on the waiting list of one cohort.

    `since` is when the owner of the address confirmed it: until then nobody waits, anyone could
    have typed the address. It is also the order of the list. `left_at` is when they left it.
    `token` names the confirmation link, good until `confirm_until`.
    """

    __tablename__ = "waiting_list"
    __table_args__ = (
        UniqueConstraint("lead_id", "course", "cohort"),
        Index("ix_waiting_list_course_cohort", "course", "cohort", "since"),
    )

    id: Mapped[int] = mapped_column(primary_key=True, init=False)
    lead_id: Mapped[int] = mapped_column(ForeignKey("lead.id"))
    course: Mapped[str] = mapped_column(String(100))
    cohort: Mapped[str] = mapped_column(String(50))
    confirm_until: Mapped[datetime] = mapped_column(UTCDateTime)
    token: Mapped[str] = mapped_column(String(64), unique=True, default_factory=new_token)
    asked_at: Mapped[datetime] = mapped_column(UTCDateTime, default_factory=now)
    since: Mapped[datetime | None] = mapped_column(UTCDateTime, default=None)
    left_at: Mapped[datetime | None] = mapped_column(UTCDateTime, default=None)

    @property
    def waits(self) -> bool:
        """Tell whether the person is on the list now."""
        return self.state == WaitingState.WAITS

    @property
    def state(self) -> WaitingState:
        """Return whether the person asked for the list, is on it or has left it."""
        if self.left_at is not None:
            return WaitingState.LEFT
        return WaitingState.ASKED if self.since is None else WaitingState.WAITS
