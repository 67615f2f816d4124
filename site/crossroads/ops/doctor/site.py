"""Checks this site at Stripe: the account of its orders, and lost payments."""

from collections.abc import Iterator

from sqlalchemy import Engine, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from crossroads.database import identity
from crossroads.database.writing_session import writing_session
from crossroads.ops.doctor.finding import Finding, unclear
from crossroads.orders.checkout import lost_checkouts
from crossroads.payments import Account, Gateway, PaymentsError, PaymentsUnclear
from models import Reconciliation


def examine(engine: Engine, gateway: Gateway, account: Account | None) -> Iterator[Finding]:
    """Yield the findings; `account` is None when Stripe accepts no key."""
    try:
        with Session(engine) as session:
            lost = lost_checkouts.awaiting_staff(session)
            yield from (Finding("wrong", lost_checkouts.describe(one)) for one in lost)
            never = session.scalar(select(Reconciliation.read_until)) is None
        if never and account is not None:
            yield Finding(
                "note",
                "Stripe's list was never read for this database: if it is a restored backup, run "
                "flask reconcile before flask serve, as numbers of orders may be given again",
            )
        if account is not None:
            yield from _account(engine, gateway)
    except SQLAlchemyError:
        return  # reported by the check of the database
    except PaymentsUnclear as error:
        yield unclear("Stripe account", error)
    except PaymentsError as error:
        yield Finding("wrong", f"Stripe does not say whose key it is: {error}")


def _account(engine: Engine, gateway: Gateway) -> Iterator[Finding]:
    found = gateway.account_id()
    if found is None:
        yield Finding(
            "note",
            "Stripe account: the restricted key may not ask which it is, so a change of account "
            "is only noticed by orders whose checkout is gone",
        )
        return
    with writing_session(engine) as session:
        other = identity.record_account(session, found)
    if other is None:
        yield Finding("fine", f"Stripe account {found}")
    else:
        yield Finding(
            "wrong",
            f"STRIPE_SECRET_KEY: is of account {found}, and orders here were made in {other}: "
            "unpaid ones end, and paid ones cannot be refunded. Put the other key back, or if the "
            "change is intended, run flask reconcile --new-account",
        )
