"""Types of single values in the content, each with its error message."""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Final, TypeVar
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from email_validator import EmailNotValidError, validate_email
from pydantic import AfterValidator

from crossroads import money

Item = TypeVar("Item")

DAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MOST: Final = 99_999_999  # eight digits: https://docs.stripe.com/api/prices/object (unit_amount)


def slugify(name: str) -> str:
    """Return a name as a part of an address: "Product management" is product-management."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def _text(value: str) -> str:
    value = value.strip()
    if not value:
        raise ValueError("is empty: write the text after the colon")
    return value


def _line(value: str) -> str:
    value = _text(value)
    if "\n" in value:
        raise ValueError("must be one paragraph: write >- after the colon to fold the lines")
    return value


def _slug(value: str) -> str:
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", value) or len(value) > 100:
        raise ValueError(
            f"must be small letters a to z, digits and single dashes, not {value[:40]!r}"
        )
    return value


def _day(value: str) -> str:
    if value not in DAYS:
        raise ValueError(f"must be a day of the week like Tuesday, not {value[:40]!r}")
    return value


def _clock(value: str) -> str:
    if not re.fullmatch(r"([01][0-9]|2[0-3]):[0-5][0-9]", value):
        raise ValueError(f'must be a time like "18:00", in quotes, not {value[:40]!r}')
    return value


def _web(value: str) -> str:
    try:
        address = urlsplit(value)
        good = address.scheme in ("https", "http") and bool(address.hostname)
    except ValueError:
        good = False
    if not good or re.search(r"[\s<>\"\\]", value):
        raise ValueError(f"must be a full web address like https://example.com, not {value[:40]!r}")
    return value


def _href(value: str) -> str:
    if re.fullmatch(r"/([^/\s<>\"\\][^\s<>\"\\]*)?", value):
        return value
    if value.startswith(("https://", "http://")):
        return _web(value)
    raise ValueError(f"must begin with / or https://, not {value[:40]!r}")


def _email(value: str) -> str:
    try:
        return validate_email(value, check_deliverability=False).normalized
    except EmailNotValidError:
        raise ValueError(
            f"must be an email address like name@example.com, not {value[:40]!r}"
        ) from None


def _zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(
            f"must be a time zone name like America/New_York, not {value[:40]!r}"
        ) from None
    return value


def _currency(value: str) -> str:
    if value not in money.DIGITS:
        raise ValueError(f"must be a currency code like USD or EUR, not {value[:40]!r}")
    return value


def _amount(value: int) -> int:
    if not 1 <= value <= MOST:
        raise ValueError(
            "must be a price above zero in the smallest unit of the currency "
            f"(120000 is $1,200), at most {MOST}, not {_short(value)}"
        )
    return value


def _count(value: int) -> int:
    if not 1 <= value <= 10_000:
        raise ValueError(f"must be 1 or more and at most 10000, not {_short(value)}")
    return value


def _short(value: int) -> str:
    return str(value) if abs(value) < 10**12 else "a number that long"


def _some(value: tuple[Item, ...]) -> tuple[Item, ...]:
    if not value:
        raise ValueError("must have at least one item")
    return value


def _frozen(value: Mapping[str, str]) -> Mapping[str, str]:
    return MappingProxyType(dict(value))


Text = Annotated[str, AfterValidator(_line)]  # one paragraph of plain text
Markdown = Annotated[str, AfterValidator(_text)]
Slug = Annotated[str, AfterValidator(_slug)]
Href = Annotated[str, AfterValidator(_href)]  # on this site or on the web
Web = Annotated[str, AfterValidator(_web)]
Email = Annotated[str, AfterValidator(_email)]
Day = Annotated[str, AfterValidator(_day)]  # of the week, in English
Clock = Annotated[str, AfterValidator(_clock)]  # hours and minutes, 00:00 to 23:59
Zone = Annotated[str, AfterValidator(_zone)]  # an IANA name
Currency = Annotated[str, AfterValidator(_currency)]
Amount = Annotated[int, AfterValidator(_amount)]  # of the currency's smallest unit
Count = Annotated[int, AfterValidator(_count)]
Cells = Annotated[Mapping[str, Text], AfterValidator(_frozen)]
Some = Annotated[tuple[Item, ...], AfterValidator(_some)]  # a list of one or more
