"""Addresses that must not be mailed, stored only as keyed hashes."""

from datetime import datetime

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, UTCDateTime, now
from models.labels import Labeled, stored


class SuppressionReason(Labeled):
    """Why an address may not be mailed, and what the desk calls that."""

    BOUNCED = "bounced", "Bounced"
    ERASED = "erased", "Erased"


class Suppression(Base):
    """One address that no list may mail since then, until its owner confirms again.

    `address_hash` is the address's HMAC under SUPPRESSION_KEY: the row outlives the person's
    data, and tells nobody who they were.
    """

    __tablename__ = "suppression"

    address_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    reason: Mapped[SuppressionReason] = mapped_column(stored(SuppressionReason))
    since: Mapped[datetime] = mapped_column(UTCDateTime, default_factory=now)
