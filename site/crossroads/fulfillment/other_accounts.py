"""Orders that were placed with the key of another Stripe account, or of the other mode."""

from typing import Final

from sqlalchemy import Engine

from crossroads.database import identity
from crossroads.database.writing_session import writing_session
from crossroads.fulfillment import webhook_events
from crossroads.orders import duplicate_payments, ledger, refunds
from crossroads.orders import lifecycle as orders
from crossroads.payments import Gateway, PaymentsRefused
from models import Order, StripeEvent
from models.order import ELSEWHERE, OrderEventKind, OrderState
from models.site import LIVE

OTHER_MODE: Final = "other_mode"  # our own code of a refusal: Stripe is not asked


class PaymentElsewhere(PaymentsRefused):
    """An order's payment is on its way in another account than the key's."""

    def __init__(self) -> None:
        super().__init__(code="resource_missing")
        self.args = (
            "its payment is on its way in another Stripe account: ask for it there, or put the key "
            "of that account back",
        )


def of_other_mode(gateway: Gateway, order: Order) -> bool:
    """Tell whether an order was placed with a key of the other mode."""
    return order.mode not in (identity.UNKNOWN, identity.mode_of(live=gateway.live))


def refused_by_mode(error: PaymentsRefused) -> bool:
    """Tell whether we refused the call ourselves, because the order is in the other mode.

    The order may have a checkout then. If Stripe itself refuses to create one, it has none.
    """
    return error.code == OTHER_MODE


def is_elsewhere(gateway: Gateway, order: Order, error: PaymentsRefused) -> bool:
    """Tell whether a refusal means that the order's payment is not in the key's account.

    Only Stripe's own error object has that code: a proxy's 404 has none. A test key sees no live
    checkout, which says nothing about it.
    https://docs.stripe.com/error-codes#resource-missing
    """
    hidden = order.mode == LIVE and not gateway.live
    return error.code == "resource_missing" and not hidden


def end(
    engine: Engine, order: Order, kind: OrderEventKind, cause: str, event: StripeEvent | None = None
) -> OrderState:
    """End an unpaid order that this account does not know, and mark the event done.

    The sweep checks it again with a key of the order's account. Raises PaymentElsewhere when its
    payment is on its way: the order keeps its seats, and staff decide.
    """
    with writing_session(engine) as session:
        locked = ledger.lock(session, order.id)
        pending = ledger.balance_of(session, locked).state == OrderState.PENDING
        if not pending:
            orders.end(session, locked, kind, cause, ELSEWHERE)
        if event is not None:
            webhook_events.done(session, event.id)
        state = ledger.balance_of(session, locked).state
    if pending:
        raise PaymentElsewhere
    return state


def refuse_refunds(
    engine: Engine,
    order: Order,
    balance: ledger.Balance,
    cause: str,
    event: StripeEvent | None = None,
) -> OrderState:
    """Mark the refunds of a payment that this account does not know as refused: staff decide."""
    with writing_session(engine) as session:
        locked = ledger.lock(session, order.id)
        for refund in refunds.missing(balance, ()):
            refunds.record_refusal(session, locked, refund.reference, ELSEWHERE, cause)
        for duplicate in balance.duplicates:
            if duplicate.asked:
                duplicate_payments.record_refusal(session, locked, duplicate, ELSEWHERE, cause)
        if event is not None:
            webhook_events.done(session, event.id)
        return ledger.balance_of(session, locked).state
