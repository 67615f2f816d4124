"""Events: Stripe sends them to the webhook and lists them for 30 days."""

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
# The characters are those of the examples at https://docs.stripe.com/api. PostgreSQL cannot store a
# NUL, and UTF-8 cannot encode half of a surrogate pair.
ID: Final = re.compile(r"[A-Za-z0-9_.-]{1,255}")
TOLERANCE: Final = 300  # seconds; an older signature is refused


@dataclass(frozen=True, kw_only=True)
class Event:
    """A notice that an object changed; its current state must be retrieved.

    `version` is the API version of the event's object, `pending` the number of endpoints that have
    not accepted the event yet.
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
        """Whether it has an id and an object id, so that its object can be retrieved."""
        return bool(self.id and self.object_id)


def event(found: stripe.Event | dict[str, Any]) -> Event:
    """Convert Stripe's object. Raises NotUnderstood.

    `object_id` is empty when the object has no id, and in a thin event, which has no object. Such
    an event is not followable.
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
    """Return the id of an event's object; "" when it has none."""
    return _id_of(_value_of(_value_of(found, "data"), "object"))


def _id_of(found: Any) -> str:
    """Return the id of an object; "" when it has no valid one."""
    value = _value_of(found, "id")
    return value if isinstance(value, str) and ID.fullmatch(value) else ""


def _created(read: Fields, value: object) -> datetime:
    """Return the time of an event: Unix seconds, or RFC 3339 text in a thin event."""
    if not isinstance(value, str):
        return read.time("created")
    try:
        return datetime.fromisoformat(value).astimezone(UTC)
    except (OverflowError, ValueError):
        raise read.fault("created") from None


def _value_of(found: Any, field: str) -> Any:
    """Return a field of a value; None when the value is no object or lacks the field."""
    no_object = found is None or isinstance(found, str | bool | int | float | list)
    return None if no_object or field not in found else found[field]


def verified(body: bytes, signature: str | None, secrets: list[str]) -> Event:
    """Verify the signature of a webhook's raw body with each secret; return the event.

    Raises BadEvent for any error, where the SDK has several exceptions. The body is parsed as plain
    JSON: converting all of it to the SDK's classes for a few fields would be slow.
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
