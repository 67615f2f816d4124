"""What is set up at Stripe: the balance behind the key, and the webhook endpoints.

Source: https://docs.stripe.com/api/balance, https://docs.stripe.com/api/webhook_endpoints
"""

import hashlib
from typing import Any

from sandbox.stripe import pagination
from sandbox.stripe.errors import no_such
from sandbox.stripe.store import Books, Thing


def balance(books: Books, _given: dict[str, Any]) -> Thing:
    """Return what an account holds: nothing, as no money moves here."""
    nothing = {"amount": 0, "currency": "usd", "source_types": {"card": 0}}
    return {
        "object": "balance",
        "available": [nothing],
        "connect_reserved": None,
        "instant_available": None,
        "issuing": None,
        "livemode": books.live,
        "pending": [nothing],
        "refund_and_dispute_prefunding": None,
    }


def account(books: Books, _given: dict[str, Any]) -> Thing:
    """Return the account behind the key, with what Stripe always sends and some of the rest.

    Source: https://docs.stripe.com/api/accounts/object
    """
    return {
        "id": books.setting("account", ""),
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


def endpoint(books: Books, id: str, _given: dict[str, Any]) -> Thing:  # noqa: A002
    """Return a webhook endpoint. Its secret is told when it is made and never again."""
    for one in _endpoints(books):
        if one["id"] == id:
            return one
    raise no_such("webhook_endpoint", id, "webhook_endpoint")


def endpoints(books: Books, given: dict[str, Any]) -> Thing:
    """Return the webhook endpoints."""
    return pagination.whole(_endpoints(books), "/v1/webhook_endpoints", given)


def _endpoints(books: Books) -> list[Thing]:
    hears = books.hears
    return [
        {
            "id": f"we_1{hashlib.sha256(url.encode()).hexdigest()[:22]}",
            "object": "webhook_endpoint",
            "api_version": hears["api_version"],
            "application": None,
            "created": books.now,
            "description": None,
            "enabled_events": hears["enabled_events"],
            "livemode": books.live,
            "metadata": {},
            "status": "enabled" if hears["enabled"] else "disabled",
            "url": url,
        }
        for url in books.setting("endpoints", [])
    ]
