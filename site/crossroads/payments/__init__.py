"""The Stripe gateway, the only importer of stripe: it returns dataclasses of our own.

A call that failed here may have succeeded at Stripe. Calls that create an object carry an
idempotency key, so that a retry finds that object.
https://docs.stripe.com/api/idempotent_requests
"""

from crossroads.payments.accounts import Account, Endpoint
from crossroads.payments.checkouts import Checkout, Options, Presentment, Purchase, TaxId
from crossroads.payments.connection import WHOLE_REQUEST
from crossroads.payments.disputes import Dispute
from crossroads.payments.errors import (
    BadEvent,
    PaymentsBusy,
    PaymentsDenied,
    PaymentsError,
    PaymentsForbidden,
    PaymentsRefused,
    PaymentsUnavailable,
    PaymentsUnclear,
    TooManyCalls,
    Why,
    is_our_fault,
    why,
)
from crossroads.payments.events import TOLERANCE, Event
from crossroads.payments.gateway import Gateway
from crossroads.payments.invoices import Invoice
from crossroads.payments.refunds import Charge, Refund

__all__ = [
    "TOLERANCE",
    "WHOLE_REQUEST",
    "Account",
    "BadEvent",
    "Charge",
    "Checkout",
    "Dispute",
    "Endpoint",
    "Event",
    "Gateway",
    "Invoice",
    "Options",
    "PaymentsBusy",
    "PaymentsDenied",
    "PaymentsError",
    "PaymentsForbidden",
    "PaymentsRefused",
    "PaymentsUnavailable",
    "PaymentsUnclear",
    "Presentment",
    "Purchase",
    "Refund",
    "TaxId",
    "TooManyCalls",
    "Why",
    "is_our_fault",
    "why",
]
