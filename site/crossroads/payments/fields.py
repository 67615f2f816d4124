"""Reads fields of Stripe's answers: always there, nullable, or left out.

What is not as it says raises NotUnderstood with the field's name and never its value.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar, Union

if TYPE_CHECKING:
    import stripe

# An object as the SDK makes it, or as the JSON of a webhook has it.
Answer = Union["stripe.StripeObject", dict[str, Any]]

T = TypeVar("T")


class NotUnderstood(Exception):
    """An answer lacks a field that Stripe always sends, or holds another type in it.

    The text names the object and the field: `refund.amount`.
    """


class Fields:
    """One object of Stripe's, field by field. `name` is what NotUnderstood calls it.

    A field that is null counts as one that was left out: `maybe_...` return None for both, and
    the others raise NotUnderstood.
    """

    def __init__(self, found: Any, name: str) -> None:
        if found is None or isinstance(found, str | bool | int | float | list):
            raise NotUnderstood(name)
        self._found: Answer = found
        self._name = name

    def maybe_text(self, field: str) -> str | None:
        """Return a text, None when it is unset."""
        return self._read(field, str)

    def text(self, field: str) -> str:
        """Return a text that is always there."""
        return self._needed(field, self.maybe_text(field))

    def maybe_number(self, field: str) -> int | None:
        """Return an integer, None when it is unset."""
        return self._read(field, int)

    def number(self, field: str) -> int:
        """Return an integer that is always there."""
        return self._needed(field, self.maybe_number(field))

    def flag(self, field: str) -> bool:
        """Return a boolean that is always there."""
        return self._needed(field, self._read(field, bool))

    def maybe_time(self, field: str) -> datetime | None:
        """Return an aware time from seconds since 1970, None when it is unset."""
        seconds = self.maybe_number(field)
        try:
            return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
        except (OverflowError, ValueError, OSError):
            raise self.fault(field) from None

    def time(self, field: str) -> datetime:
        """Return a time that is always there."""
        return self._needed(field, self.maybe_time(field))

    def maybe_inner(self, field: str) -> Fields | None:
        """Return an object inside this one, None when it is unset."""
        value = self._value(field)
        return None if value is None else Fields(value, f"{self._name}.{field}")

    def inner(self, field: str) -> Fields:
        """Return an object inside this one that is always there."""
        return self._needed(field, self.maybe_inner(field))

    def every(self, field: str) -> Iterator[Fields]:
        """Yield the objects of an array, none when it is unset."""
        for value in self._read(field, list) or ():
            yield Fields(value, f"{self._name}.{field}")

    def texts(self, field: str) -> tuple[str, ...]:
        """Return an array of texts that is always there."""
        found = self._needed(field, self._read(field, list))
        if not all(isinstance(one, str) for one in found):
            raise self.fault(field)
        return tuple(found)

    def link(self, field: str) -> str | None:
        """Return the id that a field names, as the id alone or with the whole object."""
        value = self._value(field)
        if value is None or isinstance(value, str):
            return value
        return Fields(value, f"{self._name}.{field}").text("id")

    def expanded(self, field: str) -> Fields | None:
        """Return an object that was asked for by `expand`; None where only its id is there."""
        return None if isinstance(self._value(field), str) else self.maybe_inner(field)

    def fault(self, field: str) -> NotUnderstood:
        """Return the exception that names a field."""
        return NotUnderstood(f"{self._name}.{field}")

    def _value(self, field: str) -> Any:
        return self._found[field] if field in self._found else None  # noqa: SIM401 # no get()

    def _read(self, field: str, kind: type[T]) -> T | None:
        value: T | None = self._value(field)
        # Python counts True as an integer, and Stripe does not.
        right = isinstance(value, kind) and (kind is bool or not isinstance(value, bool))
        if value is not None and not right:
            raise self.fault(field)
        return value

    def _needed(self, field: str, value: T | None) -> T:
        if value is None:
            raise self.fault(field)
        return value


def fields(found: Answer, kind: str) -> Fields:
    """Return the fields of an answer. Raises NotUnderstood when it is of another kind."""
    read = Fields(found, kind)
    if read.text("object") != kind:
        raise read.fault("object")
    return read
