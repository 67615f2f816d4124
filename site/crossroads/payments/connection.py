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
WHOLE_REQUEST = 12.0  # seconds for all calls of one request: its page must be sent within 15
LEAST = 1.0  # seconds that must be left to start a call
IN_BACKGROUND = (3.0, 10.0)
WHOLE_BACKGROUND = 30.0  # seconds for one call with its retries, even if the answer trickles
RETRIES = 2
BUSY_WAITS = (1.0, 2.0, 4.0, 8.0)  # seconds before each retry, plus up to a quarter at random
LONGEST_WAIT = 30.0  # seconds; if Stripe asks for a longer wait, the call fails
PAGE: Final = 100  # Stripe's maximum


T = TypeVar("T")
R = TypeVar("R")
L = TypeVar("L", bound="stripe.StripeObject")


class Paging(TypedDict, total=False):
    """The pagination parameters of every list call."""

    limit: int
    starting_after: str


class Connection:
    """HTTP calls with one API key. `base` replaces Stripe's base URL in development.

    `waiting` limits how many threads of this process may wait for Stripe at the same time, so that
    the other threads stay free for visitors if Stripe hangs; None means no limit. `background`
    calls have longer timeouts and are retried.
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

    def with_time_limit(self, seconds: float) -> Self:
        """Return a copy of this gateway whose calls together take at most this many seconds.

        The remaining time limits each call. No call is retried, not even in the background. Without
        enough time left a call raises PaymentsUnavailable.
        """
        _ = self._connections  # created here, so that all copies share them
        limited_copy = copy(self)
        limited_copy._until = monotonic() + seconds
        return limited_copy

    def _call(self, ask: Callable[[stripe.StripeClient], T], take: Callable[[T], R]) -> R:
        """Make a call and return its result, converted by `take`.

        Raises PaymentsUnavailable and PaymentsRefused.
        """
        return self._with_retries(lambda: take(ask(self._client())))

    def _list(
        self,
        asked: Paging,
        ask: Callable[[stripe.StripeClient], stripe.ListObject[L]],
        take: Callable[[L], R],
    ) -> Iterator[R]:
        """Yield all objects of a list, newest first, with one page in memory at a time.

        `ask` calls Stripe with `asked`, whose cursor is moved to the next page. No thread counts as
        waiting between two pages. Objects that are created meanwhile do not shift the pages.
        https://docs.stripe.com/api/pagination
        """
        asked["limit"] = PAGE
        more = True
        while more:
            found, last = self._with_retries(lambda: _page(ask(self._client()), take))
            yield from found
            more = last is not None
            if last is not None:
                asked["starting_after"] = last

    def _first(
        self,
        ask: Callable[[stripe.StripeClient], stripe.ListObject[L]],
        take: Callable[[L], R],
    ) -> R | None:
        """Return the first object of a list; None when it is empty."""
        found, _ = self._with_retries(lambda: _page(ask(self._client()), take))
        return found[0] if found else None

    @property
    def _may_retry(self) -> bool:
        """Whether failed calls are retried: only in the background, where no buyer waits."""
        return self._background and self._until is None

    def _with_retries(self, call: Callable[[], R]) -> R:
        """Return the result of the call; in the background retry it after a rate limit.

        The SDK does not retry those. https://docs.stripe.com/rate-limits#handling-limiting-gracefully
        """
        for wait in BUSY_WAITS if self._may_retry else ():
            try:
                with self._slot(), our_errors(), self._limited():
                    return call()
            except PaymentsBusy as error:
                if (error.seconds or 0) > LONGEST_WAIT:
                    raise
                pause = max(wait, error.seconds or 0)
            sleep(pause * uniform(1.0, 1.25))  # noqa: S311 - it hides nothing
        with self._slot(), our_errors(), self._limited():
            return call()

    @contextmanager
    def _slot(self) -> Iterator[None]:
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
        """Limit the total time of a call, with all reads of its answer."""
        from crossroads.payments.deadline import limited

        with limited(WHOLE_BACKGROUND if self._may_retry else sum(self._timeout())):
            yield

    @cached_property
    def _connections(self) -> requests.Session:
        from crossroads.payments import deadline  # imports requests

        return deadline.session()

    def _client(self) -> stripe.StripeClient:
        import stripe  # takes most of a second, and many processes never need it

        stripe.enable_telemetry = False  # it would write into the home folder
        return stripe.StripeClient(
            self._key,
            http_client=stripe.RequestsClient(timeout=self._timeout(), session=self._connections),
            max_network_retries=RETRIES if self._may_retry else 0,
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
    """Return the objects of a page and the cursor of the next page; None on the last page."""
    read = fields(page, "list")
    more = read.flag("has_more")
    every = list(read.every("data"))
    found = [take(one) for one in page.data]
    return found, every[-1].text("id") if more and every else None
