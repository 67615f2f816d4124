"""What is set up at Stripe: the account behind the key, and where it sends its events."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from crossroads.payments.connection import expect

if TYPE_CHECKING:
    import stripe


@dataclass(frozen=True, kw_only=True)
class Account:
    """The account behind the key. `live`: it moves real money. `clock`: Stripe's, at its answer."""

    live: bool
    clock: datetime


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """A webhook endpoint. `kinds` may hold `*`; without a `version` it gets the account's own.

    https://docs.stripe.com/api/webhook_endpoints/object
    """

    id: str
    url: str
    kinds: tuple[str, ...]
    enabled: bool
    live: bool
    version: str | None


def account(found: stripe.Balance) -> Account:
    """Tell whose key it is by its balance, the one object that every account has."""
    expect(found, "balance")
    answer = found.last_response
    if answer is None:
        raise TypeError("an answer without headers")
    return Account(live=found.livemode, clock=parsedate_to_datetime(answer.headers["Date"]))


def endpoint(found: stripe.WebhookEndpoint) -> Endpoint:
    """Copy what we need out of Stripe's object. Raises whatever a wrong object makes it raise."""
    expect(found, "webhook_endpoint")
    return Endpoint(
        id=found.id,
        url=found.url,
        kinds=tuple(found.enabled_events),
        enabled=found.status == "enabled",
        live=found.livemode,
        version=found.api_version,
    )
