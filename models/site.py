"""Which site this database is of at Stripe: its id, its mode, its account."""

from datetime import datetime
from secrets import token_hex
from typing import Final

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, UTCDateTime, now

TEST: Final = "test"
LIVE: Final = "live"


def new_site_id() -> str:
    """Return a random id of a site, 128 bits in hex."""
    return token_hex(16)


class Site(Base):
    """The single row (id 1) that says whose orders these are. It is part of every backup.

    `site_id` is in the metadata of all that this site makes at Stripe: other sites may sell on the
    same account. `stripe_mode`, `test` or `live`, is that of the orders that count; it is set with
    the first order, and a live one raises it. `stripe_account` is the account of the key when it
    was first used. Both are None until then. `created_at` is when the row was made.
    """

    __tablename__ = "site"

    id: Mapped[int] = mapped_column(primary_key=True)
    site_id: Mapped[str] = mapped_column(String(64), default_factory=new_site_id)
    stripe_mode: Mapped[str | None] = mapped_column(String(4), default=None)
    stripe_account: Mapped[str | None] = mapped_column(String(255), default=None)
    created_at: Mapped[datetime] = mapped_column(UTCDateTime, default_factory=now)
