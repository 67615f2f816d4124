"""People who signed up."""

from base64 import urlsafe_b64encode
from collections.abc import Callable
from datetime import datetime
from secrets import token_bytes

from sqlalchemy import Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, UTCDateTime, moment, now, partial_index
from models.labels import Labeled, stored


class LeadState(Labeled):
    """Whether a lead gets our updates, and what the desk calls that."""

    PENDING = "pending", "Pending"
    CONFIRMED = "confirmed", "Confirmed"
    UNSUBSCRIBED = "unsubscribed", "Unsubscribed"
    HELD = "held", "Held"  # looks like a bot's sign-up: stored, never mailed
    WAITING = "waiting", "Waiting list only"  # did not ask for updates
    ERASED = "erased", "Erased"  # the number stays, and identifies no one


def new_token(at: int | None = None, draw: Callable[[int], bytes] = token_bytes) -> str:
    """Return a name for an address that only its receiver may know: 32 letters.

    After the moment come 144 random bits. Made-up people have theirs of another time and draw.
    """
    return urlsafe_b64encode(moment(at) + draw(18)).decode()


class Lead(Base):
    """One person by email address, with where they first came from and where they came from last.

    `email` is where mail goes, the one spelling of the mailbox; `email_key` is what makes two
    spellings one person, and `address_hash` its HMAC under SUPPRESSION_KEY. `state` is where they
    stand with our updates; what they wait for is in the waiting list. What is not known of a
    touch is NULL, never a guess. `last_signup_at` is when the form was last sent, by the person
    or by someone else, before they confirmed. `words` are those of address and name as
    `lead_words` reads them; NULL as long as they are in no index.
    """

    __tablename__ = "lead"
    __table_args__ = (
        # Who has not confirmed is looked for by age, to be deleted; the others stay out of it.
        partial_index(
            "ix_lead_unconfirmed", "last_signup_at", where="state IN ('pending', 'held', 'waiting')"
        ),
        # What the desk's list is narrowed to, in the order in which it is shown.
        *(
            Index(f"ix_lead_{name}_created_at", name, "created_at")
            for name in ("state", "page", "utm_campaign")
        ),
        # Who is still to be indexed by their words.
        partial_index("ix_lead_unindexed", "id", where="words IS NULL"),
        # Which leads an import added.
        partial_index("ix_lead_import_id", "import_id", where="import_id IS NOT NULL"),
        {"sqlite_autoincrement": True},  # an id never names two people
    )

    id: Mapped[int] = mapped_column(primary_key=True, init=False)
    email: Mapped[str] = mapped_column(String(254))
    email_key: Mapped[str] = mapped_column(String(320), unique=True)
    address_hash: Mapped[str] = mapped_column(String(64), index=True)
    confirm_until: Mapped[datetime] = mapped_column(UTCDateTime)
    name: Mapped[str] = mapped_column(String(100), default="")
    state: Mapped[LeadState] = mapped_column(stored(LeadState), default=LeadState.PENDING)
    page: Mapped[str | None] = mapped_column(String(200), default=None)
    utm_source: Mapped[str | None] = mapped_column(String(200), default=None)
    utm_medium: Mapped[str | None] = mapped_column(String(200), default=None)
    utm_campaign: Mapped[str | None] = mapped_column(String(200), default=None)
    utm_term: Mapped[str | None] = mapped_column(String(200), default=None)
    utm_content: Mapped[str | None] = mapped_column(String(200), default=None)
    last_page: Mapped[str | None] = mapped_column(String(200), default=None)
    last_utm_source: Mapped[str | None] = mapped_column(String(200), default=None)
    last_utm_medium: Mapped[str | None] = mapped_column(String(200), default=None)
    last_utm_campaign: Mapped[str | None] = mapped_column(String(200), default=None)
    last_utm_term: Mapped[str | None] = mapped_column(String(200), default=None)
    last_utm_content: Mapped[str | None] = mapped_column(String(200), default=None)
    confirm_token: Mapped[str] = mapped_column(String(64), unique=True, default_factory=new_token)
    unsubscribe_token: Mapped[str] = mapped_column(
        String(64), unique=True, default_factory=new_token
    )
    created_at: Mapped[datetime] = mapped_column(UTCDateTime, default_factory=now, index=True)
    last_signup_at: Mapped[datetime] = mapped_column(UTCDateTime, default_factory=now)
    confirmed_at: Mapped[datetime | None] = mapped_column(UTCDateTime, default=None)
    unsubscribed_at: Mapped[datetime | None] = mapped_column(UTCDateTime, default=None)
    words: Mapped[str | None] = mapped_column(Text, default=None)
    # Of the import that added it. No foreign key: SQLite would copy the table to add one.
    import_id: Mapped[int | None] = mapped_column(default=None)
