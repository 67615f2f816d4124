"""A stand-in for Stripe: its API, its pay page, its webhooks, and a page to play Stripe with.

It speaks what https://docs.stripe.com/api describes for one-time payments through Checkout, and
refuses in words what it does not stand in for. State lies in one SQLite file.
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
from sandbox.stripe.webhooks.sender import Postman

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


@dataclass(frozen=True, kw_only=True)
class Setup:
    """How to stand in. `url` is the sandbox's own address, without a slash at the end.

    Every endpoint gets every event, signed with every secret. Pauses lie between the tries of a
    delivery; delayed payments settle by themselves. Both in seconds.
    """

    folder: Path
    url: str
    endpoints: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()
    pauses: tuple[float, ...] = deliveries.PAUSES
    settle_seconds: float = 20.0


class Stripe:
    """The stand-in at work: its rooms by address, and its thread until closed."""

    def __init__(self, setup: Setup) -> None:
        store = Store(setup.folder / "stripe.db", setup.url)
        with store.writing() as tx:
            promotions.create_defaults(tx)
            if setup.endpoints:
                tx.set("endpoints", list(setup.endpoints))
            if setup.secrets:
                tx.set("secrets", list(setup.secrets))
        self.rooms: dict[str, WSGIApplication] = {
            "/v1": create_api(store),
            "/pay": create_pay_page(store, setup.settle_seconds),
            "/stripe": create_control(store),
        }
        self._store = store
        self._postman = Postman(store, setup.pauses)

    def close(self) -> None:
        """Stop delivering. What was to be delivered is at the next start."""
        self._postman.close()
        self._store.close()
