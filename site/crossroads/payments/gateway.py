"""The gateway: every call to Stripe, one method each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Final

from crossroads.payments.accounts import Account, Endpoint, account, account_id, endpoint
from crossroads.payments.checkouts import Checkout, Purchase, checkout, session_params
from crossroads.payments.connection import Connection
from crossroads.payments.disputes import Dispute, dispute
from crossroads.payments.errors import PaymentsForbidden, PaymentsRefused
from crossroads.payments.events import Event, event, verified
from crossroads.payments.invoices import Invoice, invoice
from crossroads.payments.refunds import REFERENCE, Charge, Refund, charge, refund

if TYPE_CHECKING:
    from stripe.params import (
        ChargeListParams,
        DisputeListParams,
        EventListParams,
        RefundCreateParams,
        RefundListParams,
        WebhookEndpointListParams,
    )
    from stripe.params.checkout import SessionListParams

WHOLE: Final = ["line_items", "payment_intent"]  # what a checkout is read with
WHOLE_EACH: Final = [f"data.{part}" for part in WHOLE]
TRIAL: Final = {"made_by": "flask doctor"}  # the metadata of what belongs to no order


class Gateway(Connection):
    """The calls to one Stripe account.

    Each call raises PaymentsUnavailable and PaymentsRefused, never an exception of the SDK. A list
    yields its objects newest first, from all pages.
    """

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

    @property
    def version(self) -> str:
        """The API version that is spoken with Stripe."""
        import stripe

        return stripe.api_version

    def create(self, purchase: Purchase) -> Checkout:
        """Create the Checkout Session of a purchase, or find the one made with the same key.

        https://docs.stripe.com/api/checkout/sessions/create
        """
        params = session_params(purchase)
        return self._ask(
            lambda client: client.v1.checkout.sessions.create(
                params, {"idempotency_key": purchase.key}
            ),
            checkout,
        )

    def create_and_expire(self, purchase: Purchase) -> Checkout:
        """Open a checkout as `create` does, and end it. It is of no order: no note names one."""
        params = session_params(purchase)
        params["metadata"] = TRIAL
        params["payment_intent_data"] = {"metadata": TRIAL}
        made = self._ask(
            lambda client: client.v1.checkout.sessions.create(
                params, {"idempotency_key": purchase.key}
            ),
            checkout,
        )
        return self.expire(made.id)

    def retrieve(self, session_id: str) -> Checkout:
        """Return the Checkout Session as it is now."""
        return self._ask(
            lambda client: client.v1.checkout.sessions.retrieve(session_id, {"expand": WHOLE}),
            checkout,
        )

    def expire(self, session_id: str) -> Checkout:
        """End an open Checkout Session; one that has ended is returned as it is.

        https://docs.stripe.com/api/checkout/sessions/expire
        """
        try:
            return self._ask(
                lambda client: client.v1.checkout.sessions.expire(session_id, {"expand": WHOLE}),
                checkout,
            )
        except PaymentsRefused:
            return self.retrieve(session_id)

    def checkouts(self, since: datetime, *, email: str = "") -> Iterator[Checkout]:
        """Yield the Checkout Sessions made since a moment, that one included, or a buyer's alone.

        https://docs.stripe.com/api/checkout/sessions/list
        """
        asked: SessionListParams = {
            "created": {"gte": int(since.timestamp())},
            "expand": WHOLE_EACH,
        }
        if email:
            asked["customer_details"] = {"email": email}
        return self._every(asked, lambda client: client.v1.checkout.sessions.list(asked), checkout)

    def newest_checkout(self) -> Checkout | None:
        """Return the newest Checkout Session of the account, None when it has none."""
        asked: SessionListParams = {"expand": WHOLE_EACH, "limit": 1}
        return self._first(lambda client: client.v1.checkout.sessions.list(asked), checkout)

    def refund(
        self, payment_intent: str, amount: int | None, *, key: str, reference: str
    ) -> Refund:
        """Give back an amount of a payment, or all that is left of it, once for each key.

        PaymentsRefused names as its code what stands against it: charge_already_refunded,
        charge_disputed. https://docs.stripe.com/api/refunds/create
        """
        params: RefundCreateParams = {
            "payment_intent": payment_intent,
            "reason": "requested_by_customer",
            "metadata": {REFERENCE: reference},
        }
        if amount is not None:
            params["amount"] = amount
        return self._ask(
            lambda client: client.v1.refunds.create(params, {"idempotency_key": key}), refund
        )

    def retrieve_refund(self, refund_id: str) -> Refund:
        """Return the refund as it is now. https://docs.stripe.com/api/refunds/retrieve"""
        return self._ask(lambda client: client.v1.refunds.retrieve(refund_id), refund)

    def refunds(
        self, payment_intent: str | None = None, *, since: datetime | None = None
    ) -> Iterator[Refund]:
        """Yield refunds, those made in the dashboard too: of a payment, or made since a moment.

        https://docs.stripe.com/api/refunds/list
        """
        asked: RefundListParams = {}
        if payment_intent is not None:
            asked["payment_intent"] = payment_intent
        if since is not None:
            asked["created"] = {"gte": int(since.timestamp())}
        return self._every(asked, lambda client: client.v1.refunds.list(asked), refund)

    def newest_refund(self) -> Refund | None:
        """Return the newest refund of the account, None when it has none."""
        return self._first(lambda client: client.v1.refunds.list({"limit": 1}), refund)

    def retrieve_charge(self, charge_id: str) -> Charge:
        """Return the charge as it is now. https://docs.stripe.com/api/charges/retrieve"""
        return self._ask(lambda client: client.v1.charges.retrieve(charge_id), charge)

    def charges(self, payment_intent: str) -> Iterator[Charge]:
        """Yield the charges of a payment; those declined are not paid.

        https://docs.stripe.com/api/charges/list
        """
        asked: ChargeListParams = {"payment_intent": payment_intent}
        return self._every(asked, lambda client: client.v1.charges.list(asked), charge)

    def retrieve_dispute(self, dispute_id: str) -> Dispute:
        """Return the dispute as it is now. https://docs.stripe.com/api/disputes/retrieve"""
        return self._ask(lambda client: client.v1.disputes.retrieve(dispute_id), dispute)

    def disputes(
        self, payment_intent: str | None = None, *, since: datetime | None = None
    ) -> Iterator[Dispute]:
        """Yield disputes: about a payment, or opened since a moment.

        https://docs.stripe.com/api/disputes/list
        """
        asked: DisputeListParams = {}
        if payment_intent is not None:
            asked["payment_intent"] = payment_intent
        if since is not None:
            asked["created"] = {"gte": int(since.timestamp())}
        return self._every(asked, lambda client: client.v1.disputes.list(asked), dispute)

    def retrieve_invoice(self, invoice_id: str) -> Invoice:
        """Return the invoice as it is now. https://docs.stripe.com/api/invoices/retrieve"""
        return self._ask(lambda client: client.v1.invoices.retrieve(invoice_id), invoice)

    def newest_invoice(self) -> Invoice | None:
        """Return the newest invoice of the account, None when it has none.

        https://docs.stripe.com/api/invoices/list
        """
        return self._first(lambda client: client.v1.invoices.list({"limit": 1}), invoice)

    def events(self, since: datetime, kinds: Sequence[str] = ()) -> Iterator[Event]:
        """Yield the events since a moment, that one included, of up to 20 kinds or of all.

        Stripe keeps them for 30 days. https://docs.stripe.com/api/events/list
        """
        asked: EventListParams = {"created": {"gte": int(since.timestamp())}}
        if kinds:
            asked["types"] = list(kinds)
        return self._every(asked, lambda client: client.v1.events.list(asked), event)

    def verify(self, body: bytes, signature: str | None, secrets: list[str]) -> Event:
        """Return the event in a webhook's raw body, signed with one of the secrets.

        Raises BadEvent, whatever is wrong with it.
        """
        return verified(body, signature, secrets)

    def account(self) -> Account:
        """Return what Stripe says of the key itself. https://docs.stripe.com/api/balance"""
        return self._ask(lambda client: client.v1.balance.retrieve(), account)

    def account_id(self) -> str | None:
        """Return the id of the account behind the key, None for a key that may not ask for it.

        A restricted key needs a right of Connect's for it, which not all can be given.
        https://docs.stripe.com/api/accounts/retrieve
        """
        try:
            return self._ask(lambda client: client.v1.accounts.retrieve_current(), account_id)
        except PaymentsForbidden:
            return None

    def endpoints(self) -> Iterator[Endpoint]:
        """Yield where Stripe sends events, without their secrets, which it never shows again.

        https://docs.stripe.com/api/webhook_endpoints/list
        """
        asked: WebhookEndpointListParams = {}
        return self._every(asked, lambda client: client.v1.webhook_endpoints.list(asked), endpoint)
