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

WHOLE: Final = ["line_items", "payment_intent"]  # expansions with which a checkout is read
WHOLE_EACH: Final = [f"data.{part}" for part in WHOLE]
TRIAL: Final = {"made_by": "flask doctor"}  # metadata of a checkout that belongs to no order


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
        """Return the URL of a payment for staff, in Stripe's dashboard or in the sandbox."""
        if self._base:
            return f"{self._base}/stripe/#{payment_intent}"
        mode = "" if self.live else "test/"
        return f"https://dashboard.stripe.com/{mode}payments/{payment_intent}"

    @property
    def version(self) -> str:
        """The version of Stripe's API that all calls use."""
        import stripe

        return stripe.api_version

    def create(self, purchase: Purchase) -> Checkout:
        """Create the Checkout Session of a purchase, or return the one created with the same key.

        https://docs.stripe.com/api/checkout/sessions/create
        """
        params = session_params(purchase)
        return self._call(
            lambda client: client.v1.checkout.sessions.create(
                params, {"idempotency_key": purchase.key}
            ),
            checkout,
        )

    def create_and_expire(self, purchase: Purchase) -> Checkout:
        """Create a checkout as `create` does and expire it. Its metadata names no order."""
        params = session_params(purchase)
        params["metadata"] = TRIAL
        params["payment_intent_data"] = {"metadata": TRIAL}
        made = self._call(
            lambda client: client.v1.checkout.sessions.create(
                params, {"idempotency_key": purchase.key}
            ),
            checkout,
        )
        return self.expire(made.id)

    def retrieve(self, session_id: str) -> Checkout:
        """Return the Checkout Session."""
        return self._call(
            lambda client: client.v1.checkout.sessions.retrieve(session_id, {"expand": WHOLE}),
            checkout,
        )

    def expire(self, session_id: str) -> Checkout:
        """Expire an open Checkout Session; return one that has ended unchanged.

        https://docs.stripe.com/api/checkout/sessions/expire
        """
        try:
            return self._call(
                lambda client: client.v1.checkout.sessions.expire(session_id, {"expand": WHOLE}),
                checkout,
            )
        except PaymentsRefused:
            return self.retrieve(session_id)

    def checkouts(self, since: datetime, *, email: str = "") -> Iterator[Checkout]:
        """Yield the Checkout Sessions created at or after a time; with `email` only that buyer's.

        https://docs.stripe.com/api/checkout/sessions/list
        """
        params: SessionListParams = {
            "created": {"gte": int(since.timestamp())},
            "expand": WHOLE_EACH,
        }
        if email:
            params["customer_details"] = {"email": email}
        return self._list(params, lambda client: client.v1.checkout.sessions.list(params), checkout)

    def newest_checkout(self) -> Checkout | None:
        """Return the newest Checkout Session of the account; None when it has none."""
        params: SessionListParams = {"expand": WHOLE_EACH, "limit": 1}
        return self._first(lambda client: client.v1.checkout.sessions.list(params), checkout)

    def refund(
        self, payment_intent: str, amount: int | None, *, key: str, reference: str
    ) -> Refund:
        """Refund an amount of a payment, or everything left of it, once for each key.

        Codes of PaymentsRefused include charge_already_refunded and charge_disputed.
        https://docs.stripe.com/api/refunds/create
        """
        params: RefundCreateParams = {
            "payment_intent": payment_intent,
            "reason": "requested_by_customer",
            "metadata": {REFERENCE: reference},
        }
        if amount is not None:
            params["amount"] = amount
        return self._call(
            lambda client: client.v1.refunds.create(params, {"idempotency_key": key}), refund
        )

    def retrieve_refund(self, refund_id: str) -> Refund:
        """Return the refund. https://docs.stripe.com/api/refunds/retrieve"""
        return self._call(lambda client: client.v1.refunds.retrieve(refund_id), refund)

    def refunds(
        self, payment_intent: str | None = None, *, since: datetime | None = None
    ) -> Iterator[Refund]:
        """Yield refunds, including those of the dashboard: of a payment, or since a time.

        https://docs.stripe.com/api/refunds/list
        """
        params: RefundListParams = {}
        if payment_intent is not None:
            params["payment_intent"] = payment_intent
        if since is not None:
            params["created"] = {"gte": int(since.timestamp())}
        return self._list(params, lambda client: client.v1.refunds.list(params), refund)

    def newest_refund(self) -> Refund | None:
        """Return the newest refund of the account; None when it has none."""
        return self._first(lambda client: client.v1.refunds.list({"limit": 1}), refund)

    def retrieve_charge(self, charge_id: str) -> Charge:
        """Return the charge. https://docs.stripe.com/api/charges/retrieve"""
        return self._call(lambda client: client.v1.charges.retrieve(charge_id), charge)

    def charges(self, payment_intent: str) -> Iterator[Charge]:
        """Yield the charges of a payment; declined ones are not paid.

        https://docs.stripe.com/api/charges/list
        """
        params: ChargeListParams = {"payment_intent": payment_intent}
        return self._list(params, lambda client: client.v1.charges.list(params), charge)

    def retrieve_dispute(self, dispute_id: str) -> Dispute:
        """Return the dispute. https://docs.stripe.com/api/disputes/retrieve"""
        return self._call(lambda client: client.v1.disputes.retrieve(dispute_id), dispute)

    def disputes(
        self, payment_intent: str | None = None, *, since: datetime | None = None
    ) -> Iterator[Dispute]:
        """Yield disputes: of a payment, or opened since a time.

        https://docs.stripe.com/api/disputes/list
        """
        params: DisputeListParams = {}
        if payment_intent is not None:
            params["payment_intent"] = payment_intent
        if since is not None:
            params["created"] = {"gte": int(since.timestamp())}
        return self._list(params, lambda client: client.v1.disputes.list(params), dispute)

    def retrieve_invoice(self, invoice_id: str) -> Invoice:
        """Return the invoice. https://docs.stripe.com/api/invoices/retrieve"""
        return self._call(lambda client: client.v1.invoices.retrieve(invoice_id), invoice)

    def newest_invoice(self) -> Invoice | None:
        """Return the newest invoice of the account; None when it has none.

        https://docs.stripe.com/api/invoices/list
        """
        return self._first(lambda client: client.v1.invoices.list({"limit": 1}), invoice)

    def events(self, since: datetime, kinds: Sequence[str] = ()) -> Iterator[Event]:
        """Yield the events created at or after a time, of up to 20 kinds or of all.

        Stripe keeps them for 30 days. https://docs.stripe.com/api/events/list
        """
        params: EventListParams = {"created": {"gte": int(since.timestamp())}}
        if kinds:
            params["types"] = list(kinds)
        return self._list(params, lambda client: client.v1.events.list(params), event)

    def verify(self, body: bytes, signature: str | None, secrets: list[str]) -> Event:
        """Verify a webhook's raw body with each secret; return its event. Raises BadEvent."""
        return verified(body, signature, secrets)

    def account(self) -> Account:
        """Return the account of the key. https://docs.stripe.com/api/balance"""
        return self._call(lambda client: client.v1.balance.retrieve(), account)

    def account_id(self) -> str | None:
        """Return the id of the key's account; None when the key lacks the permission.

        A restricted key needs a permission of Connect, which not every account can grant.
        https://docs.stripe.com/api/accounts/retrieve
        """
        try:
            return self._call(lambda client: client.v1.accounts.retrieve_current(), account_id)
        except PaymentsForbidden:
            return None

    def endpoints(self) -> Iterator[Endpoint]:
        """Yield the account's webhook endpoints, without their secrets: Stripe shows those once.

        https://docs.stripe.com/api/webhook_endpoints/list
        """
        params: WebhookEndpointListParams = {}
        return self._list(params, lambda client: client.v1.webhook_endpoints.list(params), endpoint)
