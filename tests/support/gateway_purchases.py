"""Purchases made with a gateway."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

from crossroads.payments import (
    Checkout,
    Gateway,
    Purchase,
)
from models import now
from tests.support.sandbox_server import SandboxServer

LATER_PAYS = "AT321904300235473204"


def purchase(**given: Any) -> Purchase:
    asked = Purchase(
        reference="order-token",
        site="a-site",
        number=7,
        course="ai-pm-bootcamp",
        cohort="2027-01",
        key="order-token-1",
        email="ada@example.com",
        item="AI PM Bootcamp & Certification, January 2027",
        unit_amount=120_000,
        currency="USD",
        quantity=2,
        return_url="http://localhost/orders/order-token",
        terms_url="http://localhost/terms",
        expires_at=now() + timedelta(minutes=32),
    )
    return replace(asked, **given)


LIVE = "sk_live_" + "abc"


def bought(gateway: Gateway, sandbox: SandboxServer, *, iban: str = "", key: str = "1") -> Checkout:
    """Return a paid checkout of 2,400.00 USD."""
    made = gateway.create(purchase(key=key))
    if iban:
        sandbox.pay(str(made.url), iban=iban)
        sandbox.control("settle", id=str(gateway.retrieve(made.id).payment_intent))
    else:
        sandbox.pay(str(made.url))
    return gateway.retrieve(made.id)
