"""Demo data: a database as after a good year, with leads, consent and orders.

Everything is made up, and nobody can be reached at these addresses. What is drawn follows from
the seed, the rows that are there already, and the day.
"""

import gc
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import timedelta
from random import Random
from typing import Any, Final

from sqlalchemy import Connection, Table

from crossroads.content import Content, Course
from crossroads.leads import consent, search_index
from crossroads.leads.lifecycle import CONFIRM_DAYS, Touch
from crossroads.mail import addresses
from crossroads.ops.demo.people import DOMAINS, all_people
from crossroads.ops.demo.tables import WORD, Values, deferred_indexes, highest, load, number_on
from models import ConsentEvent, Enrollment, Lead, Order, OrderEvent, now
from models.base import table_of
from models.consent import ConsentKind
from models.lead import LeadState, new_token
from models.order import OrderEventKind, OrderState

PART = 25_000  # leads generated at once
YEAR: Final = 365 * 86_400
DAY: Final = 86_400
# Retention deletes leads that have not confirmed by then.
ANSWERED_AFTER: Final = 20 * DAY
ONE_ORDER_IN: Final = 40  # leads
SEATS_TAKEN: Final = 0.6  # of a cohort that is still ahead
CLOCK: Final = [
    f" {second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}.000000" for second in range(DAY)
]
HOURS: Final = (1, 1, 1, 1, 1, 2, 4, 7, 10, 12, 12, 11, 11, 12, 12, 11, 10, 9, 9, 10, 10, 8, 5, 2)
# utm_source, utm_medium, utm_campaign, utm_term, utm_content, and how often.
SOURCES: Final = {
    (None, None, None, None, None): 34,
    ("google", "cpc", "ai-pm-search", "ai product manager", "headline-a"): 13,
    ("google", "cpc", "ai-pm-search", "product manager course", "headline-b"): 9,
    ("linkedin", "social", "career-change", None, "carousel"): 12,
    ("newsletter", "email", "weekly", None, "top-link"): 11,
    ("youtube", "video", "salary-talk", None, "description"): 7,
    ("partner", "referral", "bootcamp-guide", None, None): 6,
    ("podcast", "audio", "product-people", None, None): 4,
    ("bing", "cpc", "ai-pm-search", "ai pm salary", None): 4,
}
BROWSERS: Final = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/142.0.0.0 Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like "
    "Gecko) Version/18.6 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0",
)
# Addresses for documentation. https://www.rfc-editor.org/rfc/rfc5737
NETWORKS: Final = ("192.0.2.0", "198.51.100.0", "203.0.113.0")
TOUCH: Final = tuple(asdict(Touch()))

LEAD = (
    *("id", "email", "email_key", "address_hash", "name", "state", *TOUCH),
    *(f"last_{name}" for name in TOUCH),
    *("confirm_token", "unsubscribe_token", "created_at", "last_signup_at", "confirm_until"),
    *("confirmed_at", "unsubscribed_at", "words"),
)
CONSENT = (
    *("lead_id", "address_hash", "kind", "form", "wording", "wording_hash", "page", "ip"),
    *("user_agent", "created_at"),
)
ORDER = (
    *("id", "course", "cohort", "email", "email_key", "address_hash", "name", "item", "seats"),
    *("unit_amount", "currency", "checkout_options", "session_until", "request_key", "token"),
    *("attempt", "payment_intent", "state", "seats_kept", "amount_returned", "created_at"),
)
EVENT = (
    *("order_id", "kind", "cause", "subject", "status", "reason", "amount_subtotal"),
    *("amount_discount", "amount_tax", "amount_total", "created_at"),
)
ENROLLMENT = (
    "order_id", "seat", "course", "cohort", "email", "name", "address_hash", "token", "kept",
    "created_at",
)  # fmt: skip

Rows = tuple[Table, tuple[str, ...], list[Values]]


def fill(
    connection: Connection,
    content: Content,
    *,
    leads: int,
    seed: int,
    suppression_key: str,
    progress: Callable[[int], object] = lambda _done: None,
) -> dict[str, int]:
    """Add this number of leads, with consent and orders; return the rows added to each table.

    The caller commits all of it at once. `progress` is called with the number of leads of each
    part.
    """
    made: dict[str, int] = {}
    year = Year(content, connection, leads=leads, seed=seed, key=suppression_key)
    with _without_collector(), deferred_indexes(connection) as words:
        for start in range(0, leads, PART):
            number = min(PART, leads - start)
            for table, columns, rows in year.part(start, number, words):
                if rows:
                    load(connection, table, columns, rows)
                    made[table.name] = made.get(table.name, 0) + len(rows)
            progress(number)
    number_on(connection)
    return made


@contextmanager
def _without_collector() -> Iterator[None]:
    """Disable the garbage collector: rows have no cycles, and collecting slows the generation."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


class Year:
    """Draws what happened in the year up to now, part by part, growing toward its end."""

    def __init__(
        self, content: Content, connection: Connection, *, leads: int, seed: int, key: str
    ) -> None:
        self._first = highest(connection, Lead) + 1
        self._order = highest(connection, Order) + 1
        self._random = Random(f"{seed}-{self._first}-{self._order}")  # noqa: S311, nobody is meant
        self._leads = leads
        self._key = key
        self._people, self._weights = all_people()
        self._wording = content.site.signup.consent
        self._wording_hash = consent.wording_hash(self._wording)
        pages = [f"/compare/{comparison.slug}" for comparison in content.comparisons]
        self._pages = {**{page: 80 / len(pages) for page in pages}, "/signup": 20.0}
        today = now().replace(hour=0, minute=0, second=0, microsecond=0)
        self._begin = today - timedelta(seconds=YEAR)
        self._days = [f"{self._begin + timedelta(days=day):%Y-%m-%d}" for day in range(366 + 30)]
        self._offers = [
            (course, cohort)
            for course in content.courses
            for cohort in course.cohorts
            if cohort.starts > today.date()
        ]
        self._sold: Counter[str] = Counter()
        self._courses = content.courses

    def part(self, start: int, number: int, words: Table) -> Iterator[Rows]:
        """Draw the leads from the one after `start` on, with all that belongs to them.

        Their search terms are for the table `words`.
        """
        leads, events, buyers = self._drawn(start, number)
        yield table_of(Lead), LEAD, leads
        yield (
            words,
            WORD,
            [(word, lead[0]) for lead in leads for word in search_index.tokens(lead[-1])],
        )
        yield table_of(ConsentEvent), CONSENT, events
        yield from self._bought(buyers)

    def _drawn(self, start: int, number: int) -> tuple[list[Values], list[Values], list[Values]]:
        draw, key = self._random, self._key
        first = self._first + start
        moments = self._moments(start, number)
        names = draw.choices(self._people, self._weights, k=number)
        domains = self._choices(DOMAINS, number)
        touches = list(
            zip(self._choices(self._pages, number), self._choices(SOURCES, number), strict=True)
        )
        later = self._choices({True: 15, False: 85}, number)
        answers = self._choices({LeadState.CONFIRMED: 90, LeadState.UNSUBSCRIBED: 10}, number)
        recent = self._choices(
            {
                LeadState.CONFIRMED: 70,
                LeadState.PENDING: 24,
                LeadState.UNSUBSCRIBED: 4,
                LeadState.HELD: 2,
            },
            number,
        )
        nameless = self._choices({True: 12, False: 88}, number)
        browsers = draw.choices(BROWSERS, k=number)
        networks = draw.choices(NETWORKS, k=number)
        confirm, unsubscribe = self._tokens(moments), self._tokens(moments)
        leads, events, buyers = [], [], []
        for place, moment in enumerate(moments):
            lead_id = first + place
            name, local = names[place]
            email = f"{local}{lead_id}@{domains[place]}"
            hashed = addresses.address_hash(email, key)
            state = (answers if moment < YEAR - ANSWERED_AFTER else recent)[place]
            page, source = touches[place]
            last_page, last_source = touches[place - 1] if later[place] else touches[place]
            at = self._said(moment)
            confirmed_at = unsubscribed_at = None
            kind = ConsentKind.HELD if state == LeadState.HELD else ConsentKind.GIVEN
            form = "signup" if page == "/signup" else "comparison"
            seen = (page, networks[place], browsers[place])
            events.append(
                (lead_id, hashed, kind, form, self._wording, self._wording_hash, *seen, at)
            )
            if state in (LeadState.CONFIRMED, LeadState.UNSUBSCRIBED):
                confirmed_at = self._said(moment + 40 + place % 3600)
                events.append(
                    (lead_id, hashed, ConsentKind.CONFIRMED, "confirm", "", "", *seen, confirmed_at)
                )
            if state == LeadState.UNSUBSCRIBED:
                unsubscribed_at = self._said(min(moment + place % 90 * DAY // 10 + 7200, YEAR))
                events.append(
                    (lead_id, hashed, state, "unsubscribe", "", "", *seen, unsubscribed_at)
                )
            called = "" if nameless[place] else name
            lead = (
                *(lead_id, email, email, hashed, called, state, page),
                *(*source, last_page, *last_source, confirm[place], unsubscribe[place], at, at),
                *(self._said(moment + CONFIRM_DAYS * DAY), confirmed_at, unsubscribed_at),
                search_index.lead_text(email, email, called),
            )
            leads.append(lead)
            if state == LeadState.CONFIRMED and lead_id % ONE_ORDER_IN == 0:
                buyers.append((email, hashed, name, moment))
        return leads, events, buyers

    def _bought(self, buyers: list[Values]) -> Iterator[Rows]:
        """Generate an order for each buyer: three of four are paid."""
        number = len(buyers)
        moments = [moment for *_, moment in buyers]
        keys, tokens = self._tokens(moments), self._tokens(moments)
        paid_ones = self._choices({True: 76, False: 24}, number)
        seats_asked = self._choices({1: 82, 2: 11, 3: 5, 5: 2}, number)
        orders: list[Values] = []
        events: list[Values] = []
        enrollments: list[Values] = []
        for place, (email, hashed, name, moment) in enumerate(buyers if self._courses else ()):
            order, self._order = self._order, self._order + 1
            paid, seats = paid_ones[place], seats_asked[place]
            moment = min(moment + DAY, YEAR - 7200)
            at, ended_at = self._said(moment), self._said(moment + (240 if paid else 1920))
            course, cohort, item = self._offer(moment, seats if paid else 0)
            amount = course.price.amount * seats
            orders.append((
                *(order, course.slug, cohort, email, email, hashed, name, item, seats),
                *(course.price.amount, course.price.currency, "{}", ended_at, keys[place]),
                *(tokens[place], 1, f"pi_demo_{order}" if paid else None),
                *(OrderState.PAID if paid else OrderState.EXPIRED, seats if paid else 0, 0, at),
            ))  # fmt: skip
            none = (None, None, None, None)
            events.append((order, OrderEventKind.PLACED, "buyer", "", "", "", *none, at))
            if not paid:
                events.append((order, OrderEventKind.EXPIRED, "demo", "", "", "", *none, ended_at))
                continue
            events.append(
                (order, OrderEventKind.PAID, "demo", "", "", "", amount, 0, 0, amount, ended_at)
            )
            for seat, token in enumerate(self._tokens([moment] * seats), start=1):
                owner = (email, name, hashed) if seat == 1 else (None, "", "")
                enrollments.append(
                    (order, seat, course.slug, cohort, *owner, token, True, ended_at)
                )
        yield table_of(Order), ORDER, orders
        yield table_of(OrderEvent), EVENT, events
        yield table_of(Enrollment), ENROLLMENT, enrollments

    def _offer(self, moment: int, seats: int) -> tuple[Course, str, str]:
        """Return a course, a cohort of it and what the receipt calls it.

        Lately people buy what is still on offer, and leave some of that. Before, they bought
        cohorts that are over.
        """
        if moment > YEAR - 60 * DAY:
            for course, cohort in self._offers:
                if self._sold[cohort.code] + seats <= cohort.seats * SEATS_TAKEN:
                    self._sold[cohort.code] += seats
                    return course, cohort.code, f"{course.title}, {cohort.title or cohort.code}"
        course = self._courses[moment % len(self._courses)]
        month = self._begin + timedelta(seconds=min(moment, YEAR - 60 * DAY), days=21)
        return course, f"{month:%Y-%B}".lower(), f"{course.title}, {month:%B %Y}"

    def _moments(self, start: int, number: int) -> list[int]:
        """Return sorted seconds since the start of the year: more toward its end, few at night."""
        hours = self._random.choices(range(24), HOURS, k=number)
        minutes = self._random.choices(range(3600), k=number)
        days = (int(365 * ((start + place) / self._leads) ** 0.6) for place in range(number))
        return sorted(
            day * DAY + hour * 3600 + second
            for day, hour, second in zip(days, hours, minutes, strict=True)
        )

    def _said(self, moment: int) -> str:
        """Return a moment as text that both databases read, in UTC."""
        return self._days[moment // DAY] + CLOCK[moment % DAY]

    def _choices(self, weights: Mapping[Any, float], number: int) -> list[Any]:
        return self._random.choices(list(weights), list(weights.values()), k=number)

    def _tokens(self, moments: Sequence[int]) -> list[str]:
        """Return a token of each moment."""
        began = int(self._begin.timestamp())
        return [new_token(began + moment, self._random.randbytes) for moment in moments]
