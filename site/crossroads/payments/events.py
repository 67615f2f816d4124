"""Events: hints that something changed at Stripe, sent to the webhook and listed for a month."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from crossroads.payments.connection import expect
from crossroads.payments.errors import BadEvent

if TYPE_CHECKING:
    import stripe

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


def event(found: stripe.Event | dict[str, Any]) -> Event:
    """Copy what we need out of Stripe's object. Raises whatever a wrong object makes it raise."""
    expect(found, "event")
    return Event(
        id=found["id"],
        kind=found["type"],
        object_id=str(found["data"]["object"]["id"]),
        live=found["livemode"],
        created_at=datetime.fromtimestamp(found["created"], UTC),
        version=found["api_version"],
        # Stripe's own object has no get().
        pending=found["pending_webhooks"] if "pending_webhooks" in found else 0,  # noqa: SIM401
    )


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
