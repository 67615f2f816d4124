"""Checkout opener: opens checkouts at Stripe for the buyers in the queue."""

from logging import ERROR, WARNING

import structlog
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from crossroads.database.writing_session import writing_session
from crossroads.fulfillment import checkouts
from crossroads.orders import ledger
from crossroads.orders.checkout import queue
from crossroads.payments import Gateway, PaymentsError, is_our_fault, why
from crossroads.worker.loop import Loop
from models import CheckoutRequest, Order, now

AT_ONCE = 3  # loops in one process, as many as threads of a web worker that wait for Stripe

log = structlog.get_logger("crossroads.worker")


class CheckoutOpener(Loop):
    """Serves the queue, one order at a time; several loops run in parallel."""

    name = "checkout opener"

    def __init__(self, engine: Engine, gateway: Gateway, base_url: str) -> None:
        super().__init__()
        self._engine = engine
        self._gateway = gateway
        self._base_url = base_url

    def work(self) -> None:
        while not self.stopping and self._is_due() and self._open_next():
            pass

    def _is_due(self) -> bool:
        """Check without a lock first: on SQLite a lock blocks all other writers."""
        with Session(self._engine) as session:
            return queue.any_due(session, now())

    def _open_next(self) -> bool:
        """Open the checkout of the order that has waited longest; False when there is none."""
        with writing_session(self._engine, expire_on_commit=False) as session:
            job = queue.claim(session, now())
            order = session.get_one(Order, job.order_id) if job else None
            wanted = order is not None and ledger.balance_of(session, order).state == "open"
            if job is not None and not wanted:
                queue.remove(session, job.order_id)
        if job is None or order is None:
            return False
        if wanted:
            self._open(job, order)
        return True

    def _open(self, job: CheckoutRequest, order: Order) -> None:
        # A prompt error is better for the buyer than a longer wait.
        gateway = self._gateway.with_time_limit(queue.ATTEMPT)
        try:
            checkouts.open_checkout(self._engine, gateway, order, self._base_url)
            log.info("checkout opened", order=order.id, attempt=job.attempts)
        except PaymentsError as error:
            log.log(
                ERROR if is_our_fault(error) else WARNING,
                "checkout not opened",
                order=order.id,
                attempt=job.attempts,
                error=str(error),
            )
            with writing_session(self._engine) as session:
                if is_our_fault(error):
                    queue.give_up(session, job, why(error))
                else:
                    queue.postpone(session, job)
