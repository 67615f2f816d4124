"""The Stripe sandbox: API, payment page, webhooks and a control page.

It implements https://docs.stripe.com/api for one-time payments through Checkout and refuses
everything else with a message. Its state is in one SQLite file.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sandbox.stripe.api.app import create_api
from sandbox.stripe.objects.checkout import promotions
from sandbox.stripe.pages.control import create_control
from sandbox.stripe.pages.pay_page import create_pay_page
from sandbox.stripe.store import Store
from sandbox.stripe.webhooks import deliveries
from sandbox.stripe.webhooks.sender import WebhookSender

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


@dataclass(frozen=True, kw_only=True)
class StripeSetup:
    """Options of the sandbox. `url` is its own address, without a slash at the end.

    Every endpoint gets every event, signed with every secret. `retry_delays` are the seconds
    between attempts of a delivery; a delayed payment settles after `settle_seconds`.
    """

    folder: Path
    url: str
    endpoints: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()
    retry_delays: tuple[float, ...] = deliveries.RETRY_DELAYS
    settle_seconds: float = 20.0


class StripeSandbox:
    """The running sandbox: its WSGI apps by path, and the webhook thread until closed."""

    def __init__(self, setup: StripeSetup) -> None:
        store = Store(setup.folder / "stripe.db", setup.url)
        with store.writing() as tx:
            promotions.create_defaults(tx)
            if setup.endpoints:
                tx.set("endpoints", list(setup.endpoints))
            if setup.secrets:
                tx.set("secrets", list(setup.secrets))
        self.apps: dict[str, WSGIApplication] = {
            "/v1": create_api(store),
            "/pay": create_pay_page(store, setup.settle_seconds),
            "/stripe": create_control(store),
        }
        self._store = store
        self._sender = WebhookSender(store, setup.retry_delays)

    def close(self) -> None:
        """Stop delivering. Due deliveries are sent after the next start."""
        self._sender.close()
        self._store.close()
