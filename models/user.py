"""Staff accounts, and their open sign-ins."""

from datetime import datetime

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, UTCDateTime, now
from models.labels import Labeled, stored


class Role(Labeled):
    """What an account may see and do at the desk."""

    OWNER = "owner", "Owner"
    MARKETER = "marketer", "Marketer"
    FINANCE = "finance", "Finance"


class User(Base):
    """One member of staff. `password_hash` is Argon2id in its own encoded form."""

    __tablename__ = "user"

    id: Mapped[int] = mapped_column(primary_key=True, init=False)
    email: Mapped[str] = mapped_column(String(254))
    email_key: Mapped[str] = mapped_column(String(320), unique=True)
    role: Mapped[Role] = mapped_column(stored(Role))
    password_hash: Mapped[str] = mapped_column(String(200))
    must_change_password: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime] = mapped_column(UTCDateTime, default_factory=now)


class StaffSession(Base):
    """One open sign-in: the row is the sign-in, so deleting it ends it wherever the cookie is.

    `token_hash` is the SHA-256 in hex of the token in the cookie: who reads the table cannot
    sign in with it.
    """

    __tablename__ = "staff_session"

    id: Mapped[int] = mapped_column(primary_key=True, init=False)
    token_hash: Mapped[str] = mapped_column(String(64), unique=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("user.id"), index=True)
    created_at: Mapped[datetime] = mapped_column(UTCDateTime, default_factory=now)
    seen_at: Mapped[datetime] = mapped_column(UTCDateTime, default_factory=now)
