"""Event consumer: processes Stripe's webhook events as they arrive."""

import structlog
from sqlalchemy import Engine

from crossroads.database import leases
from crossroads.database.writing_session import writing_session
from crossroads.fulfillment import matching, settlement, webhook_events
from crossroads.orders.lifecycle import ForeignCheckout
from crossroads.payments import Gateway, PaymentsError
from crossroads.worker.loop import Loop
from models import now

log = structlog.get_logger("crossroads.worker")


class EventConsumer(Loop):
    """Settles orders in its own thread, so that a slow Stripe does not delay mail."""

    name = "settler"

    def __init__(
        self, engine: Engine, gateway: Gateway, base_url: str, owner: str | None = None
    ) -> None:
        super().__init__()
        self._engine = engine
        self._gateway = gateway
        self._base_url = base_url
        self._owner = owner or leases.new_owner()

    def work(self) -> None:
        while not self.stopping and self._follow_next():
            pass

    def _follow_next(self) -> bool:
        """Process the event that has been due longest; False when there is none."""
        with writing_session(self._engine, expire_on_commit=False) as session:
            event = webhook_events.claim(session, self._owner, now())
        if event is None:
            return False
        try:
            order = matching.order_of(self._engine, self._gateway, event)
            if order is None:
                settlement.close(self._engine, event)  # of another site on this account
            else:
                settlement.settle(self._engine, self._gateway, order, f"event {event.id}", event)
            log.info("event followed", kind=event.kind, order=order)
        except ForeignCheckout as error:
            log.warning("event of a foreign checkout", error=str(error))
            settlement.close(self._engine, event)
        except PaymentsError as error:
            log.warning("event postponed", kind=event.kind, error=str(error))
            settlement.postpone(self._engine, event, error)
        return True
