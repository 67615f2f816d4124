"""Refunds and disputes of a payment: sends requested refunds to Stripe, and stores the results.

No transaction is open during calls to Stripe.
"""

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from crossroads.database.writing_session import writing_session
from crossroads.fulfillment import other_accounts, webhook_events
from crossroads.orders import disputes, duplicate_payments, ledger, projections, refunds
from crossroads.payments import Gateway, PaymentsRefused, PaymentsUnavailable, Refund
from models import Order, StripeEvent
from models.order import OrderState


def settle_payment(
    engine: Engine, gateway: Gateway, order_id: int, cause: str, event: StripeEvent | None = None
) -> OrderState:
    """Make the requested refunds, and record every refund and dispute of the order's payments.

    Raises PaymentsUnavailable and PaymentsRefused. A retry refunds nothing twice.
    """
    with Session(engine, expire_on_commit=False) as session:
        order = session.get_one(Order, order_id)
        balance = ledger.balance_of(session, order)
    payment = order.payment_intent
    try:
        found = list(gateway.refunds(payment)) if payment else []
    except PaymentsRefused as error:
        if not other_accounts.is_elsewhere(gateway, order, error):
            raise
        return other_accounts.refuse_refunds(engine, order, balance, cause, event)
    refused, needless = {}, []
    # An answer may be lost, and a key is valid for a day: existing refunds are checked first.
    for refund in refunds.missing(balance, found) if payment else ():
        amount = refunds.due(refund, balance, found)
        if not amount:
            needless.append(refund)
            continue
        try:
            found.append(_return(engine, gateway, order, refund, amount, cause))
        except PaymentsRefused as error:
            refused[refund.reference] = error.code or str(error)
    payments = [*([payment] if payment else []), *(one.reference for one in balance.duplicates)]
    try:
        twice = [
            (one, *_return_duplicate(engine, gateway, order_id, one, cause))
            for one in balance.duplicates
        ]
        disputed = [dispute for each in payments for dispute in gateway.disputes(each)]
    except PaymentsRefused as error:
        if not other_accounts.is_elsewhere(gateway, order, error):
            raise
        return other_accounts.refuse_refunds(engine, order, balance, cause, event)
    with writing_session(engine) as session:
        order = ledger.lock(session, order_id)
        for one in found:
            refunds.record_status(session, order, one, cause)
        for reference, reason in refused.items():
            refunds.record_refusal(session, order, reference, reason, cause)
        for refund in needless:
            refunds.dismiss(session, order, refund, cause)
        for duplicate, returned, reason in twice:
            duplicate_payments.record_status(session, order, duplicate, returned, cause)
            if reason:
                duplicate_payments.record_refusal(session, order, duplicate, reason, cause)
        for dispute in disputed:
            disputes.record_status(session, order, dispute, cause)
        if event is not None:
            webhook_events.done(session, event.id)
        return ledger.balance_of(session, order).state


def _return(
    engine: Engine,
    gateway: Gateway,
    order: Order,
    refund: projections.RefundState,
    amount: int,
    cause: str,
) -> Refund:
    try:
        return gateway.refund(
            str(order.payment_intent),
            amount,
            key=refunds.key(refund),
            reference=refund.reference,
        )
    except PaymentsUnavailable as error:
        if error.key_spent:
            with writing_session(engine) as session:
                refunds.retry_with_new_key(session, order.id, refund.reference, cause)
        raise


def _return_duplicate(
    engine: Engine, gateway: Gateway, order_id: int, duplicate: projections.RefundState, cause: str
) -> tuple[list[Refund], str]:
    """Return a duplicate's refunds, newest first, and why Stripe refused the one missing, if so."""
    found = list(gateway.refunds(duplicate.reference))
    if not duplicate_payments.missing(duplicate, found):
        return found, ""
    try:
        key = duplicate_payments.key(duplicate)
        found.insert(0, gateway.refund(duplicate.reference, None, key=key, reference=key))
    except PaymentsRefused as error:
        return found, error.code or str(error)
    except PaymentsUnavailable as error:
        if error.key_spent:
            with writing_session(engine) as session:
                duplicate_payments.retry_with_new_key(session, order_id, duplicate, cause)
        raise
    return found, ""
