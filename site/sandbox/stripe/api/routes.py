"""Routes of the API, each with its parameters and handler.

Source: the services of the SDK (stripe/checkout/_session_service.py and its siblings).
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from sandbox.stripe import pagination
from sandbox.stripe.objects import accounts, events
from sandbox.stripe.objects.checkout import invoices, promotions, session_parameters, sessions
from sandbox.stripe.objects.payments import disputes, payment_intents, refunds
from sandbox.stripe.parameters import Array, Parameters, Text, TimeRange
from sandbox.stripe.store import StripeObject

EXPAND_ONLY: Final = Parameters({"expand": Array(Text())})
INTENT: Final = Parameters({"expand": Array(Text()), "client_secret": Text()})
ITEMS: Final = Parameters(pagination.PAGING)
INTENTS: Final = Parameters(
    {**pagination.PAGING, "created": TimeRange(), "customer": Text()},
    unsupported=("customer_account",),
)
CHARGES: Final = Parameters(
    {**pagination.PAGING, "created": TimeRange(), "customer": Text(), "payment_intent": Text()},
    unsupported=("transfer_group",),
)


# Names of restricted keys' permissions (https://docs.stripe.com/keys#limit-access).
PERMISSIONS: Final = {
    "account": "accounts_kyc_basic", "balance": "balance", "charges": "charge",
    "checkout": "checkout_session", "coupons": "coupon",
    "disputes": "dispute", "events": "event", "invoices": "invoice",
    "payment_intents": "payment_intent", "promotion_codes": "promotion_code", "refunds": "charge",
    "webhook_endpoints": "webhook",
}  # fmt: skip


@dataclass(frozen=True)
class Route:
    """One method and path. Its `{id}` is an argument of the handler."""

    method: str
    path: str
    parameters: Parameters
    handler: Callable[..., StripeObject]

    @property
    def pattern(self) -> re.Pattern[str]:
        return re.compile(re.sub(r"\{id\}", r"(?P<id>[^/]+)", self.path))

    @property
    def permission(self) -> str:
        """The permission that a restricted key needs, as error messages name it."""
        return f"rak_{PERMISSIONS[self.path.split('/')[2]]}_{'write' if self.writes else 'read'}"

    @property
    def writes(self) -> bool:
        return self.method == "POST"


ROUTES: Final = [
    Route("POST", "/v1/checkout/sessions", session_parameters.CREATE, sessions.create),
    Route("GET", "/v1/checkout/sessions", session_parameters.LIST, sessions.index),
    Route("GET", "/v1/checkout/sessions/{id}", EXPAND_ONLY, sessions.retrieve),
    Route("GET", "/v1/checkout/sessions/{id}/line_items", ITEMS, sessions.line_items),
    Route("POST", "/v1/checkout/sessions/{id}/expire", EXPAND_ONLY, sessions.expire),
    Route("GET", "/v1/payment_intents", INTENTS, payment_intents.list_intents),
    Route("GET", "/v1/payment_intents/{id}", INTENT, payment_intents.retrieve),
    Route("GET", "/v1/charges", CHARGES, payment_intents.list_charges),
    Route("GET", "/v1/charges/{id}", EXPAND_ONLY, payment_intents.retrieve_charge),
    Route("POST", "/v1/refunds", refunds.CREATE, refunds.create),
    Route("GET", "/v1/refunds", refunds.LIST, refunds.index),
    Route("GET", "/v1/refunds/{id}", EXPAND_ONLY, refunds.retrieve),
    Route("POST", "/v1/refunds/{id}/cancel", EXPAND_ONLY, refunds.cancel),
    Route("GET", "/v1/disputes", disputes.LIST, disputes.index),
    Route("GET", "/v1/disputes/{id}", EXPAND_ONLY, disputes.retrieve),
    Route("GET", "/v1/invoices", invoices.LIST, invoices.index),
    Route("GET", "/v1/invoices/{id}", EXPAND_ONLY, invoices.retrieve),
    Route("GET", "/v1/promotion_codes", promotions.LIST, promotions.index),
    Route("GET", "/v1/promotion_codes/{id}", EXPAND_ONLY, promotions.retrieve),
    Route("GET", "/v1/coupons/{id}", EXPAND_ONLY, promotions.retrieve_coupon),
    Route("GET", "/v1/account", EXPAND_ONLY, accounts.account),
    Route("GET", "/v1/balance", EXPAND_ONLY, accounts.balance),
    Route("GET", "/v1/webhook_endpoints", ITEMS, accounts.endpoints),
    Route("GET", "/v1/webhook_endpoints/{id}", EXPAND_ONLY, accounts.endpoint),
    Route("GET", "/v1/events", events.LIST, events.index),
    Route("GET", "/v1/events/{id}", EXPAND_ONLY, events.retrieve),
]


def find(method: str, path: str) -> tuple[Route, dict[str, str]] | None:
    """Return the route of a path and the ids in it, None for an unknown path."""
    for route in ROUTES:
        match = route.pattern.fullmatch(path) if route.method == method else None
        if match:
            return route, match.groupdict()
    return None
