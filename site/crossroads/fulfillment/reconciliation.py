"""Reconciliation: finds changes at Stripe that this site missed, applies and reports them.

A sweep asks Stripe about every open order, whatever its age. For all others it reads the events
that Stripe keeps, and processes those that were never delivered. One sweep runs at a time, and
starts where the last successful one ended.
"""

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from itertools import islice
from typing import Final, TypeVar

from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session

from crossroads.database import identity
from crossroads.database.writing_session import writing_session
from crossroads.fulfillment import checkouts, drifts, matching, recovery, settlement, webhook_events
from crossroads.fulfillment.drifts import Drift
from crossroads.fulfillment.sweep_lease import SweepLease, SweepStopped
from crossroads.orders import ledger
from crossroads.orders import lifecycle as orders
from crossroads.orders.checkout import lost_checkouts
from crossroads.orders.lifecycle import RECOVERABLE, ForeignCheckout
from crossroads.payments import (
    Event,
    Gateway,
    PaymentsBusy,
    PaymentsDenied,
    PaymentsError,
    PaymentsForbidden,
    PaymentsUnavailable,
)
from models import (
    LostCheckout,
    Order,
    OrderEvent,
    Reconciliation,
    StripeEvent,
    now,
)
from models.order import OrderState

T = TypeVar("T")

CAUSE: Final = "sweep"
SWEEP_AFTER: Final = timedelta(minutes=2)  # until then the buyer's own request opens the checkout
OVERLAP: Final = timedelta(hours=1)  # clocks differ, and Stripe may list an event late
LISTED: Final = timedelta(days=29)  # of 30. https://docs.stripe.com/api/events/list
BATCH: Final = 100
TROUBLES: Final = 3  # failed calls in a row after which the rest is left for the next sweep


class Sweep:
    """One sweep. Its counts can be read while it runs.

    `orders` and `events` count the checked ones, `foreign` the events of other sites. `left`
    describes failures, which the next sweep retries. `lost` are paid checkouts whose order is not
    in this database: staff enroll or refund each.
    """

    def __init__(
        self,
        engine: Engine,
        gateway: Gateway,
        base_url: str,
        owner: str,
        stopping: Callable[[], bool] = lambda: False,
        *,
        suppression_key: str = "",
    ) -> None:
        self._engine = engine
        self._gateway = gateway
        self._base_url = base_url
        self._owner = owner
        self._lease = SweepLease(engine, owner, stopping)
        self._suppression_key = suppression_key
        self._seen: set[int] = set()
        self._known: set[str] = set()  # lost checkouts: their events are not of others
        self._account: str | None = None  # of the key; also None when the key may not read it
        self._own = False
        self._troubles = 0
        self.events = 0
        self.foreign = 0
        self.left: list[str] = []
        self.lost: Sequence[LostCheckout] = ()

    @property
    def orders(self) -> int:
        return len(self._seen)

    def run(self) -> Generator[Drift, None, None]:
        """Settle everything that was missed, and yield it. Raises AlreadyRunning."""
        started = now()
        self._lease.take(started)
        try:
            self._meet()
            since = self._since()
            yield from self._catch_up()
            yield from self._read(since, started)
            yield from self._ask()
            self._look_after_lost()
        except SweepStopped as end:
            if end.reason:
                self.left.append(end.reason)
        finally:
            self._lease.release()
            with Session(self._engine, expire_on_commit=False) as session:
                self.lost = lost_checkouts.awaiting_staff(session)

    def _meet(self) -> None:
        """Store the key's account and mode. With a live key, test orders stop to count."""
        try:
            self._account = self._gateway.account_id()
        except PaymentsError as error:
            self._trouble("the account of the key", error)
            return
        with writing_session(self._engine) as session:
            self._own = identity.record_key(session, self._account, live=self._gateway.live)

    def _find_lost(self, since: datetime) -> None:
        key = self._suppression_key
        for _ in recovery.find_lost(self._engine, self._gateway, since, key):
            self._lease.renew()
        with Session(self._engine) as session:
            self._known = set(lost_checkouts.undecided(session, live=self._gateway.live))

    def _look_after_lost(self) -> None:
        for session_id, error in recovery.check_session(self._engine, self._gateway, CAUSE):
            self._lease.renew()
            if error is not None:
                self._trouble(f"lost checkout {session_id}", error)

    def _catch_up(self) -> Iterator[Drift]:
        """Process the received events that are not done yet."""
        with Session(self._engine) as session:
            waiting = webhook_events.pending(session)
        for ids in _batches(waiting):
            yield from self._follow(ids)

    def _read(self, since: datetime, started: datetime) -> Iterator[Drift]:
        """Process the events that Stripe lists, then store the time until which they were read."""
        try:
            self._find_lost(since)
            if since < started - LISTED:
                yield from self._read_objects(since)
            kinds = sorted(webhook_events.FOLLOWED)
            for batch in _batches(self._gateway.events(since, kinds)):
                events = [
                    event
                    for event in batch
                    if event.live == self._gateway.live and event.followable
                ]
                self.events += len(events)
                yield from self._follow([event.id for event in events], events)
        except PaymentsError as error:
            self._trouble("the events that Stripe lists were not read", error)
        else:
            self._have_read(started)

    def _have_read(self, until: datetime) -> None:
        """Store the time until which all was read, but only for the site's own account and mode."""
        with writing_session(self._engine) as session:
            if self._own and identity.is_own(session, self._account, live=self._gateway.live):
                identity.store_read_until(session, self._owner, until)

    def _follow(self, ids: Sequence[str], listed: Sequence[Event] = ()) -> Iterator[Drift]:
        with writing_session(self._engine, expire_on_commit=False) as session:
            if listed:
                webhook_events.receive(session, listed, delivered=False)
            taken = webhook_events.take(session, ids, self._owner, now())
        for event in taken:
            self._lease.renew()
            try:
                number = matching.order_of(self._engine, self._gateway, event)
            except PaymentsError as error:
                settlement.postpone(self._engine, event, error)
                self._trouble(f"event {event.id}", error)
                continue
            if number is None:
                self.foreign += event.object_id not in self._known
            # It was settled after this had happened. A copy of its checkout tells something else.
            known = number in self._seen and not event.kind.startswith("checkout.")
            if number is None or known:
                settlement.close(self._engine, event)
                continue
            never = "came and was not followed yet" if event.delivered else "never came"
            yield from self._settle(number, f"{event.kind} {event.id} {never}", event)

    def _read_objects(self, since: datetime) -> Iterator[Drift]:
        """Settle orders by their objects at Stripe, for a period whose events are deleted."""
        cause = "its events are no longer listed"
        for checkout in self._gateway.checkouts(since):
            number = matching.order_of_checkout(self._engine, self._gateway, checkout)
            if number is not None and checkout.recovered_from is not None:
                self._lease.renew()
                yield from self._settle(number, cause, copy_id=checkout.id)
            else:
                yield from self._settle_once(number, cause)
        for listed in (self._gateway.refunds(since=since), self._gateway.disputes(since=since)):
            for one in listed:
                with Session(self._engine) as session:
                    found = orders.find_by_payment(session, one.payment_intent)
                    number = found.id if found else None
                yield from self._settle_once(number, cause)

    def _ask(self) -> Iterator[Drift]:
        """Ask Stripe about every order that may still change, whatever its age."""
        with Session(self._engine) as session:
            live = self._gateway.live
            open_ = list(ledger.unfinished(session, now() - SWEEP_AFTER, live=live))
            open_ += ledger.unsettled(session, live=live)
            if self._own:
                open_ += ledger.of_another_account(session, now() - RECOVERABLE, live=live)
        for number in open_:
            yield from self._settle_once(number, "no event told of it")

    def _settle_once(self, number: int | None, cause: str) -> Iterator[Drift]:
        self._lease.renew()
        if number is not None and number not in self._seen:
            yield from self._settle(number, cause)

    def _settle(
        self,
        number: int,
        cause: str,
        event: StripeEvent | None = None,
        copy_id: str | None = None,
    ) -> Iterator[Drift]:
        with Session(self._engine) as session:
            order = session.get_one(Order, number)
            before: OrderState = ledger.balance_of(session, order).state
            last = session.scalar(select(func.max(OrderEvent.id))) or 0
        try:
            if copy_id is not None:
                settlement.settle(self._engine, self._gateway, number, CAUSE, copy_id=copy_id)
            elif event is None:
                checkouts.resume(self._engine, self._gateway, number, self._base_url, CAUSE)
            else:
                settlement.settle(self._engine, self._gateway, number, CAUSE, event)
        except (PaymentsError, ForeignCheckout) as error:
            if event is not None and isinstance(error, PaymentsError):
                settlement.postpone(self._engine, event, error)
            elif event is not None:
                settlement.close(self._engine, event)
            self._trouble(f"order {number}", error)
        else:
            self._troubles = 0
            self._seen.add(number)
        with Session(self._engine) as session:
            order = session.get_one(Order, number)
            after: OrderState = ledger.balance_of(session, order).state
            learned = drifts.describe_changes(session, order, last, CAUSE)
        if learned:
            yield Drift(order=number, before=before, after=after, learned=learned, cause=cause)

    def _trouble(self, what: str, error: Exception) -> None:
        """Record a failure. Raises SweepStopped when further calls would fail as well."""
        self.left.append(f"{what}: {error}")
        self._troubles += isinstance(error, PaymentsUnavailable)
        denied = isinstance(error, PaymentsDenied) and not isinstance(error, PaymentsForbidden)
        if denied or isinstance(error, PaymentsBusy) or self._troubles >= TROUBLES:
            raise SweepStopped(
                "stopped calling Stripe after that: the rest is left for the next sweep"
            )

    def _since(self) -> datetime:
        """Return the moment to read from; `_meet`, called before, may withdraw the one stored."""
        with writing_session(self._engine) as session:
            born = identity.of(session).created_at
            read_until = session.get_one(Reconciliation, 1).read_until
            first = session.scalar(select(func.min(Order.created_at)))
        return (read_until or min(first or born, born)) - OVERLAP


def _batches(things: Iterable[T]) -> Iterator[list[T]]:
    rest = iter(things)
    while batch := list(islice(rest, BATCH)):
        yield batch
