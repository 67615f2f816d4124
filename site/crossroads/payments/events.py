"""Events: hints that something changed at Stripe, sent to the webhook and listed for a month."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from crossroads.payments.errors import BadEvent
from crossroads.payments.fields import Fields

if TYPE_CHECKING:
    import stripe

KINDS: Final = ("event", "v2.core.event")
# Ids are up to 255 characters: https://docs.stripe.com/upgrades#what-changes-does-stripe-consider
# The signs are those of all the examples at https://docs.stripe.com/api; a NUL or half a surrogate
# pair is nothing that PostgreSQL or UTF-8 could hold.
ID: Final = re.compile(r"[A-Za-z0-9_.-]{1,255}")
TOLERANCE: Final = 300  # seconds that a signed event may be old


@dataclass(frozen=True, kw_only=True)
class Event:
    """A hint that the object behind it has changed; what is true now has to be asked for.

    `version` is the API version that its object was written in, `pending` how many endpoints have
    not taken it yet.
    """

    id: str
    kind: str
    object_id: str
    live: bool
    created_at: datetime
    version: str | None = None
    pending: int = 0

    @property
    def followable(self) -> bool:
        """Tell whether it names itself and an object, so that what happened can be asked for."""
        return bool(self.id and self.object_id)


def event(found: stripe.Event | dict[str, Any]) -> Event:
    """Copy what we need out of Stripe's object. Raises NotUnderstood.

    What an event tells of need not have an id, and a thin event tells of no object at all: such
    events have an empty `object_id` and are not followable.
    https://docs.stripe.com/event-destinations#thin-events
    """
    read = Fields(found, "event")
    if read.text("object") not in KINDS:
        raise read.fault("object")
    return Event(
        id=_id_of(found),
        kind=read.text("type"),
        object_id=_object_id(found),
        live=_value_of(found, "livemode") is True,
        created_at=_created(read, _value_of(found, "created")),
        version=read.maybe_text("api_version"),
        pending=read.maybe_number("pending_webhooks") or 0,
    )


def _object_id(found: Any) -> str:
    """Return the id of the object that an event tells of, "" when it has none."""
    return _id_of(_value_of(_value_of(found, "data"), "object"))


def _id_of(found: Any) -> str:
    """Return the id of an object, "" when it has none that can be an id of Stripe's."""
    value = _value_of(found, "id")
    return value if isinstance(value, str) and ID.fullmatch(value) else ""


def _created(read: Fields, value: object) -> datetime:
    """Return when it happened: in seconds, and in a thin event as a text of RFC 3339."""
    if not isinstance(value, str):
        return read.time("created")
    try:
        return datetime.fromisoformat(value).astimezone(UTC)
    except (OverflowError, ValueError):
        raise read.fault("created") from None


def _value_of(found: Any, field: str) -> Any:
    """Return a field of what may be no object at all, None when there is no such field."""
    no_object = found is None or isinstance(found, str | bool | int | float | list)
    return None if no_object or field not in found else found[field]


def verified(body: bytes, signature: str | None, secrets: list[str]) -> Event:
    """Return the event in a webhook's raw body, signed with one of the secrets.

    Raises BadEvent, whatever is wrong with it: the SDK itself raises half a dozen kinds.
    Its object is left as it came: all of it would be made into Stripe's classes for four words.
    https://docs.stripe.com/webhooks#verify-official-libraries
    """
    import stripe

    for secret in secrets:
        try:
            stripe.WebhookSignature.verify_header(body, signature, secret, TOLERANCE)
            return event(json.loads(body))
        except stripe.SignatureVerificationError:
            continue
        except Exception as error:
            raise BadEvent(type(error).__name__) from None
    raise BadEvent("no secret of ours signed it")
