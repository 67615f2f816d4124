"""The webhook sender: a thread that sends due deliveries and runs due jobs."""

import logging
from collections.abc import Sequence
from threading import Event, Lock, Thread
from typing import Final

from sandbox.stripe.objects import due_jobs, events
from sandbox.stripe.store import Store
from sandbox.stripe.webhooks import deliveries
from sandbox.stripe.webhooks.deliveries import Delivery

MAX_CONCURRENT: Final = 8  # deliveries at the same time
MAX_SLEEP: Final = 5.0  # seconds, as the clock may be moved

log = logging.getLogger(__name__)


class WebhookSender:
    """Works in its own thread until closed; interrupted deliveries are sent again at a start."""

    def __init__(
        self, store: Store, retry_delays: Sequence[float] = deliveries.RETRY_DELAYS
    ) -> None:
        self._store, self._retry_delays = store, retry_delays
        self._closing = Event()
        self._in_flight, self._count_lock = 0, Lock()
        with store.writing() as tx:
            deliveries.requeue_interrupted(tx)
        self._thread = Thread(target=self._run, name="webhook-sender", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop, without waiting for deliveries in flight."""
        self._closing.set()
        self._store.changed.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._closing.is_set():
            self._store.changed.clear()
            try:
                due_jobs.run_due(self._store)
                self._send_due()
                pause = self._sleep_seconds()
            except Exception:  # a dead thread would look like lost webhooks
                log.exception("The sandbox could not run what is due; it tries again.")
                pause = 1.0
            self._store.changed.wait(pause)

    def _send_due(self) -> None:
        with self._store.reading() as tx:
            due = deliveries.next_due(tx)
            if due is None or due > tx.time:
                return
        with self._store.writing() as tx:
            claimed = deliveries.claim_due(tx, MAX_CONCURRENT - self._in_flight)
        for delivery in claimed:
            self._add_in_flight(1)
            Thread(target=self._deliver, args=(delivery,), name="delivery", daemon=True).start()

    def _deliver(self, delivery: Delivery) -> None:
        try:
            with self._store.reading() as tx:
                payload = events.payload(tx, delivery.event)
                secrets = tx.setting("secrets", [])
            if payload is None:  # all was reset meanwhile
                return
            reply = deliveries.send(delivery.endpoint, payload, secrets)
            if self._closing.is_set():
                return  # as if killed: sent again after the next start
            with self._store.writing() as tx:
                deliveries.record_reply(tx, delivery.number, reply, self._retry_delays)
        except Exception:
            log.exception("A delivery failed.")
        finally:
            self._add_in_flight(-1)
            self._store.changed.set()

    def _add_in_flight(self, more: int) -> None:
        with self._count_lock:
            self._in_flight += more

    def _sleep_seconds(self) -> float:
        """Return the seconds to sleep if nothing changes."""
        with self._store.reading() as tx:
            dues = (deliveries.next_due(tx), due_jobs.next_due(tx))
            now = tx.time
        if self._in_flight >= MAX_CONCURRENT:  # a delivery that ends wakes the thread
            dues = (None, dues[1])
        soonest = min((due - now for due in dues if due is not None), default=MAX_SLEEP)
        return max(0.0, min(soonest, MAX_SLEEP))
