"""The database's part of a cohort; its dates and size are content."""

from sqlalchemy import CheckConstraint, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base


class Cohort(Base):
    """Seats of one cohort that are not on offer: `reserved` ones were given away off the site.

    `seats` is the number in the content when seats were last counted, for code without the
    content; None if they have not been counted since this column exists.
    """

    __tablename__ = "cohort"
    __table_args__ = (
        UniqueConstraint("course", "code"),
        CheckConstraint("reserved >= 0", name="reserved"),
    )

    id: Mapped[int] = mapped_column(primary_key=True, init=False)
    course: Mapped[str] = mapped_column(String(100))
    code: Mapped[str] = mapped_column(String(50))
    reserved: Mapped[int] = mapped_column(default=0)
    seats: Mapped[int | None] = mapped_column(default=None)
