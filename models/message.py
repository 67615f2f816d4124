"""The outbox: queued mail, written in the transaction that causes it."""

from datetime import datetime
from secrets import token_hex

from sqlalchemy import ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, UTCDateTime, moment, now, partial_index
from models.labels import Labeled, stored


class MessageState(Labeled):
    """Whether a mail went out, and what the desk calls that."""

    DUE = "due", "Waiting"
    SENT = "sent", "Sent"
    HELD = "held", "Held"  # its receiver may not be mailed
    DEAD = "dead", "Not delivered"  # given up


def new_reference() -> str:
    """Return the part of a Message-ID before the @, the same for every try of one message."""
    return moment().hex() + token_hex(10)


class Message(Base):
    """One mail to a lead, a buyer or someone of the staff: its kind, when it is due, how it went.

    `address_hash` is the receiver's, as of a lead, and empty for the staff. `order_event_id` names
    the one event of the order that the mail is about, where there can be several of its kind;
    `enrollment_id` the participant that it goes to, when that is not the buyer.
    `state` is due, sent, held (its receiver may not be mailed) or dead (given up). `owner` and
    `lease_until` name the worker that has it in hand; a lease that ran out is anyone's.
    `awaits_server_since` is since when the mail server takes no mail at all, as far as this one was
    tried; None for a mail that waits for its receiver's server, or was not tried yet.
    `failing_since` is the time of its first failed try.
    """

    __tablename__ = "message"
    __table_args__ = (
        # Only mail that is still due is looked up by time; sent mail stays out of the index.
        partial_index("ix_message_due", "due_at", where="state = 'due'"),
        # What waits for the mail server is brought forward when a mail gets through.
        partial_index(
            "ix_message_awaits_server",
            "due_at",
            where="state = 'due' AND awaits_server_since IS NOT NULL",
        ),
        # And since when it takes none is told from one entry.
        partial_index(
            "ix_message_awaits_server_since",
            "awaits_server_since",
            where="state = 'due' AND awaits_server_since IS NOT NULL",
        ),
        # What was given up is counted and listed, and is rare.
        partial_index("ix_message_dead", "id", where="state = 'dead'"),
        # How an announcement goes is counted from the index alone.
        partial_index(
            "ix_message_announcement",
            "announcement_id",
            "user_id",
            "state",
            "unsubscribed_at",
            where="announcement_id IS NOT NULL",
        ),
        # And it goes to nobody twice.
        partial_index(
            "uq_message_announcement_id_lead_id",
            "announcement_id",
            "lead_id",
            unique=True,
            where="announcement_id IS NOT NULL",
        ),
        # Most mail is about no order.
        partial_index("ix_message_order_id", "order_id", where="order_id IS NOT NULL"),
        # What was mailed to an address lately is counted.
        Index("ix_message_address_hash_created_at", "address_hash", "created_at"),
    )

    id: Mapped[int] = mapped_column(primary_key=True, init=False)
    kind: Mapped[str] = mapped_column(String(32))
    recipient: Mapped[str] = mapped_column(String(254))
    address_hash: Mapped[str] = mapped_column(String(64))
    reference: Mapped[str] = mapped_column(String(64), unique=True, default_factory=new_reference)
    lead_id: Mapped[int | None] = mapped_column(ForeignKey("lead.id"), index=True, default=None)
    order_id: Mapped[int | None] = mapped_column(ForeignKey("order.id"), default=None)
    order_event_id: Mapped[int | None] = mapped_column(ForeignKey("order_event.id"), default=None)
    enrollment_id: Mapped[int | None] = mapped_column(ForeignKey("enrollment.id"), default=None)
    waiting_id: Mapped[int | None] = mapped_column(ForeignKey("waiting_list.id"), default=None)
    user_id: Mapped[int | None] = mapped_column(ForeignKey("user.id"), default=None)
    announcement_id: Mapped[int | None] = mapped_column(ForeignKey("announcement.id"), default=None)
    state: Mapped[MessageState] = mapped_column(stored(MessageState), default=MessageState.DUE)
    attempts: Mapped[int] = mapped_column(default=0)
    due_at: Mapped[datetime] = mapped_column(UTCDateTime, default_factory=now)
    owner: Mapped[str | None] = mapped_column(String(64), default=None)
    lease_until: Mapped[datetime | None] = mapped_column(UTCDateTime, default=None)
    awaits_server_since: Mapped[datetime | None] = mapped_column(UTCDateTime, default=None)
    failing_since: Mapped[datetime | None] = mapped_column(UTCDateTime, default=None)
    error: Mapped[str] = mapped_column(Text, default="")
    created_at: Mapped[datetime] = mapped_column(UTCDateTime, default_factory=now)
    sent_at: Mapped[datetime | None] = mapped_column(UTCDateTime, default=None)
    unsubscribed_at: Mapped[datetime | None] = mapped_column(UTCDateTime, default=None)
