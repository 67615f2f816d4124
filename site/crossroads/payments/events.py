"""Events: hints that something changed at Stripe, sent to the webhook and listed for a month."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

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


def event(found: stripe.Event) -> Event:
    """Copy what we need out of Stripe's object. Raises whatever a wrong object makes it raise."""
    expect(found, "event")
    return Event(
        id=found.id,
        kind=found.type,
        object_id=str(found.data.object["id"]),
        live=found.livemode,
        created_at=datetime.fromtimestamp(found.created, UTC),
        version=found.api_version,
        pending=getattr(found, "pending_webhooks", 0),
    )


def verified(body: bytes, signature: str | None, secrets: list[str], key: str) -> Event:
    """Return the event in a webhook's raw body, signed with one of the secrets.

    Raises BadEvent, whatever is wrong with it: the SDK itself raises half a dozen kinds.
    https://docs.stripe.com/webhooks#verify-official-libraries
    """
    import stripe

    for secret in secrets:
        try:
            return event(
                stripe.Webhook.construct_event(body, signature, secret, TOLERANCE, api_key=key)
            )
        except stripe.SignatureVerificationError:
            continue
        except Exception as error:
            raise BadEvent(type(error).__name__) from None
    raise BadEvent("no secret of ours signed it")
