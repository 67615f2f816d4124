"""Payment attempts: their effect on the session, the payment intent and the charge."""

from dataclasses import asdict, dataclass
from typing import Literal

from sandbox.stripe.errors import invalid_state
from sandbox.stripe.objects.checkout import pricing, sessions
from sandbox.stripe.objects.checkout.session_object import address
from sandbox.stripe.objects.payments import payment_intents
from sandbox.stripe.objects.payments.cards import BANK_REFUSED, UNAUTHENTICATED, Card, Instrument
from sandbox.stripe.store import StripeObject, Transaction

Result = Literal["done", "authenticate", "declined"]


@dataclass(frozen=True)
class Buyer:
    """The buyer's details, as typed on the payment page."""

    email: str
    name: str | None = None
    terms: bool = False
    tax_id: dict[str, str] | None = None


def pay(
    tx: Transaction,
    session: StripeObject,
    buyer: Buyer,
    instrument: Instrument | None,
    settle_seconds: float,
) -> tuple[Result, str]:
    """Try to pay an open session; return the result and a message for the buyer.

    Without an instrument there must be nothing to pay. A declined attempt leaves the session open,
    as at Stripe. Processing payments settle and disputes open after `settle_seconds`.
    """
    pricing.store_price(tx, session)
    if instrument is None:
        if session["payment_intent"]:  # tried before a code reduced the total to zero
            payment_intents.cancel(tx, session["payment_intent"], "abandoned")
            session["payment_intent"] = None
        sessions.complete(tx, session, "no_payment_required", **asdict(buyer))
        return "done", ""
    intent, billing = payment_intents.get_or_create(tx, session), _billing_details(buyer)
    if instrument.outcome == "declined" and instrument.decline:
        payment_intents.decline(tx, intent, instrument, billing, instrument.decline)
        return "declined", instrument.decline.message
    if instrument.outcome == "authenticate":
        payment_intents.require_action(tx, intent, f"{tx.url}/pay/{session['id']}/authenticate")
        tx.update(session, attempt={"buyer": asdict(buyer), "instrument": asdict(instrument)})
        return "authenticate", ""
    if instrument.outcome in ("later", "never"):
        _set_customer(session, intent)
        payment_intents.start_processing(tx, intent, instrument, billing)
        tx.update(intent, arrives=instrument.outcome == "later")
        tx.schedule("settle", intent["id"], tx.time + settle_seconds)
        sessions.complete(tx, session, "unpaid", **asdict(buyer))
        return "done", ""
    _set_customer(session, intent)
    charge = payment_intents.succeed(tx, intent, instrument, billing)
    tx.update(charge, outcome=instrument.outcome)
    if instrument.outcome == "disputed":
        tx.schedule("dispute", charge["id"], tx.time + settle_seconds)
    sessions.complete(tx, session, "paid", **asdict(buyer))
    return "done", ""


def authenticate(tx: Transaction, session: StripeObject, proven: bool) -> tuple[Result, str]:
    """Charge the card if the buyer completed the authentication."""
    pricing.store_price(tx, session)  # a code may have been redeemed meanwhile
    attempt = tx.hidden(session["id"])["attempt"]
    buyer, intent = Buyer(**attempt["buyer"]), payment_intents.get_or_create(tx, session)
    if intent["status"] != "requires_action":  # answered before, in another tab
        return "declined", UNAUTHENTICATED.message
    if not proven:
        payment_intents.fail_authentication(tx, intent, UNAUTHENTICATED)
        return "declined", UNAUTHENTICATED.message
    _set_customer(session, intent)
    card = Card(**{**attempt["instrument"], "decline": None})
    payment_intents.succeed(tx, intent, card, _billing_details(buyer))
    sessions.complete(tx, session, "paid", **asdict(buyer))
    return "done", ""


def settle(tx: Transaction, id: str, arrives: bool | None = None) -> None:  # noqa: A002
    """End a processing payment: as its test bank account defines, or as `arrives` says.

    Raises ApiError when the payment is not waiting for anything.
    """
    intent = payment_intents.retrieve(tx, id, {})
    if intent["status"] != "processing":
        raise invalid_state(
            f"This PaymentIntent's status is {intent['status']}: there is nothing to settle."
        )
    tx.unschedule("settle", id)
    session = sessions.by_payment_intent(tx, id)
    if tx.hidden(id)["arrives"] if arrives is None else arrives:
        payment_intents.complete_processing(tx, intent)
        sessions.record_async_payment(tx, session, paid=True)
    else:
        payment_intents.fail_processing(tx, intent, BANK_REFUSED)
        sessions.record_async_payment(tx, session, paid=False)


def _set_customer(session: StripeObject, intent: StripeObject) -> None:
    """Set the session's new customer on the payment, before it is paid."""
    if sessions.creates_customer(session):
        session["customer"] = intent["customer"] = sessions.new_customer_id()


def _billing_details(buyer: Buyer) -> StripeObject:
    return {
        "address": address("US"),
        "email": buyer.email,
        "name": buyer.name,
        "phone": None,
        "tax_id": None,
    }
