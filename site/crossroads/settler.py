"""The settler: follows Stripe's events at once, and every few minutes whatever was missed."""

import time
from os import getpid
from secrets import token_hex
from socket import gethostname

import structlog
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from crossroads import orders, settlement, stripe_events
from crossroads.logs import first_line
from crossroads.loops import Loop
from crossroads.orders import Foreign
from crossroads.payments import Gateway, PaymentsError
from models import StripeEvent, now, writing

SWEEP_SECONDS = 180.0

log = structlog.get_logger("crossroads.worker")


class Settler(Loop):
    """Settles orders with Stripe, beside the mail and not in its way: Stripe may hang."""

    name = "settler"

    def __init__(self, engine: Engine, gateway: Gateway, base_url: str) -> None:
        super().__init__()
        self._engine = engine
        self._gateway = gateway
        self._base_url = base_url
        self._owner = f"{gethostname()[:32]}-{getpid()}-{token_hex(4)}"
        self._next_sweep = time.monotonic()

    def work(self) -> None:
        while not self.stopping and self._follow_next():
            pass
        if not self.stopping and time.monotonic() >= self._next_sweep:
            self._next_sweep = time.monotonic() + SWEEP_SECONDS
            for _ in settlement.sweep(self._engine, self._gateway, self._base_url):
                if self.stopping:
                    break

    def reason(self, error: Exception) -> str:
        return f"{type(error).__name__}: {first_line(error)}"

    def _follow_next(self) -> bool:
        """Follow the event that is due longest; False when there is none."""
        with Session(self._engine, expire_on_commit=False) as session:
            writing(session)
            event = stripe_events.claim(session, self._owner, now())
            session.commit()
        if event is None:
            return False
        try:
            order = self._order_of(event)
            if order is None:
                self._close(event)  # of another site on this account, or of an order not stored yet
            else:
                settlement.settle(self._engine, self._gateway, order, f"event {event.id}", event)
            log.info("event followed", kind=event.kind, order=order)
        except Foreign as error:
            log.warning("event of a foreign checkout", error=str(error))
            self._close(event)
        except PaymentsError as error:
            log.warning("event postponed", kind=event.kind, error=str(error))
            with Session(self._engine) as session:
                writing(session)
                stripe_events.postpone(session, event, str(error))
                session.commit()
        return True

    def _order_of(self, event: StripeEvent) -> int | None:
        """Return the number of the order that the event is about, asking Stripe whose payment."""
        if event.kind.startswith("checkout."):
            with Session(self._engine) as session:
                found = orders.by_session(session, event.object_id)
                return found.id if found else None
        payment = settlement.payment_of(self._gateway, event)
        with Session(self._engine) as session:
            found = orders.by_payment(session, payment)
            return found.id if found else None

    def _close(self, event: StripeEvent) -> None:
        with Session(self._engine) as session:
            writing(session)
            stripe_events.done(session, event.id)
            session.commit()
