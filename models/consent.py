"""What people agreed to, and took back: rows are added, never changed."""

from datetime import datetime

from sqlalchemy import ForeignKey, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, UTCDateTime, now


class ConsentEvent(Base):
    """One act of a person about their consent, with the evidence of it.

    `wording` holds the exact sentence that stood beside the box, empty where the act had none.
    `wording_hash` is its SHA-256 in hex. `ip` is truncated to /24 or /48 before it gets here.
    """

    __tablename__ = "consent_event"

    id: Mapped[int] = mapped_column(primary_key=True, init=False)
    lead_id: Mapped[int] = mapped_column(ForeignKey("lead.id"), index=True)
    kind: Mapped[str] = mapped_column(String(16))
    form: Mapped[str] = mapped_column(String(32))
    wording: Mapped[str] = mapped_column(Text, default="")
    wording_hash: Mapped[str] = mapped_column(String(64), default="")
    page: Mapped[str | None] = mapped_column(String(200), default=None)
    ip: Mapped[str | None] = mapped_column(String(45), default=None)
    user_agent: Mapped[str | None] = mapped_column(String(300), default=None)
    created_at: Mapped[datetime] = mapped_column(UTCDateTime, default_factory=now)
