"""Orders, what happened to them, and the seats they hold while they are open."""

from datetime import date, datetime
from typing import Any, Final, assert_never

from sqlalchemy import (
    JSON,
    CheckConstraint,
    ForeignKey,
    Index,
    String,
    Text,
    UniqueConstraint,
)
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, UTCDateTime, now, partial_index
from models.labels import Labeled, stored
from models.lead import new_token


class OrderState(Labeled):
    """What the events of an order add up to, and what the desk calls it."""

    OPEN = "open", "Open"
    PENDING = "pending", "Pending"
    PAID = "paid", "Paid"
    UNSEATED = "unseated", "Paid, no seat"
    PARTLY_REFUNDED = "partly-refunded", "Partly refunded"
    REFUNDED = "refunded", "Refunded"
    DISPUTED = "disputed", "Disputed"
    DISPUTE_WON = "dispute-won", "Dispute won"
    DISPUTE_LOST = "dispute-lost", "Dispute lost"
    FAILED = "failed", "Failed"
    EXPIRED = "expired", "Expired"
    CANCELED = "canceled", "Canceled"

    @property
    def paid(self) -> bool:
        """Tell whether the order was paid, even if the payment was refunded since."""
        match self:
            case OrderState.OPEN | OrderState.PENDING:
                return False
            case OrderState.FAILED | OrderState.EXPIRED | OrderState.CANCELED:
                return False
            case OrderState.PAID | OrderState.UNSEATED | OrderState.PARTLY_REFUNDED:
                return True
            case OrderState.REFUNDED | OrderState.DISPUTED:
                return True
            case OrderState.DISPUTE_WON | OrderState.DISPUTE_LOST:
                return True
        assert_never(self)

    @property
    def undecided(self) -> bool:
        """Tell whether the payment may still come."""
        return self in (OrderState.OPEN, OrderState.PENDING)


class OrderEventKind(Labeled):
    """What can happen to an order. Refunds and disputes come in several, each with statuses."""

    PLACED = "placed", "Placed, and its seats held"
    PENDING = "pending", "Buyer done, payment to come"
    PAID = "paid", "Paid"
    FAILED = "failed", "Payment failed, seats released"
    EXPIRED = "expired", "Expired without payment, seats released"
    CANCELED = "canceled", "Canceled without payment, seats released"
    UNSEATED = "unseated", "No seat was left to enroll"
    REFUND = "refund", "Refund"
    DISPUTE = "dispute", "Dispute"
    DUPLICATE = "duplicate", "Paid once more, to be returned"
    DUPLICATE_DISPUTE = "second-dispute", "Dispute of a second payment"
    COPY_FAILED = "copy-failed", "Payment of a copy of the checkout failed"
    NAMED = "named", "Participant named"


# Why an order ended, or a refund failed, that was made with a key of another account or mode.
ELSEWHERE: Final = "not-in-this-account"


class Order(Base):
    """What one buyer asked for, written once: which seats, at which price, in which currency.

    `unit_amount` counts the currency's smallest unit; it, `item`, what the receipt calls it, and
    `checkout_options`, those that are on, are copied from the content when the order is placed:
    what is asked of Stripe again must be the same. `address_hash` is the buyer's, as of a
    lead. `request_key` comes with the form: the same form sent twice is one order. `session_id` is
    Stripe's Checkout Session of this order: only it and copies of it may fulfill it. `session_url`
    is where it is paid, and where a copy is made once it has run out; `session_until` is when
    Stripe ends it, and `attempt` counts the tries to make it that Stripe has answered for
    good.

    `mode` is that of the key it was placed with, `test` or `live`; empty for orders from before it
    was stored. `identity.counts` says which count.

    `cohort_starts`, `cohort_ends` and `cohort_timezone` are the cohort's dates as they were then;
    None in orders from before they were stored.

    `state`, `seats_kept`, the seats that are paid for and not given back, and `amount_returned`,
    what went back to the buyer by refunds or a lost dispute, are what the events add up to, stored
    to be counted and listed by: only `ledger.sum_up` writes them.
    """

    __tablename__ = "order"
    __table_args__ = (
        # What is sold of a cohort is counted, and for which dates, from the index alone.
        Index(
            "ix_order_course_cohort",
            *("course", "cohort", "mode", "seats_kept"),
            *("cohort_starts", "cohort_ends", "cohort_timezone"),
        ),
        CheckConstraint("seats between 1 and 20", name="seats"),
        CheckConstraint("unit_amount > 0", name="unit_amount"),
        {"sqlite_autoincrement": True},  # a number once given is never given again
    )

    id: Mapped[int] = mapped_column(primary_key=True, init=False)
    course: Mapped[str] = mapped_column(String(100))
    cohort: Mapped[str] = mapped_column(String(50))
    email: Mapped[str] = mapped_column(String(254))
    email_key: Mapped[str] = mapped_column(String(320), index=True)
    address_hash: Mapped[str] = mapped_column(String(64), index=True)
    name: Mapped[str] = mapped_column(String(100))
    item: Mapped[str] = mapped_column(String(250))
    seats: Mapped[int]
    unit_amount: Mapped[int]
    currency: Mapped[str] = mapped_column(String(3))
    session_until: Mapped[datetime] = mapped_column(UTCDateTime)
    request_key: Mapped[str] = mapped_column(String(64), unique=True)
    checkout_options: Mapped[dict[str, Any]] = mapped_column(JSON, default_factory=dict)
    mode: Mapped[str] = mapped_column(String(4), default="", server_default="")
    cohort_starts: Mapped[date | None] = mapped_column(default=None)
    cohort_ends: Mapped[date | None] = mapped_column(default=None)
    cohort_timezone: Mapped[str | None] = mapped_column(String(64), default=None)
    token: Mapped[str] = mapped_column(String(64), unique=True, default_factory=new_token)
    attempt: Mapped[int] = mapped_column(default=1)
    session_id: Mapped[str | None] = mapped_column(String(255), unique=True, default=None)
    session_url: Mapped[str | None] = mapped_column(Text, default=None)
    payment_intent: Mapped[str | None] = mapped_column(String(255), index=True, default=None)
    state: Mapped[OrderState] = mapped_column(
        stored(OrderState), index=True, default=OrderState.OPEN
    )
    seats_kept: Mapped[int] = mapped_column(default=0)
    amount_returned: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[datetime] = mapped_column(UTCDateTime, default_factory=now, index=True)

    @property
    def amount(self) -> int:
        """The price of all seats, in the currency's smallest unit."""
        return self.unit_amount * self.seats


class OrderEvent(Base):
    """One thing that happened to an order: when we learned of it, and from what.

    Amounts count the smallest unit; those of a payment are Stripe's, and `stripe_id` is that of the
    Checkout Session that was paid. Of a refund or a dispute there is one row for each status that
    it was seen in: `subject` is our name for a refund, or Stripe's id of one made in its dashboard
    and of a dispute; `stripe_id` is Stripe's of it. `amount` and `seats` are what it takes back,
    `seat_numbers` which ones, where they were chosen; `reason` is Stripe's word, `due_at` is until
    when Stripe wants evidence, as it said last. Of a duplicate `subject` is its payment, and its
    statuses are those of its refund; of a dispute of it `stripe_id` is that payment. Of a copy that
    failed `subject` is its Checkout Session. Of a seat that was named `subject` is its number, and
    `status` counts how often it was.
    """

    __tablename__ = "order_event"
    __table_args__ = (
        UniqueConstraint("order_id", "kind", "subject", "status"),
        # An order ends unpaid once. Its payment may still come after that.
        partial_index(
            "uq_order_event_end",
            "order_id",
            unique=True,
            where="kind IN ('failed', 'expired', 'canceled')",
        ),
    )

    id: Mapped[int] = mapped_column(primary_key=True, init=False)
    order_id: Mapped[int] = mapped_column(ForeignKey("order.id"), index=True)
    kind: Mapped[OrderEventKind] = mapped_column(stored(OrderEventKind))
    cause: Mapped[str] = mapped_column(String(255))
    subject: Mapped[str] = mapped_column(String(255), default="")
    status: Mapped[str] = mapped_column(String(32), default="")
    stripe_id: Mapped[str | None] = mapped_column(String(255), default=None)
    amount: Mapped[int | None] = mapped_column(default=None)
    seats: Mapped[int | None] = mapped_column(default=None)
    seat_numbers: Mapped[list[int] | None] = mapped_column(JSON(none_as_null=True), default=None)
    reason: Mapped[str] = mapped_column(String(255), default="")
    due_at: Mapped[datetime | None] = mapped_column(UTCDateTime, default=None)
    amount_subtotal: Mapped[int | None] = mapped_column(default=None)
    amount_discount: Mapped[int | None] = mapped_column(default=None)
    amount_tax: Mapped[int | None] = mapped_column(default=None)
    amount_total: Mapped[int | None] = mapped_column(default=None)
    created_at: Mapped[datetime] = mapped_column(UTCDateTime, default_factory=now)


class Hold(Base):
    """Seats held by an open order. The row is deleted when the order ends."""

    __tablename__ = "hold"
    __table_args__ = (Index("ix_hold_course_cohort", "course", "cohort"),)

    order_id: Mapped[int] = mapped_column(ForeignKey("order.id"), primary_key=True)
    course: Mapped[str] = mapped_column(String(100))
    cohort: Mapped[str] = mapped_column(String(50))
    email_key: Mapped[str] = mapped_column(String(320), index=True)
    seats: Mapped[int]
    network: Mapped[str] = mapped_column(String(50), index=True)
    until: Mapped[datetime] = mapped_column(UTCDateTime)


class CheckoutRequest(Base):
    """An order whose buyer waits for its payment page: a job of the worker, deleted when done.

    `due_at` is when the next worker may take it. `trouble` says why none will: its buyer is told.
    """

    __tablename__ = "checkout_request"

    order_id: Mapped[int] = mapped_column(ForeignKey("order.id"), primary_key=True)
    due_at: Mapped[datetime] = mapped_column(UTCDateTime, index=True)
    attempts: Mapped[int] = mapped_column(default=0)
    trouble: Mapped[str] = mapped_column(String(8), default="", server_default="")
