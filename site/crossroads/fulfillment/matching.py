"""Matching: finds the order that an event or a checkout at Stripe belongs to."""

from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from crossroads.database import identity
from crossroads.orders import lifecycle as orders
from crossroads.orders.checkout import placement
from crossroads.payments import Charge, Checkout, Dispute, Gateway, PaymentsRefused, Refund
from models import StripeEvent, writing

T = TypeVar("T")


def order_of(engine: Engine, gateway: Gateway, event: StripeEvent) -> int | None:
    """Return the number of the order that an event is about, None when it is not one of ours.

    Raises PaymentsUnavailable and PaymentsRefused.
    """
    if event.kind.startswith("checkout."):
        with Session(engine) as session:
            known = orders.find_by_session(session, event.object_id)
            if known is not None:
                return known.id
        checkout = _there(lambda: gateway.retrieve(event.object_id))
        return order_of_checkout(engine, gateway, checkout) if checkout else None
    payment = _payment_of(gateway, event)
    with Session(engine) as session:
        found = orders.find_by_payment(session, payment)
        return found.id if found else None


def order_of_checkout(engine: Engine, gateway: Gateway, checkout: Checkout) -> int | None:
    """Return the number of the order that a checkout belongs to, None when it is not one of ours.

    A copy belongs to the order of the original checkout, also through other copies. Stores the
    checkout on the order if it is missing there: the process that created it may have ended
    between Stripe's answer and the commit.
    """
    while checkout.recovered_from is not None:
        checkout = gateway.retrieve(checkout.recovered_from)
    with Session(engine) as session:
        writing(session)
        if not identity.is_ours(session, checkout.site):
            return None
        order = orders.find(session, checkout.reference) if checkout.reference else None
        if order is None or placement.attach(session, order.id, checkout).session_id != checkout.id:
            return None
        session.commit()
        return order.id


def _payment_of(gateway: Gateway, event: StripeEvent) -> str | None:
    """Return the payment that an event about a charge, a refund or a dispute leads to."""
    look: Callable[[str], Charge | Refund | Dispute] = gateway.retrieve_refund
    if event.kind.startswith("charge.dispute."):
        look = gateway.retrieve_dispute
    elif event.kind.startswith("charge."):
        look = gateway.retrieve_charge
    found = _there(lambda: look(event.object_id))
    return found.payment_intent if found else None


def _there(look: Callable[[], T]) -> T | None:
    """Return the object, None when the key's account has none: it belongs to another account.

    Raises PaymentsUnavailable and PaymentsRefused.
    """
    try:
        return look()
    except PaymentsRefused as error:
        if error.code == "resource_missing":
            return None
        raise
