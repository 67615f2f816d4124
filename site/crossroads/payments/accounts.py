"""The Stripe account of a key, and its webhook endpoints."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from crossroads.payments.fields import NotUnderstood, fields

if TYPE_CHECKING:
    import stripe


@dataclass(frozen=True, kw_only=True)
class Account:
    """The account behind the key. `live`: it moves real money. `clock`: Stripe's time."""

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
    """Return the key's account, from its balance: the only object that every account has."""
    live = fields(found, "balance").flag("livemode")
    answer = found.last_response
    try:
        clock = parsedate_to_datetime(answer.headers["Date"] if answer else "")
    except (LookupError, ValueError):
        raise NotUnderstood("balance's Date header") from None
    return Account(live=live, clock=clock)


def account_id(found: stripe.Account) -> str:
    """Return the id of an account. https://docs.stripe.com/api/accounts/object"""
    return fields(found, "account").text("id")


def endpoint(found: stripe.WebhookEndpoint) -> Endpoint:
    """Convert Stripe's object. Raises NotUnderstood."""
    read = fields(found, "webhook_endpoint")
    return Endpoint(
        id=read.text("id"),
        url=read.text("url"),
        kinds=read.texts("enabled_events"),
        enabled=read.text("status") == "enabled",
        live=read.flag("livemode"),
        version=read.maybe_text("api_version"),
    )
