"""Buying: what a buyer's try to pay does to the session, the payment and the charge."""

from dataclasses import asdict, dataclass
from typing import Literal

from sandbox.stripe.errors import state
from sandbox.stripe.objects.checkout import pricing, sessions
from sandbox.stripe.objects.checkout.session_object import address
from sandbox.stripe.objects.payments import payment_intents
from sandbox.stripe.objects.payments.cards import BANK_REFUSED, UNAUTHENTICATED, Card, Instrument
from sandbox.stripe.store import Books, Thing

Result = Literal["done", "authenticate", "declined"]


@dataclass(frozen=True)
class Buyer:
    """Who pays, as typed on the pay page."""

    email: str
    name: str | None = None
    terms: bool = False
    tax_id: dict[str, str] | None = None


def pay(
    books: Books,
    session: Thing,
    buyer: Buyer,
    instrument: Instrument | None,
    settle_seconds: float,
) -> tuple[Result, str]:
    """Try to pay an open session; return the result, and what to tell the buyer.

    Without an instrument there must be nothing to pay. A declined try leaves the session open, as
    Stripe does. Postponed payments settle, and disputes come, by themselves after `settle_seconds`.
    """
    pricing.fix(books, session)
    if instrument is None:
        if session["payment_intent"]:  # tried, and then a code left nothing to pay
            payment_intents.cancel(books, session["payment_intent"], "abandoned")
            session["payment_intent"] = None
        sessions.complete(books, session, "no_payment_required", **asdict(buyer))
        return "done", ""
    intent, billing = payment_intents.begin(books, session), _billing(buyer)
    if instrument.outcome == "declined" and instrument.decline:
        payment_intents.decline(books, intent, instrument, billing, instrument.decline)
        return "declined", instrument.decline.message
    if instrument.outcome == "authenticate":
        payment_intents.ask(books, intent, f"{books.url}/pay/{session['id']}/authenticate")
        books.update(session, trying={"buyer": asdict(buyer), "instrument": asdict(instrument)})
        return "authenticate", ""
    if instrument.outcome in ("later", "never"):
        _customer(session, intent)
        payment_intents.postpone(books, intent, instrument, billing)
        books.update(intent, arrives=instrument.outcome == "later")
        books.plan("settle", intent["id"], books.time + settle_seconds)
        sessions.complete(books, session, "unpaid", **asdict(buyer))
        return "done", ""
    _customer(session, intent)
    charge = payment_intents.succeed(books, intent, instrument, billing)
    books.update(charge, outcome=instrument.outcome)
    if instrument.outcome == "disputed":
        books.plan("dispute", charge["id"], books.time + settle_seconds)
    sessions.complete(books, session, "paid", **asdict(buyer))
    return "done", ""


def authenticate(books: Books, session: Thing, proven: bool) -> tuple[Result, str]:
    """Take the answer of the authentication page, and charge the card if it was the right one."""
    pricing.fix(books, session)  # a code may have been redeemed meanwhile
    trying = books.hidden(session["id"])["trying"]
    buyer, intent = Buyer(**trying["buyer"]), payment_intents.begin(books, session)
    if intent["status"] != "requires_action":  # the page was open twice
        return "declined", UNAUTHENTICATED.message
    if not proven:
        payment_intents.distrust(books, intent, UNAUTHENTICATED)
        return "declined", UNAUTHENTICATED.message
    _customer(session, intent)
    card = Card(**{**trying["instrument"], "decline": None})
    payment_intents.succeed(books, intent, card, _billing(buyer))
    sessions.complete(books, session, "paid", **asdict(buyer))
    return "done", ""


def settle(books: Books, id: str, arrives: bool | None = None) -> None:  # noqa: A002
    """End a postponed payment: as its bank account says, or as told.

    Raises Refusal when the payment is not waiting for anything.
    """
    intent = payment_intents.retrieve(books, id, {})
    if intent["status"] != "processing":
        raise state(f"This PaymentIntent's status is {intent['status']}: nothing is to settle.")
    books.unplan("settle", id)
    session = sessions.of_intent(books, id)
    if books.hidden(id)["arrives"] if arrives is None else arrives:
        payment_intents.arrive(books, intent)
        sessions.settle(books, session, paid=True)
    else:
        payment_intents.bounce(books, intent, BANK_REFUSED)
        sessions.settle(books, session, paid=False)


def _customer(session: Thing, intent: Thing) -> None:
    """Name the customer that the session makes, so that the payment carries it from the start."""
    if sessions.wants_customer(session):
        session["customer"] = intent["customer"] = sessions.customer()


def _billing(buyer: Buyer) -> Thing:
    return {
        "address": address("US"),
        "email": buyer.email,
        "name": buyer.name,
        "phone": None,
        "tax_id": None,
    }
