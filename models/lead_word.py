"""The search index of leads: the words of their addresses and names."""

from typing import Final

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base

WORD_LENGTH: Final = 32


class LeadWord(Base):
    """One word of a lead's address or name, in the form that is compared, cut at 32 characters.

    Ordered by code point on both databases: the words with one beginning stand together. No index
    leads from a lead to its words: they are those of `Lead.words`.
    """

    __tablename__ = "lead_word"
    __table_args__ = {"sqlite_with_rowid": False}  # noqa: RUF012 - as SQLAlchemy reads it

    word: Mapped[str] = mapped_column(
        String(WORD_LENGTH).with_variant(String(WORD_LENGTH, collation="C"), "postgresql"),
        primary_key=True,
    )
    lead_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
