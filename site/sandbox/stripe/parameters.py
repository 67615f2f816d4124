"""Parameters of a call: form-encoded names with brackets, decoded and validated.

Names and kinds come from the SDK's own types (stripe/params); the messages and codes from
https://docs.stripe.com/error-codes.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import urlsplit

from sandbox.stripe import currencies
from sandbox.stripe.errors import ApiError, missing_parameter, not_in_sandbox

Raw = str | dict[str, Any]  # decoded: a string, or names or indexes mapped to more of the same
NAME = re.compile(r"^([^\[\]]+)((?:\[[^\[\]]*\])*)$")


def decode(pairs: Iterable[tuple[str, str]]) -> dict[str, Raw]:
    """Return the pairs as nested dicts; `a[]` appends. The last value of a name wins."""
    found: dict[str, Any] = {}
    for name, value in pairs:
        match = NAME.match(name)
        path = [match[1], *re.findall(r"\[([^\[\]]*)\]", match[2])] if match else [name]
        inner = found
        for step in path[:-1]:
            deeper = inner.setdefault(step or str(len(inner)), {})
            if not isinstance(deeper, dict):
                raise ApiError(f"Invalid object: {name}", param=path[0])
            inner = deeper
        inner[path[-1] or str(len(inner))] = value
    return found


def from_json(value: Any) -> Any:
    """Return JSON in the form of decoded parameters, so that both are validated alike."""
    if isinstance(value, dict):
        return {str(key): from_json(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return {str(number): from_json(inner) for number, inner in enumerate(value)}
    return str(value).lower() if isinstance(value, bool) else str(value)


class Field(Protocol):
    """A type of value. `parse` returns it, or raises ApiError with the parameter's name."""

    def parse(self, raw: Raw, name: str) -> Any: ...


@dataclass(frozen=True)
class Text:
    """A string; an empty one unsets the parameter, if `unset` allows it."""

    longest: int = 5000
    unset: bool = False

    def parse(self, raw: Raw, name: str) -> str | None:
        text = _string(raw, name, "string")
        if not text:
            if self.unset:
                return None
            raise _empty(name)
        if len(text) > self.longest:
            shown = f"{text[:20]}..." if len(text) > 20 else text
            raise ApiError(
                f"Invalid string: {shown}; must be at most {self.longest} characters", param=name
            )
        return text


@dataclass(frozen=True)
class Integer:
    """An integer between two limits."""

    minimum: int | None = None
    maximum: int | None = None

    def parse(self, raw: Raw, name: str) -> int:
        text = _string(raw, name, "integer")
        if not text:
            raise _empty(name)
        if not re.fullmatch(r"-?[0-9]{1,18}", text):
            raise ApiError(f"Invalid integer: {text}", code="parameter_invalid_integer", param=name)
        number = int(text)
        for limit, wrong, word in (
            (self.minimum, self.minimum is not None and number < self.minimum, "greater"),
            (self.maximum, self.maximum is not None and number > self.maximum, "less"),
        ):
            if wrong:
                raise ApiError(
                    f"This value must be {word} than or equal to {limit}.",
                    code="parameter_invalid_integer",
                    param=name,
                )
        return number


@dataclass(frozen=True)
class Boolean:
    """true or false; with `unsupported_when_true` the sandbox refuses true."""

    unsupported_when_true: bool = False

    def parse(self, raw: Raw, name: str) -> bool:
        text = _string(raw, name, "boolean")
        if not text:
            raise _empty(name)
        if text.lower() not in ("true", "false"):
            raise ApiError(f"Invalid boolean: {text}", param=name)
        on = text.lower() == "true"
        if on and self.unsupported_when_true:
            raise not_in_sandbox(name)
        return on


@dataclass(frozen=True)
class Choice:
    """One of several words; the sandbox refuses those in `unsupported`, which Stripe takes."""

    choices: tuple[str, ...]
    unsupported: tuple[str, ...] = ()

    def parse(self, raw: Raw, name: str) -> str:
        text = _string(raw, name, "string")
        if not text:
            raise _empty(name)
        if text in self.unsupported:
            raise not_in_sandbox(name)
        if text not in self.choices:
            choices = sorted((*self.choices, *self.unsupported))
            listed = (
                f"{', '.join(choices[:-1])}, or {choices[-1]}"
                if len(choices) > 2
                else " or ".join(choices)
            )
            raise ApiError(f"Invalid {name}: must be one of {listed}", param=name)
        return text


@dataclass(frozen=True)
class Url:
    """An http or https URL."""

    def parse(self, raw: Raw, name: str) -> str:
        text = Text().parse(raw, name) or ""
        try:
            parts = urlsplit(text)
            good = parts.scheme in ("http", "https") and bool(parts.hostname)
            good = good and not re.search(r"\s", text) and parts.port != 0
        except ValueError:
            good = False
        if not good:
            raise ApiError("Not a valid URL", code="url_invalid", param=name)
        return text


@dataclass(frozen=True)
class Email:
    """An email address, checked by its form."""

    def parse(self, raw: Raw, name: str) -> str:
        text = Text(512).parse(raw, name) or ""
        if not re.fullmatch(r"[^@\s]+@[^@\s.]+(\.[^@\s.]+)+", text):
            raise ApiError(f"Invalid email address: {text}", code="email_invalid", param=name)
        return text


@dataclass(frozen=True)
class Currency:
    """A currency that Stripe charges in, in any case; returned in lower case."""

    def parse(self, raw: Raw, name: str) -> str:
        text = (Text().parse(raw, name) or "").lower()
        if text not in currencies.ALL:
            listed = ", ".join(sorted(currencies.ALL))
            raise ApiError(
                f"Invalid currency: {text}. Stripe currently supports these currencies: {listed}",
                param=name,
            )
        return text


@dataclass(frozen=True)
class Metadata:
    """Up to 50 pairs: keys of 40, values of 500 characters (docs.stripe.com/api/metadata)."""

    def parse(self, raw: Raw, name: str) -> dict[str, str]:
        if raw == "":
            return {}
        pairs = _mapping(raw, name)
        if len(pairs) > 50:
            raise ApiError("You can have up to 50 metadata keys on an object.", param=name)
        for key, value in pairs.items():
            _string(value, f"{name}[{key}]", "string")
            for what, text, maximum in (("keys", key, 40), ("values", value, 500)):
                if len(text) > maximum:
                    raise ApiError(
                        f"Metadata {what} can have up to {maximum} characters, but you passed in "
                        f"one that is {len(text)} characters. Invalid one: {text}",
                        param=f"{name}[{key}]" if what == "values" else name,
                    )
        return {key: value for key, value in pairs.items() if value != ""}


@dataclass(frozen=True)
class Array:
    """A list of one type of value, indexed from 0 or with empty brackets."""

    item: Field
    maximum: int = 100

    def parse(self, raw: Raw, name: str) -> list[Any]:
        if raw == "":
            raise _empty(name)
        if isinstance(raw, str) or not all(key.isdigit() for key in raw):
            raise ApiError("Invalid array", param=name)
        if len(raw) > self.maximum:
            raise ApiError(f"Array must have at most {self.maximum} elements.", param=name)
        ordered = sorted(raw.items(), key=lambda pair: int(pair[0]))
        return [self.item.parse(value, f"{name}[{key}]") for key, value in ordered]


@dataclass(frozen=True)
class Parameters:
    """Named parameters; the sandbox refuses those in `unsupported`, which Stripe takes."""

    known: Mapping[str, Field]
    required: tuple[str, ...] = ()
    unsupported: tuple[str, ...] = ()
    unset: bool = field(default=False, kw_only=True)

    def parse(self, raw: Raw, name: str = "") -> dict[str, Any] | None:
        if raw == "" and name:
            if self.unset:
                return None
            raise _empty(name)
        given = _mapping(raw, name)
        unknown = [_nested(name, key) for key in given if key not in self.known]
        unknown_names = [
            key for key in given if key not in self.known and key not in self.unsupported
        ]
        if unknown_names:
            named = [_nested(name, key) for key in unknown_names]
            plural = "s" if len(named) > 1 else ""
            raise ApiError(
                f"Received unknown parameter{plural}: {', '.join(named)}",
                code="parameter_unknown",
                param=named[0],
            )
        if unknown:
            raise not_in_sandbox(unknown[0])
        for key in self.required:
            if key not in given:
                raise missing_parameter(_nested(name, key))
        return {
            key: kind.parse(given[key], _nested(name, key))
            for key, kind in self.known.items()
            if key in given
        }


@dataclass(frozen=True)
class TimeRange:
    """A time or a range of times, in seconds of Unix time."""

    def parse(self, raw: Raw, name: str) -> dict[str, int]:
        if isinstance(raw, str):
            return {"eq": Integer().parse(raw, name)}
        limits = {key: Integer() for key in ("gt", "gte", "lt", "lte")}
        return Parameters(limits).parse(raw, name) or {}


def _nested(outer: str, name: str) -> str:
    return f"{outer}[{name}]" if outer else name


def _string(raw: Raw, name: str, kind: str) -> str:
    if isinstance(raw, str):
        return raw
    raise ApiError(f"Invalid {kind}: {raw}", param=name)


def _mapping(raw: Raw, name: str) -> dict[str, Any]:
    if isinstance(raw, str):
        raise ApiError("Invalid object", param=name)
    return raw


def _empty(name: str) -> ApiError:
    return ApiError(
        f"You passed an empty string for '{name}'. We assume empty values are an attempt to unset "
        f"a parameter; however '{name}' cannot be unset. You should remove '{name}' from your "
        "request or supply a non-empty value.",
        code="parameter_invalid_empty",
        param=name,
    )
