"""HTTP connection to Stripe: concurrency limit, timeouts, retries, error mapping."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from functools import cached_property
from random import uniform
from threading import BoundedSemaphore
from time import monotonic, sleep
from typing import TYPE_CHECKING, Final, Self, TypedDict, TypeVar

from crossroads.payments.errors import PaymentsBusy, PaymentsUnavailable, TooManyCalls, our_errors
from crossroads.payments.fields import fields

if TYPE_CHECKING:
    import requests
    import stripe

IN_REQUEST = (2.0, 8.0)  # seconds to connect and to answer while a buyer waits
WHOLE_REQUEST = 12.0  # for all calls of one request together: its page is there within 15
LEAST = 1.0  # seconds without which a call is not begun
IN_BACKGROUND = (3.0, 10.0)
WHOLE_BACKGROUND = 30.0  # for one call with its retries, however slowly an answer comes
RETRIES = 2
BUSY_WAITS = (1.0, 2.0, 4.0, 8.0)  # seconds, each up to a quarter longer, before asking again
LONGEST_WAIT = 30.0  # seconds that Stripe may ask for; for more nobody waits
PAGE: Final = 100  # the most that Stripe lists at once


T = TypeVar("T")
R = TypeVar("R")
L = TypeVar("L", bound="stripe.StripeObject")


class Paging(TypedDict, total=False):
    """Which page of a list is asked for: part of the parameters of every list."""

    limit: int
    starting_after: str


class Connection:
    """The calls to one Stripe account. `base` points elsewhere than at Stripe in development.

    `waiting` bounds how many threads of this process may wait for an answer at once, so that a
    Stripe that hangs leaves the others free for readers; None means no bound.
    """

    def __init__(
        self,
        key: str,
        *,
        base: str = "",
        background: bool = False,
        waiting: int | None = None,
    ) -> None:
        self._key = key
        self._base = base
        self._background = background
        self._waiting = BoundedSemaphore(waiting) if waiting else None
        self._until: float | None = None

    def within(self, seconds: float) -> Self:
        """Return this gateway for one request, whose calls all end within this number of seconds.

        What is left of them bounds each call, which is made once, in the background too; one for
        which nothing is left raises PaymentsUnavailable.
        """
        _ = self._connections  # made here, they are shared with every copy
        hurried = copy(self)
        hurried._until = monotonic() + seconds
        return hurried

    def _ask(self, ask: Callable[[stripe.StripeClient], T], take: Callable[[T], R]) -> R:
        """Make a call and return its result, converted by `take`.

        Raises PaymentsUnavailable and PaymentsRefused.
        """
        return self._patiently(lambda: take(ask(self._client())))

    def _every(
        self,
        asked: Paging,
        ask: Callable[[stripe.StripeClient], stripe.ListObject[L]],
        take: Callable[[L], R],
    ) -> Iterator[R]:
        """Yield all of a list, newest first, page by page: any number, and few in memory.

        `ask` asks with `asked`, which moves on to the next page. Between the pages nobody waits
        for Stripe. What is new meanwhile moves none of them.
        https://docs.stripe.com/api/pagination
        """
        asked["limit"] = PAGE
        more = True
        while more:
            found, last = self._patiently(lambda: _page(ask(self._client()), take))
            yield from found
            more = last is not None
            if last is not None:
                asked["starting_after"] = last

    def _first(
        self,
        ask: Callable[[stripe.StripeClient], stripe.ListObject[L]],
        take: Callable[[L], R],
    ) -> R | None:
        """Return the first thing on the page of a list that is asked for, None for an empty one."""
        found, _ = self._patiently(lambda: _page(ask(self._client()), take))
        return found[0] if found else None

    @property
    def _patient(self) -> bool:
        """Whether a failed call is retried: only in the background, where no buyer waits."""
        return self._background and self._until is None

    def _patiently(self, call: Callable[[], R]) -> R:
        """Return the result of the call. A patient gateway retries when Stripe is busy.

        The SDK never does that. https://docs.stripe.com/rate-limits#handling-limiting-gracefully
        """
        for wait in BUSY_WAITS if self._patient else ():
            try:
                with self._turn(), our_errors(), self._limited():
                    return call()
            except PaymentsBusy as error:
                if (error.seconds or 0) > LONGEST_WAIT:
                    raise
                pause = max(wait, error.seconds or 0)
            sleep(pause * uniform(1.0, 1.25))  # noqa: S311 - it hides nothing
        with self._turn(), our_errors(), self._limited():
            return call()

    @contextmanager
    def _turn(self) -> Iterator[None]:
        if self._waiting is None:
            yield
            return
        if not self._waiting.acquire(blocking=False):
            raise TooManyCalls("all threads that may wait for Stripe are waiting")
        try:
            yield
        finally:
            self._waiting.release()

    @contextmanager
    def _limited(self) -> Iterator[None]:
        """Bound a call as a whole: no read of its answer goes on after that."""
        from crossroads.payments.deadline import limited

        with limited(WHOLE_BACKGROUND if self._patient else sum(self._timeout())):
            yield

    @cached_property
    def _connections(self) -> requests.Session:
        from crossroads.payments import deadline  # loads requests

        return deadline.session()

    def _client(self) -> stripe.StripeClient:
        import stripe  # most of a second: not at the start of a process that may never sell

        stripe.enable_telemetry = False  # it would write into the home folder
        return stripe.StripeClient(
            self._key,
            http_client=stripe.RequestsClient(timeout=self._timeout(), session=self._connections),
            max_network_retries=RETRIES if self._patient else 0,
            base_addresses={"api": self._base} if self._base else None,
        )

    def _timeout(self) -> tuple[float, float]:
        connect, answer = IN_BACKGROUND if self._background else IN_REQUEST
        if self._until is None:
            return connect, answer
        left = self._until - monotonic()
        if left < LEAST:
            raise PaymentsUnavailable("no time was left to ask Stripe")
        connect = min(connect, left / 2)
        return connect, min(answer, left - connect)


def _page(page: stripe.ListObject[L], take: Callable[[L], R]) -> tuple[Sequence[R], str | None]:
    """Return what is on a page of a list, and the id that the next begins after, if any."""
    read = fields(page, "list")
    more = read.flag("has_more")
    every = list(read.every("data"))
    found = [take(one) for one in page.data]
    return found, every[-1].text("id") if more and every else None
