"""Imports of leads: the file, its time, the account and the result."""

from datetime import datetime

from sqlalchemy import String, Text
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, UTCDateTime, now


class LeadImport(Base):
    """One file that was imported. The leads that it added carry its number.

    `file` is its name without folders, `source` where the people agreed, `imported_by` the account
    of the machine that ran the command. `added` are new leads, `unsubscribed` those who had
    confirmed here and are gone by the file, `held` those whose address it says has bounced.
    `undone_at` is when it was taken back, and `removed` how many leads went with it.
    """

    __tablename__ = "lead_import"

    id: Mapped[int] = mapped_column(primary_key=True, init=False)
    file: Mapped[str] = mapped_column(String(255))
    imported_by: Mapped[str] = mapped_column(String(100))
    source: Mapped[str] = mapped_column(Text, default="")
    lines: Mapped[int] = mapped_column(default=0)
    added: Mapped[int] = mapped_column(default=0)
    unsubscribed: Mapped[int] = mapped_column(default=0)
    held: Mapped[int] = mapped_column(default=0)
    removed: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[datetime] = mapped_column(UTCDateTime, default_factory=now)
    undone_at: Mapped[datetime | None] = mapped_column(UTCDateTime, default=None)
