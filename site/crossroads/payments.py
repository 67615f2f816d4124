"""The Stripe gateway, the only importer of stripe: its objects end here, ours begin.

Every call may have worked at Stripe's end although it failed at ours. Calls that create carry an
idempotency key, so that asking again finds what was made.
https://docs.stripe.com/api/idempotent_requests
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from http import HTTPStatus
from threading import BoundedSemaphore
from typing import TYPE_CHECKING, Any, Literal, cast

if TYPE_CHECKING:
    import requests
    import stripe
    from stripe.checkout import Session as StripeSession

IN_REQUEST = (2.0, 8.0)  # seconds to connect and to answer while a buyer waits
WHOLE_REQUEST = 12.0  # for all calls of one request together: its page is there within 15
LEAST = 1.0  # seconds without which a call is not begun
IN_BACKGROUND = (3.0, 10.0)
RETRIES = 2
TOLERANCE = 300  # seconds that a signed event may be old

Status = Literal["open", "complete", "expired"]


class PaymentsError(Exception):
    """Stripe did not do what was asked. The text holds no secret."""


class PaymentsAway(PaymentsError):
    """Stripe cannot be reached or is in trouble; what was asked may have been done.

    `key_spent` means that Stripe keeps this failure as the answer to the idempotency key, or that
    the key was used for something else, as before BASE_URL changed: only a new key can succeed.
     https://docs.stripe.com/api/idempotent_requests
    """

    def __init__(self, text: str, *, key_spent: bool = False) -> None:
        super().__init__(text)
        self.key_spent = key_spent


class PaymentsDenied(PaymentsAway):
    """Stripe does not know the key, or it may not do this. What was asked before may be done."""


class PaymentsRefused(PaymentsError):
    """Stripe will not do this as asked, because of the parameter `param` if it says so."""

    def __init__(self, text: str, param: str | None = None) -> None:
        super().__init__(f"refused: {text}" + (f" ({param})" if param else ""))
        self.param = param


class BadEvent(PaymentsError):
    """What came to the webhook is no event signed by Stripe for us."""


@dataclass(frozen=True, kw_only=True)
class Purchase:
    """What is to be paid. Amounts count the currency's smallest unit."""

    reference: str
    key: str
    email: str
    item: str
    unit_amount: int
    currency: str
    quantity: int
    return_url: str
    expires_at: datetime


@dataclass(frozen=True, kw_only=True)
class Checkout:
    """A Checkout Session as it is at Stripe now. `failed`: a later payment did not come."""

    id: str
    reference: str | None
    status: Status
    paid: bool
    failed: bool
    url: str | None
    currency: str
    quantity: int
    amount_subtotal: int
    amount_discount: int
    amount_tax: int
    amount_total: int
    payment_intent: str | None
    created_at: datetime


@dataclass(frozen=True, kw_only=True)
class Event:
    """A verified event: a hint that the object behind it has changed."""

    id: str
    kind: str
    object_id: str
    live: bool


class Gateway:
    """Talks to one Stripe account. `base` points elsewhere than at Stripe in development.

    `waiting` bounds how many threads of this process may wait for an answer at once, so that a
    Stripe that hangs leaves the others free for readers; None means no bound.
    """

    def __init__(
        self,
        key: str,
        *,
        base: str = "",
        background: bool = False,
        waiting: int | None = None,
    ) -> None:
        self._key = key
        self._base = base
        self._background = background
        self._waiting = BoundedSemaphore(waiting) if waiting else None
        self._until: float | None = None

    def within(self, seconds: float) -> Gateway:
        """Return this gateway for one request, all of whose calls end in so many seconds.

        What is left of them bounds each call; one for which nothing is left raises PaymentsAway.
        """
        _ = self._connections  # made here, they are shared with every copy
        hurried = copy(self)
        hurried._until = time.monotonic() + seconds
        return hurried

    @property
    def live(self) -> bool:
        """Whether the key moves real money."""
        return "_live_" in self._key

    def payment_page(self, payment_intent: str) -> str:
        """Return the address where staff look at a payment: Stripe's dashboard, or its stand-in."""
        if self._base:
            return f"{self._base}/stripe/#{payment_intent}"
        mode = "" if self.live else "test/"
        return f"https://dashboard.stripe.com/{mode}payments/{payment_intent}"

    def check(self) -> None:
        """Ask Stripe for one Checkout Session, whichever, to see whether it answers to this key.

        Raises PaymentsDenied, PaymentsAway and PaymentsRefused.
        https://docs.stripe.com/api/checkout/sessions/list
        """
        with self._turn(), _our_errors():
            if not isinstance(self._client().v1.checkout.sessions.list({"limit": 1}).data, list):
                raise TypeError("expected a list")

    def create(self, purchase: Purchase) -> Checkout:
        """Create the Checkout Session of a purchase, or find the one made with the same key.

        Raises PaymentsAway and PaymentsRefused.
        https://docs.stripe.com/api/checkout/sessions/create
        """
        return self._call(
            lambda client: client.v1.checkout.sessions.create(
                {
                    "mode": "payment",
                    "line_items": [
                        {
                            "quantity": purchase.quantity,
                            "price_data": {
                                "currency": purchase.currency.lower(),
                                "unit_amount": purchase.unit_amount,
                                "product_data": {"name": purchase.item},
                            },
                        }
                    ],
                    "client_reference_id": purchase.reference,
                    "customer_email": purchase.email,
                    "metadata": {"order": purchase.reference},
                    # Not copied there by itself, and a dispute leads to the payment alone.
                    "payment_intent_data": {"metadata": {"order": purchase.reference}},
                    "success_url": purchase.return_url,
                    "cancel_url": purchase.return_url,
                    "expires_at": int(purchase.expires_at.timestamp()),
                    "submit_type": "book",
                    "locale": "auto",
                    "expand": ["line_items", "payment_intent"],
                },
                {"idempotency_key": purchase.key},
            )
        )

    def retrieve(self, session_id: str) -> Checkout:
        """Return the Checkout Session as it is now. Raises PaymentsAway and PaymentsRefused."""
        return self._call(
            lambda client: client.v1.checkout.sessions.retrieve(
                session_id, {"expand": ["line_items", "payment_intent"]}
            )
        )

    def expire(self, session_id: str) -> Checkout:
        """End an open Checkout Session; one that has ended is returned as it is.

        https://docs.stripe.com/api/checkout/sessions/expire
        """
        try:
            return self._call(
                lambda client: client.v1.checkout.sessions.expire(
                    session_id, {"expand": ["line_items", "payment_intent"]}
                )
            )
        except PaymentsRefused:
            return self.retrieve(session_id)

    def verify(self, body: bytes, signature: str | None, secrets: list[str]) -> Event:
        """Return the event in a webhook's raw body, signed with one of the secrets.

        Raises BadEvent, whatever is wrong with it: the SDK itself raises half a dozen kinds.
        https://docs.stripe.com/webhooks#verify-official-libraries
        """
        import stripe

        for secret in secrets:
            try:
                found = stripe.Webhook.construct_event(
                    body, signature, secret, TOLERANCE, api_key=self._key
                )
                return Event(
                    id=found.id,
                    kind=found.type,
                    object_id=str(found.data.object["id"]),
                    live=found.livemode,
                )
            except stripe.SignatureVerificationError:
                continue
            except Exception as error:
                raise BadEvent(type(error).__name__) from None
        raise BadEvent("no secret of ours signed it")

    def _call(self, ask: Callable[[stripe.StripeClient], StripeSession]) -> Checkout:
        with self._turn(), _our_errors():
            return _checkout(ask(self._client()))

    @contextmanager
    def _turn(self) -> Iterator[None]:
        if self._waiting is None:
            yield
            return
        if not self._waiting.acquire(blocking=False):
            raise PaymentsAway("too many buyers are waiting for Stripe already")
        try:
            yield
        finally:
            self._waiting.release()

    @cached_property
    def _connections(self) -> requests.Session:
        import requests

        return requests.Session()

    def _client(self) -> stripe.StripeClient:
        import stripe  # most of a second: not at the start of a process that may never sell

        stripe.enable_telemetry = False  # it would write into the home folder
        return stripe.StripeClient(
            self._key,
            http_client=stripe.RequestsClient(timeout=self._timeout(), session=self._connections),
            max_network_retries=RETRIES if self._background else 0,
            base_addresses={"api": self._base} if self._base else None,
        )

    def _timeout(self) -> tuple[float, float]:
        connect, answer = IN_BACKGROUND if self._background else IN_REQUEST
        if self._until is None:
            return connect, answer
        left = self._until - time.monotonic()
        if left < LEAST:
            raise PaymentsAway("no time was left to ask Stripe")
        connect = min(connect, left / 2)
        return connect, min(answer, left - connect)


def _checkout(session: StripeSession) -> Checkout:
    """Copy what we need out of Stripe's object. Raises whatever a wrong object makes it raise."""
    if session.object != "checkout.session":
        raise TypeError(f"expected a checkout.session, not {session.object}")
    details = session.total_details
    intent = session.payment_intent
    items = session.line_items
    return Checkout(
        id=session.id,
        reference=session.client_reference_id,
        status=cast(Status, session.status or "open"),
        paid=session.payment_status in ("paid", "no_payment_required"),
        failed=_has_failed(session, intent),
        url=session.url,
        currency=(session.currency or "").upper(),
        quantity=sum(item.quantity or 0 for item in items.data) if items else 0,
        amount_subtotal=session.amount_subtotal or 0,
        amount_discount=details.amount_discount if details else 0,
        amount_tax=details.amount_tax if details else 0,
        amount_total=session.amount_total or 0,
        payment_intent=intent if isinstance(intent, str) else intent.id if intent else None,
        created_at=datetime.fromtimestamp(session.created, UTC),
    )


def _has_failed(session: StripeSession, intent: Any) -> bool:
    """Tell whether a payment that was to come later will not come.

    The session itself stays complete and unpaid for ever; only its payment knows.
    https://docs.stripe.com/payments/paymentintents/lifecycle
    """
    return (
        session.status == "complete"
        and session.payment_status == "unpaid"
        and not isinstance(intent, str | None)
        and intent.status in ("requires_payment_method", "canceled")
    )


@contextmanager
def _our_errors() -> Iterator[None]:
    import stripe

    try:
        yield
    except stripe.InvalidRequestError as error:
        raise PaymentsRefused(f"{error.code or 'invalid request'}", error.param) from None
    # A key that is refused says nothing of what was done with it before: it counts as trouble.
    except (stripe.AuthenticationError, stripe.PermissionError) as error:
        raise PaymentsDenied(type(error).__name__) from None
    except stripe.StripeError as error:
        changed = isinstance(error, stripe.IdempotencyError) and error.http_status == 400
        spent = changed or error.http_status == HTTPStatus.INTERNAL_SERVER_ERROR
        raise PaymentsAway(type(error).__name__, key_spent=spent) from None
    # An answer that is no Stripe object: cut off, of another type, or not even text.
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise PaymentsAway(f"answer not understood: {type(error).__name__}") from None
