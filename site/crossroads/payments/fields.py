"""Reads fields of Stripe's answers: required, nullable or omitted.

A wrong type raises NotUnderstood with the field's name, never its value.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar, Union

if TYPE_CHECKING:
    import stripe

# An object of the SDK, or the parsed JSON of a webhook.
Answer = Union["stripe.StripeObject", dict[str, Any]]

T = TypeVar("T")


class NotUnderstood(Exception):
    """An answer lacks a required field, or a field has the wrong type.

    The text names the object and the field: `refund.amount`.
    """


class Fields:
    """Typed access to the fields of an object. `name` is its name in NotUnderstood.

    A null field counts as omitted: the methods `maybe_...` return None for both, the others raise
    NotUnderstood.
    """

    def __init__(self, found: Any, name: str) -> None:
        if found is None or isinstance(found, str | bool | int | float | list):
            raise NotUnderstood(name)
        self._found: Answer = found
        self._name = name

    def maybe_text(self, field: str) -> str | None:
        """Return an optional text."""
        return self._read(field, str)

    def text(self, field: str) -> str:
        """Return a required text."""
        return self._needed(field, self.maybe_text(field))

    def maybe_number(self, field: str) -> int | None:
        """Return an optional integer."""
        return self._read(field, int)

    def number(self, field: str) -> int:
        """Return a required integer."""
        return self._needed(field, self.maybe_number(field))

    def flag(self, field: str) -> bool:
        """Return a required boolean."""
        return self._needed(field, self._read(field, bool))

    def maybe_time(self, field: str) -> datetime | None:
        """Return an optional aware time, from Unix seconds."""
        seconds = self.maybe_number(field)
        try:
            return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
        except (OverflowError, ValueError, OSError):
            raise self.fault(field) from None

    def time(self, field: str) -> datetime:
        """Return a required aware time."""
        return self._needed(field, self.maybe_time(field))

    def maybe_inner(self, field: str) -> Fields | None:
        """Return an optional nested object."""
        value = self._value(field)
        return None if value is None else Fields(value, f"{self._name}.{field}")

    def inner(self, field: str) -> Fields:
        """Return a required nested object."""
        return self._needed(field, self.maybe_inner(field))

    def every(self, field: str) -> Iterator[Fields]:
        """Yield the objects of an optional array."""
        for value in self._read(field, list) or ():
            yield Fields(value, f"{self._name}.{field}")

    def texts(self, field: str) -> tuple[str, ...]:
        """Return a required array of texts."""
        found = self._needed(field, self._read(field, list))
        if not all(isinstance(one, str) for one in found):
            raise self.fault(field)
        return tuple(found)

    def link(self, field: str) -> str | None:
        """Return the id in an optional field that holds an id or an expanded object."""
        value = self._value(field)
        if value is None or isinstance(value, str):
            return value
        return Fields(value, f"{self._name}.{field}").text("id")

    def expanded(self, field: str) -> Fields | None:
        """Return an expanded object; None when the field holds only an id."""
        return None if isinstance(self._value(field), str) else self.maybe_inner(field)

    def fault(self, field: str) -> NotUnderstood:
        """Return NotUnderstood for a field."""
        return NotUnderstood(f"{self._name}.{field}")

    def _value(self, field: str) -> Any:
        return self._found[field] if field in self._found else None  # noqa: SIM401 # no get()

    def _read(self, field: str, kind: type[T]) -> T | None:
        value: T | None = self._value(field)
        # In Python a bool is an int, too.
        right = isinstance(value, kind) and (kind is bool or not isinstance(value, bool))
        if value is not None and not right:
            raise self.fault(field)
        return value

    def _needed(self, field: str, value: T | None) -> T:
        if value is None:
            raise self.fault(field)
        return value


def fields(found: Answer, kind: str) -> Fields:
    """Return the fields of an answer. Raises NotUnderstood for another kind of object."""
    read = Fields(found, kind)
    if read.text("object") != kind:
        raise read.fault("object")
    return read
