"""The account behind the key, its balance and its webhook endpoints.

Source: https://docs.stripe.com/api/balance, https://docs.stripe.com/api/webhook_endpoints
"""

import hashlib
from typing import Any

from sandbox.stripe import pagination
from sandbox.stripe.errors import no_such
from sandbox.stripe.store import StripeObject, Transaction


def balance(tx: Transaction, _given: dict[str, Any]) -> StripeObject:
    """Return the balance, which is always zero."""
    nothing = {"amount": 0, "currency": "usd", "source_types": {"card": 0}}
    return {
        "object": "balance",
        "available": [nothing],
        "connect_reserved": None,
        "instant_available": None,
        "issuing": None,
        "livemode": tx.live,
        "pending": [nothing],
        "refund_and_dispute_prefunding": None,
    }


def account(tx: Transaction, _given: dict[str, Any]) -> StripeObject:
    """Return the account, with the fields that Stripe always sends and some others.

    Source: https://docs.stripe.com/api/accounts/object
    """
    return {
        "id": tx.setting("account", ""),
        "object": "account",
        "charges_enabled": True,
        "country": "US",
        "default_currency": "usd",
        "details_submitted": True,
        "email": None,
        "metadata": {},
        "payouts_enabled": True,
        "type": "standard",
    }


def endpoint(tx: Transaction, id: str, _given: dict[str, Any]) -> StripeObject:  # noqa: A002
    """Return a webhook endpoint, without its secret."""
    for one in _endpoints(tx):
        if one["id"] == id:
            return one
    raise no_such("webhook_endpoint", id, "webhook_endpoint")


def endpoints(tx: Transaction, given: dict[str, Any]) -> StripeObject:
    """Return the webhook endpoints."""
    return pagination.page_of_parts(_endpoints(tx), "/v1/webhook_endpoints", given)


def _endpoints(tx: Transaction) -> list[StripeObject]:
    endpoint_settings = tx.endpoint_settings
    return [
        {
            "id": f"we_1{hashlib.sha256(url.encode()).hexdigest()[:22]}",
            "object": "webhook_endpoint",
            "api_version": endpoint_settings["api_version"],
            "application": None,
            "created": tx.now,
            "description": None,
            "enabled_events": endpoint_settings["enabled_events"],
            "livemode": tx.live,
            "metadata": {},
            "status": "enabled" if endpoint_settings["enabled"] else "disabled",
            "url": url,
        }
        for url in tx.setting("endpoints", [])
    ]
