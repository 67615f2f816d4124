"""Closed sets of words that columns hold, each word with its label for the desk."""

from enum import StrEnum
from typing import Self

from sqlalchemy import Enum


class Labeled(StrEnum):
    """The base of states, kinds and roles. The database keeps the value, staff read the label."""

    label: str

    def __new__(cls, value: str, label: str = "") -> Self:
        member = str.__new__(cls, value)
        member._value_ = value
        member.label = label
        return member

    @classmethod
    def known(cls, word: str) -> Self | None:
        """Return the member with this value, None when there is none."""
        return next((member for member in cls if member.value == word), None)

    @classmethod
    def choices(cls) -> list[tuple[str, str]]:
        """Return value and label of each member, in their order."""
        return [(member.value, member.label) for member in cls]


def stored(members: type[Labeled], length: int = 16) -> Enum:
    """Return the column type for a set of words: a plain string in the database, a member here.

    Writing or reading a word that is not in the set raises LookupError.
    """
    return Enum(
        members,
        native_enum=False,
        create_constraint=False,
        validate_strings=True,
        length=length,
        values_callable=lambda kinds: [member.value for member in kinds],
    )


def label_of(members: type[Labeled], word: str) -> str:
    """Return the label of a word of an open set, such as Stripe's; of an unknown one, the word."""
    found = members.known(word)
    return found.label if found else word.replace("_", " ")
