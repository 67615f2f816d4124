"""What a call brings: form-encoded names with brackets, read and checked field by field.

Names and kinds come from the SDK's own types (stripe/params); the messages and codes from
https://docs.stripe.com/error-codes.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import urlsplit

from sandbox.stripe import currencies
from sandbox.stripe.errors import Refusal, beyond_sandbox, missing

Raw = str | dict[str, Any]  # as decoded: text, or names and indexes to more of the same
NAME = re.compile(r"^([^\[\]]+)((?:\[[^\[\]]*\])*)$")


def decode(pairs: Iterable[tuple[str, str]]) -> dict[str, Raw]:
    """Return the pairs as nested dicts; `a[]` counts up. The last of a name given twice holds."""
    found: dict[str, Any] = {}
    for name, value in pairs:
        match = NAME.match(name)
        path = [match[1], *re.findall(r"\[([^\[\]]*)\]", match[2])] if match else [name]
        inner = found
        for step in path[:-1]:
            deeper = inner.setdefault(step or str(len(inner)), {})
            if not isinstance(deeper, dict):
                raise Refusal(f"Invalid object: {name}", param=path[0])
            inner = deeper
        inner[path[-1] or str(len(inner))] = value
    return found


def from_json(value: Any) -> Any:
    """Return JSON in the form of decoded parameters, so that one reader serves both."""
    if isinstance(value, dict):
        return {str(key): from_json(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return {str(number): from_json(inner) for number, inner in enumerate(value)}
    return str(value).lower() if isinstance(value, bool) else str(value)


class Field(Protocol):
    """A kind of value. `read` returns it, or raises Refusal naming the parameter."""

    def read(self, raw: Raw, name: str) -> Any: ...


@dataclass(frozen=True)
class Text:
    """A string; an empty one would unset, which only some parameters allow."""

    longest: int = 5000
    unset: bool = False

    def read(self, raw: Raw, name: str) -> str | None:
        text = _plain(raw, name, "string")
        if not text:
            if self.unset:
                return None
            raise _empty(name)
        if len(text) > self.longest:
            shown = f"{text[:20]}..." if len(text) > 20 else text
            raise Refusal(
                f"Invalid string: {shown}; must be at most {self.longest} characters", param=name
            )
        return text


@dataclass(frozen=True)
class Integer:
    """A whole number between two limits."""

    least: int | None = None
    most: int | None = None

    def read(self, raw: Raw, name: str) -> int:
        text = _plain(raw, name, "integer")
        if not text:
            raise _empty(name)
        if not re.fullmatch(r"-?[0-9]{1,18}", text):
            raise Refusal(f"Invalid integer: {text}", code="parameter_invalid_integer", param=name)
        number = int(text)
        for limit, wrong, word in (
            (self.least, self.least is not None and number < self.least, "greater"),
            (self.most, self.most is not None and number > self.most, "less"),
        ):
            if wrong:
                raise Refusal(
                    f"This value must be {word} than or equal to {limit}.",
                    code="parameter_invalid_integer",
                    param=name,
                )
        return number


@dataclass(frozen=True)
class Flag:
    """true or false. With `beyond_when_on`, on is known to Stripe and not to the sandbox."""

    beyond_when_on: bool = False

    def read(self, raw: Raw, name: str) -> bool:
        text = _plain(raw, name, "boolean")
        if not text:
            raise _empty(name)
        if text.lower() not in ("true", "false"):
            raise Refusal(f"Invalid boolean: {text}", param=name)
        on = text.lower() == "true"
        if on and self.beyond_when_on:
            raise beyond_sandbox(name)
        return on


@dataclass(frozen=True)
class Choice:
    """One of some words. What stands in `beyond`, Stripe takes and the sandbox does not."""

    words: tuple[str, ...]
    beyond: tuple[str, ...] = ()

    def read(self, raw: Raw, name: str) -> str:
        text = _plain(raw, name, "string")
        if not text:
            raise _empty(name)
        if text in self.beyond:
            raise beyond_sandbox(name)
        if text not in self.words:
            words = sorted((*self.words, *self.beyond))
            listed = (
                f"{', '.join(words[:-1])}, or {words[-1]}" if len(words) > 2 else " or ".join(words)
            )
            raise Refusal(f"Invalid {name}: must be one of {listed}", param=name)
        return text


@dataclass(frozen=True)
class Url:
    """An address a browser can be sent to."""

    def read(self, raw: Raw, name: str) -> str:
        text = Text().read(raw, name) or ""
        try:
            parts = urlsplit(text)
            good = parts.scheme in ("http", "https") and bool(parts.hostname)
            good = good and not re.search(r"\s", text) and parts.port != 0
        except ValueError:
            good = False
        if not good:
            raise Refusal("Not a valid URL", code="url_invalid", param=name)
        return text


@dataclass(frozen=True)
class Email:
    """An address of email, as far as its form tells."""

    def read(self, raw: Raw, name: str) -> str:
        text = Text(512).read(raw, name) or ""
        if not re.fullmatch(r"[^@\s]+@[^@\s.]+(\.[^@\s.]+)+", text):
            raise Refusal(f"Invalid email address: {text}", code="email_invalid", param=name)
        return text


@dataclass(frozen=True)
class Currency:
    """A currency Stripe charges in, in any case; kept in lower case."""

    def read(self, raw: Raw, name: str) -> str:
        text = (Text().read(raw, name) or "").lower()
        if text not in currencies.ALL:
            listed = ", ".join(sorted(currencies.ALL))
            raise Refusal(
                f"Invalid currency: {text}. Stripe currently supports these currencies: {listed}",
                param=name,
            )
        return text


@dataclass(frozen=True)
class Metadata:
    """Up to 50 pairs, keys to 40 and values to 500 characters (docs.stripe.com/api/metadata)."""

    def read(self, raw: Raw, name: str) -> dict[str, str]:
        if raw == "":
            return {}
        pairs = _names(raw, name)
        if len(pairs) > 50:
            raise Refusal("You can have up to 50 metadata keys on an object.", param=name)
        for key, value in pairs.items():
            _plain(value, f"{name}[{key}]", "string")
            for what, text, most in (("keys", key, 40), ("values", value, 500)):
                if len(text) > most:
                    raise Refusal(
                        f"Metadata {what} can have up to {most} characters, but you passed in "
                        f"one that is {len(text)} characters. Invalid one: {text}",
                        param=f"{name}[{key}]" if what == "values" else name,
                    )
        return {key: value for key, value in pairs.items() if value != ""}


@dataclass(frozen=True)
class Array:
    """A list of one kind of value, indexed from 0 or with empty brackets."""

    item: Field
    most: int = 100

    def read(self, raw: Raw, name: str) -> list[Any]:
        if raw == "":
            raise _empty(name)
        if isinstance(raw, str) or not all(key.isdigit() for key in raw):
            raise Refusal("Invalid array", param=name)
        if len(raw) > self.most:
            raise Refusal(f"Array must have at most {self.most} elements.", param=name)
        ordered = sorted(raw.items(), key=lambda pair: int(pair[0]))
        return [self.item.read(value, f"{name}[{key}]") for key, value in ordered]


@dataclass(frozen=True)
class Shape:
    """Named parameters. `beyond` names what Stripe takes and the sandbox does not stand in for."""

    known: Mapping[str, Field]
    required: tuple[str, ...] = ()
    beyond: tuple[str, ...] = ()
    unset: bool = field(default=False, kw_only=True)

    def read(self, raw: Raw, name: str = "") -> dict[str, Any] | None:
        if raw == "" and name:
            if self.unset:
                return None
            raise _empty(name)
        given = _names(raw, name)
        unknown = [_inside(name, key) for key in given if key not in self.known]
        strange = [key for key in given if key not in self.known and key not in self.beyond]
        if strange:
            named = [_inside(name, key) for key in strange]
            plural = "s" if len(named) > 1 else ""
            raise Refusal(
                f"Received unknown parameter{plural}: {', '.join(named)}",
                code="parameter_unknown",
                param=named[0],
            )
        if unknown:
            raise beyond_sandbox(unknown[0])
        for key in self.required:
            if key not in given:
                raise missing(_inside(name, key))
        return {
            key: kind.read(given[key], _inside(name, key))
            for key, kind in self.known.items()
            if key in given
        }


@dataclass(frozen=True)
class Interval:
    """A moment, or a range of moments, in seconds of Unix time."""

    def read(self, raw: Raw, name: str) -> dict[str, int]:
        if isinstance(raw, str):
            return {"eq": Integer().read(raw, name)}
        limits = {key: Integer() for key in ("gt", "gte", "lt", "lte")}
        return Shape(limits).read(raw, name) or {}


def _inside(outer: str, name: str) -> str:
    return f"{outer}[{name}]" if outer else name


def _plain(raw: Raw, name: str, kind: str) -> str:
    if isinstance(raw, str):
        return raw
    raise Refusal(f"Invalid {kind}: {raw}", param=name)


def _names(raw: Raw, name: str) -> dict[str, Any]:
    if isinstance(raw, str):
        raise Refusal("Invalid object", param=name)
    return raw


def _empty(name: str) -> Refusal:
    return Refusal(
        f"You passed an empty string for '{name}'. We assume empty values are an attempt to unset "
        f"a parameter; however '{name}' cannot be unset. You should remove '{name}' from your "
        "request or supply a non-empty value.",
        code="parameter_invalid_empty",
        param=name,
    )
