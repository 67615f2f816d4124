"""Objects of the sandbox, made and read through the SDK."""

import re
from html import unescape

from stripe import Charge, PaymentIntent, StripeClient
from stripe.checkout import Session

from tests.support.sandbox_server import session_params

PAYS_LATER = "AT321904300235473204"


def made(sdk: StripeClient, **changes: object) -> Session:
    return sdk.v1.checkout.sessions.create(session_params(**changes))


def read(sdk: StripeClient, session: Session) -> tuple[Session, PaymentIntent, Charge]:
    """Return a session with its payment and its last charge."""
    expand = ["payment_intent.latest_charge"]
    found = sdk.v1.checkout.sessions.retrieve(session.id, {"expand": expand})
    assert isinstance(found.payment_intent, PaymentIntent)
    assert isinstance(found.payment_intent.latest_charge, Charge)
    return found, found.payment_intent, found.payment_intent.latest_charge


def types(sdk: StripeClient) -> list[str]:
    """Return the types of all events, oldest first."""
    return [str(event.type) for event in sdk.v1.events.list({"limit": 100}).data][::-1]


def words(text: str) -> str:
    """Return the text of a page."""
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", text)))
