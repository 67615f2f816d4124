"""Calls to the API: every address it answers, with the parameters it takes there.

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

ONE: Final = Parameters({"expand": Array(Text())})
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


# What the rights of restricted keys are called. (https://docs.stripe.com/keys#limit-access)
RIGHTS: Final = {
    "account": "accounts_kyc_basic", "balance": "balance", "charges": "charge",
    "checkout": "checkout_session", "coupons": "coupon",
    "disputes": "dispute", "events": "event", "invoices": "invoice",
    "payment_intents": "payment_intent", "promotion_codes": "promotion_code", "refunds": "charge",
    "webhook_endpoints": "webhook",
}  # fmt: skip


@dataclass(frozen=True)
class Call:
    """One address with one method. `{id}` in it is handed to the verb."""

    method: str
    path: str
    parameters: Parameters
    verb: Callable[..., StripeObject]

    @property
    def pattern(self) -> re.Pattern[str]:
        return re.compile(re.sub(r"\{id\}", r"(?P<id>[^/]+)", self.path))

    @property
    def right(self) -> str:
        """What a restricted key needs for it, as Stripe names it in its refusal."""
        return f"rak_{RIGHTS[self.path.split('/')[2]]}_{'write' if self.writes else 'read'}"

    @property
    def writes(self) -> bool:
        return self.method == "POST"


CALLS: Final = [
    Call("POST", "/v1/checkout/sessions", session_parameters.CREATE, sessions.create),
    Call("GET", "/v1/checkout/sessions", session_parameters.LIST, sessions.index),
    Call("GET", "/v1/checkout/sessions/{id}", ONE, sessions.retrieve),
    Call("GET", "/v1/checkout/sessions/{id}/line_items", ITEMS, sessions.line_items),
    Call("POST", "/v1/checkout/sessions/{id}/expire", ONE, sessions.expire),
    Call("GET", "/v1/payment_intents", INTENTS, payment_intents.list_intents),
    Call("GET", "/v1/payment_intents/{id}", INTENT, payment_intents.retrieve),
    Call("GET", "/v1/charges", CHARGES, payment_intents.list_charges),
    Call("GET", "/v1/charges/{id}", ONE, payment_intents.retrieve_charge),
    Call("POST", "/v1/refunds", refunds.CREATE, refunds.create),
    Call("GET", "/v1/refunds", refunds.LIST, refunds.index),
    Call("GET", "/v1/refunds/{id}", ONE, refunds.retrieve),
    Call("POST", "/v1/refunds/{id}/cancel", ONE, refunds.cancel),
    Call("GET", "/v1/disputes", disputes.LIST, disputes.index),
    Call("GET", "/v1/disputes/{id}", ONE, disputes.retrieve),
    Call("GET", "/v1/invoices", invoices.LIST, invoices.index),
    Call("GET", "/v1/invoices/{id}", ONE, invoices.retrieve),
    Call("GET", "/v1/promotion_codes", promotions.LIST, promotions.index),
    Call("GET", "/v1/promotion_codes/{id}", ONE, promotions.retrieve),
    Call("GET", "/v1/coupons/{id}", ONE, promotions.retrieve_coupon),
    Call("GET", "/v1/account", ONE, accounts.account),
    Call("GET", "/v1/balance", ONE, accounts.balance),
    Call("GET", "/v1/webhook_endpoints", ITEMS, accounts.endpoints),
    Call("GET", "/v1/webhook_endpoints/{id}", ONE, accounts.endpoint),
    Call("GET", "/v1/events", events.LIST, events.index),
    Call("GET", "/v1/events/{id}", ONE, events.retrieve),
]


def find(method: str, path: str) -> tuple[Call, dict[str, str]] | None:
    """Return the call of an address and the id in it, None for one Stripe does not know."""
    for call in CALLS:
        match = call.pattern.fullmatch(path) if call.method == method else None
        if match:
            return call, match.groupdict()
    return None
