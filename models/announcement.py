"""Mail to many, written at the desk."""

from datetime import datetime

from sqlalchemy import String, Text
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, UTCDateTime, now
from models.labels import Labeled, stored


class AnnouncementState(Labeled):
    """How far an announcement is, and what the desk calls that. SENT is shown and never stored."""

    DRAFT = "draft", "Draft"
    SENDING = "sending", "Sending"
    PAUSED = "paused", "Paused"
    SENT = "sent", "Sent"


class Announcement(Base):
    """One mail to everyone who signed up and is meant: `body` is Markdown, `rate` mails a minute.

    `page` and `campaign` narrow the receivers to who first came from there; with `waiting`, a
    course/cohort, they are those on its waiting list. When it is queued, `receivers` counts them
    and `last_id` closes the list: nobody is added later. Up to lead `reached_id` they have their
    messages in the outbox; the next ones get theirs with due times from `next_at` on, which is
    None when all have theirs. `version` counts its saves, so that two people who edit it at once
    lose nothing, and `form_key` names the form it was first saved from: sent twice, it is one.
    """

    __tablename__ = "announcement"
    __table_args__ = {"sqlite_autoincrement": True}  # noqa: RUF012 - an id never names two

    id: Mapped[int] = mapped_column(primary_key=True, init=False)
    subject: Mapped[str] = mapped_column(String(150))
    body: Mapped[str] = mapped_column(Text)
    rate: Mapped[int] = mapped_column()
    page: Mapped[str] = mapped_column(String(200), default="")
    campaign: Mapped[str] = mapped_column(String(200), default="")
    waiting: Mapped[str] = mapped_column(String(160), default="")
    state: Mapped[AnnouncementState] = mapped_column(
        stored(AnnouncementState), default=AnnouncementState.DRAFT
    )
    receivers: Mapped[int] = mapped_column(default=0)
    reached_id: Mapped[int] = mapped_column(default=0)
    last_id: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[datetime] = mapped_column(UTCDateTime, default_factory=now)
    queued_at: Mapped[datetime | None] = mapped_column(UTCDateTime, default=None)
    next_at: Mapped[datetime | None] = mapped_column(UTCDateTime, default=None)
    version: Mapped[int] = mapped_column(default=1, server_default="1")
    form_key: Mapped[str | None] = mapped_column(String(32), default=None, unique=True, index=True)
