"""The one list of columns that name a person, and the list of text columns that name nobody.

From the first derive erasure, retention, the person's file, the columns of exports and imports, and
the forms that are sent again with what was typed. A test fails for a column that can hold text and
is on neither list.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Final, cast

from sqlalchemy import String, case, inspect, literal
from sqlalchemy.orm import InstrumentedAttribute

from models.base import Base
from models.consent import IMPORT, ConsentEvent
from models.enrollment import Enrollment
from models.lead import Lead, new_token
from models.lead_import import LeadImport
from models.lead_word import LeadWord
from models.lost_checkout import LostCheckout
from models.message import Message
from models.order import Hold, Order
from models.user import User
from models.waiting_list import Waiting


class Erased(Enum):
    """What is left in a column when the person is erased."""

    EMPTY = auto()
    NULL = auto()
    NUMBERED = auto()  # "erased-" and the row's number: the column is unique
    RENEWED = auto()  # a new token, which nobody knows: an old link opens nothing
    IF_IMPORTED = auto()  # empty where the row came with an import, else as it was
    ROW = auto()  # nothing: the row is deleted


@dataclass(frozen=True, kw_only=True)
class Personal:
    """One column that names a person.

    `label` is what the person's file calls it, with a dot for each level; it is empty for the key
    of a link, with which a holder of the file could act, and for what only repeats another column.
    `exported` is its name in the export of its table, and for a lead in files that are imported.
    `typed` is what the forms call it that ask a visitor for it.
    """

    column: InstrumentedAttribute[Any]
    erased: Erased
    label: str = ""
    exported: str = ""
    typed: str = ""

    @property
    def model(self) -> type[Base]:
        return cast(type[Base], self.column.class_)

    @property
    def key(self) -> str:
        return self.column.key


EMAIL: Final = "Email address"
NAME: Final = "Name"


def _touch(prefix: str, label: str) -> Iterator[Personal]:
    """Yield where a lead came from: a campaign is free text, and may name its reader."""
    for name in ("page", "utm_source", "utm_medium", "utm_campaign", "utm_term", "utm_content"):
        column = getattr(Lead, prefix + name)
        yield Personal(
            column=column, erased=Erased.NULL, label=f"{label}.{name}", exported=prefix + name
        )


PERSONAL: Final[tuple[Personal, ...]] = (
    Personal(column=Lead.email, erased=Erased.EMPTY, label="email", exported="email", typed=EMAIL),
    Personal(column=Lead.name, erased=Erased.EMPTY, label="name", exported="name", typed=NAME),
    Personal(column=Lead.email_key, erased=Erased.NUMBERED),
    *_touch("", "first_touch"),
    *_touch("last_", "last_touch"),
    Personal(column=Lead.words, erased=Erased.EMPTY),
    Personal(column=Lead.confirm_token, erased=Erased.RENEWED),
    Personal(column=Lead.unsubscribe_token, erased=Erased.RENEWED),
    Personal(column=Lead.import_id, erased=Erased.NULL),
    Personal(column=LeadWord.word, erased=Erased.ROW),
    # Where few people came from one file, its name and what was said of it may name them.
    Personal(column=LeadImport.file, erased=Erased.EMPTY, label="file"),
    Personal(column=LeadImport.source, erased=Erased.EMPTY, label="consent_source"),
    # What a file said of one person, in its own words.
    Personal(column=ConsentEvent.wording, erased=Erased.IF_IMPORTED, label="wording"),
    Personal(column=ConsentEvent.ip, erased=Erased.NULL, label="ip"),
    Personal(column=ConsentEvent.user_agent, erased=Erased.NULL, label="user_agent"),
    Personal(column=Waiting.token, erased=Erased.ROW),
    Personal(column=Message.recipient, erased=Erased.EMPTY, label="recipient"),
    Personal(column=Message.error, erased=Erased.EMPTY, label="error"),  # mail servers name it
    Personal(column=Message.waiting_id, erased=Erased.NULL),
    Personal(column=Order.name, erased=Erased.EMPTY, label="name", exported="name", typed=NAME),
    Personal(column=Order.email, erased=Erased.EMPTY, label="email", exported="email", typed=EMAIL),
    Personal(column=Order.email_key, erased=Erased.EMPTY),
    Personal(column=Order.request_key, erased=Erased.NUMBERED),  # made of what was typed
    Personal(column=Hold.email_key, erased=Erased.NUMBERED),
    Personal(column=Hold.network, erased=Erased.EMPTY, label="network"),
    Personal(
        column=Enrollment.name, erased=Erased.EMPTY, label="name", exported="name", typed=NAME
    ),
    Personal(
        column=Enrollment.email, erased=Erased.NULL, label="email", exported="email", typed=EMAIL
    ),
    Personal(column=LostCheckout.email, erased=Erased.EMPTY, label="email"),
    Personal(column=LostCheckout.name, erased=Erased.EMPTY, label="name"),
)

# Members of staff: their columns go with the account, by `flask users remove`.
STAFF: Final[tuple[InstrumentedAttribute[Any], ...]] = (
    User.email,
    User.email_key,
    User.password_hash,
    LeadImport.imported_by,  # an account of the machine
)

# Columns that can hold text and name nobody, by table. A keyed hash of an address
# (`address_hash`) names the person only to a holder of both the key and the address. The names that
# Stripe gives to checkouts and payments open what it stores, to people who may see it there.
NOBODY: Final[dict[str, str]] = {
    "announcement": "subject body page campaign waiting form_key",
    "checkout_request": "trouble",
    "cohort": "course code",
    "consent_event": "address_hash form wording_hash page page_version",
    "enrollment": "course cohort address_hash token",
    "hold": "course cohort",
    "lead": "address_hash",
    "lost_checkout": "session_id reference course cohort item currency mode address_hash "
    "payment_intent cause",
    "message": "kind address_hash reference owner",
    "order": "course cohort address_hash item currency checkout_options mode cohort_timezone token "
    "session_id session_url payment_intent",
    "order_event": "cause subject status stripe_id seat_numbers reason",
    "reconciliation": "owner",
    "refused_event": "id",
    "site": "site_id stripe_mode stripe_account",
    "staff_session": "token_hash",
    "stripe_event": "id kind object_id owner error",
    "suppression": "address_hash",
    "waiting_list": "course cohort",
}


def of(model: type[Base]) -> list[Personal]:
    """Return the columns of a model that name a person."""
    return [one for one in PERSONAL if one.model is model]


def erase(row: Base) -> None:
    """Take the person out of a row. A row that is to go as a whole, its owner deletes."""
    for one in of(type(row)):
        if one.erased is not Erased.ROW:
            setattr(row, one.key, _left(one, row))


def blank(model: type[Base]) -> dict[str, Any]:
    """Return what an UPDATE of a model's rows sets to take the people out of them."""
    return {one.key: _set(one) for one in of(model)}


def stored(row: Base) -> dict[str, Any]:
    """Return what a row says of a person, by the labels of the person's file."""
    found: dict[str, Any] = {}
    for one in of(type(row)):
        *groups, label = one.label.split(".")
        inner = found
        for group in groups:
            inner = inner.setdefault(group, {})
        if label:
            inner[label] = getattr(row, one.key)
    return found


def exported(model: type[Base]) -> dict[str, InstrumentedAttribute[Any]]:
    """Return the columns of a model that its export has, by their names there."""
    return {one.exported: one.column for one in of(model) if one.exported}


def typed(model: type[Base]) -> dict[str, str]:
    """Return what a visitor was asked for and a model keeps: the form's labels by field."""
    return {one.key: one.typed for one in of(model) if one.typed}


def _left(one: Personal, row: Base) -> object:
    match one.erased:
        case Erased.EMPTY:
            return ""
        case Erased.NULL | Erased.ROW:
            return None
        case Erased.NUMBERED:
            (number,) = inspect(type(row)).primary_key_from_instance(row)
            return f"erased-{number}"
        case Erased.RENEWED:
            return new_token()
        case Erased.IF_IMPORTED:
            raise TypeError(f"{one.column} is emptied by an UPDATE")


def _set(one: Personal) -> Any:
    match one.erased:
        case Erased.EMPTY:
            return ""
        case Erased.NULL:
            return None
        case Erased.NUMBERED:
            (key,) = inspect(one.model).primary_key
            return literal("erased-").concat(key.cast(String))
        case Erased.IF_IMPORTED:
            return case((ConsentEvent.form == IMPORT, ""), else_=one.column)
        case Erased.RENEWED | Erased.ROW:
            raise TypeError(f"{one.column} is erased row by row")
