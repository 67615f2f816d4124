"""The list of leads as the desk looks at it: filters, pages by key, and one lead's record."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, func, literal, or_, select, tuple_

from models import ConsentEvent, Lead, Message
from models.base import AnySession
from models.lead import STATES

PAGE_SIZE = 50
CHOICES_MAX = 1000  # pairs of page and campaign; a longer list to choose from helps nobody
RARE = 1000
TERM_LENGTH = 200
HIGHEST_ID = 2**31 - 1  # what PostgreSQL's integer holds: a larger one is no lead, and no error

# What may stand in the address after ?sort=, and the columns that make its order total.
ORDERS: dict[str, tuple[bool, tuple[Any, ...]]] = {
    "newest": (True, (Lead.created_at, Lead.id)),
    "oldest": (False, (Lead.created_at, Lead.id)),
    "email": (False, (Lead.email_key,)),
    "email-down": (True, (Lead.email_key,)),
}
NEWEST = "newest"


@dataclass(frozen=True, kw_only=True)
class LeadFilter:
    """Which leads are meant. An empty field leaves its condition out."""

    q: str = ""
    state: str = ""
    page: str = ""
    campaign: str = ""

    @classmethod
    def of(
        cls, *, q: str = "", state: str = "", page: str = "", campaign: str = ""
    ) -> "LeadFilter":
        """Read what a person typed or an address holds; what cannot be meant is left out."""
        return cls(
            q=_clean(q),
            state=state if state in STATES else "",
            page=_clean(page),
            campaign=_clean(campaign),
        )

    @property
    def active(self) -> dict[str, str]:
        """The filters in use, by field name."""
        given = {"q": self.q, "state": self.state, "page": self.page, "campaign": self.campaign}
        return {name: value for name, value in given.items() if value}

    def conditions(self) -> list[ColumnElement[bool]]:
        """Return the filter as conditions on the table of leads."""
        found: list[ColumnElement[bool]] = []
        if self.q:
            found.append(_contains(self.q))
        if self.state:
            found.append(Lead.state == self.state)
        if self.page:
            found.append(Lead.page == self.page)
        if self.campaign:
            found.append(Lead.utm_campaign == self.campaign)
        return found


@dataclass(frozen=True)
class LeadPage:
    """One page of the list. `first` counts from 1; it is 0 when the page is empty."""

    leads: Sequence[Lead]
    total: int
    first: int
    before: int | None
    after: int | None

    @property
    def last(self) -> int:
        return self.first + len(self.leads) - 1 if self.leads else 0


def page(
    session: AnySession,
    which: LeadFilter,
    *,
    sort: str = NEWEST,
    after: int | None = None,
    before: int | None = None,
) -> LeadPage:
    """Return up to 50 leads behind the lead `after` or ahead of the lead `before`.

    `after` and `before` are ids, so that no address stands in a link; one that is no lead any
    more leads back to the start. Nothing is skipped by counting: page 20,000 costs what page 2
    does.
    """
    descending, columns = ORDERS.get(sort, ORDERS[NEWEST])
    mark = _mark(session, after if after is not None else before, columns)
    if mark is None:
        after = before = None
    backwards = before is not None and after is None
    conditions = _narrowed(session, which)
    query = select(Lead).where(*conditions)
    if mark is not None:
        query = query.where(_beyond(columns, mark, descending != backwards))
    found = _ordered(session, query, columns, descending != backwards)
    more = len(found) > PAGE_SIZE
    found = found[:PAGE_SIZE]
    if mark is not None and not more and (backwards or not found):
        # Back at the start, or past the end: a whole first page rather than a rest or nothing.
        return page(session, which, sort=sort)
    if backwards:
        found.reverse()
    if mark is not None:
        total, first = _place(session, conditions, columns, descending, found[0])
    else:
        total, first = _count(session, conditions), min(len(found), 1)
    return LeadPage(
        leads=found,
        total=total,
        first=first,
        before=found[0].id if found and first > 1 else None,
        after=found[-1].id if found and (more or backwards) else None,
    )


def count(session: AnySession, which: LeadFilter) -> int:
    """Count the leads that are meant."""
    return _count(session, which.conditions())


def choices(session: AnySession) -> tuple[list[str], list[str]]:
    """Return the pages that leads came from, and the campaigns they came with, each in order."""
    query = select(Lead.page, Lead.utm_campaign).distinct().limit(CHOICES_MAX)
    pairs = session.execute(query).all()
    return sorted({page for page, _ in pairs if page}), sorted({name for _, name in pairs if name})


def find(session: AnySession, lead_id: int) -> Lead | None:
    """Return one lead by its number."""
    return session.get(Lead, lead_id) if lead_id <= HIGHEST_ID else None


def consents(session: AnySession, lead_id: int) -> Sequence[ConsentEvent]:
    """Return a lead's ledger of consent, oldest first."""
    query = select(ConsentEvent).where(ConsentEvent.lead_id == lead_id)
    return session.scalars(query.order_by(ConsentEvent.created_at, ConsentEvent.id)).all()


def messages(session: AnySession, lead_id: int) -> Sequence[Message]:
    """Return the mails queued for a lead, newest first."""
    query = select(Message).where(Message.lead_id == lead_id)
    return session.scalars(query.order_by(Message.created_at.desc(), Message.id.desc())).all()


def _clean(text: str) -> str:
    # PostgreSQL refuses NUL, no driver encodes half a surrogate pair, and neither is a name.
    kept = "".join(c for c in text if unicodedata.category(c) not in ("Cc", "Cs"))
    return unicodedata.normalize("NFC", kept).strip()[:TERM_LENGTH]


def _contains(term: str) -> ColumnElement[bool]:
    # SQLite folds the case of ASCII letters only. The address has a folded key; for a name the
    # usual spellings are tried.
    spellings = {term} if term.isascii() else {term, term.lower(), term.upper(), term.title()}
    key = unicodedata.normalize("NFKC", term).casefold()
    return or_(
        Lead.email_key.contains(key, autoescape=True),
        # The key spells a domain in ASCII; the address has it as it was typed.
        *([] if term.isascii() else [Lead.email.icontains(term, autoescape=True)]),
        *(Lead.name.icontains(spelling, autoescape=True) for spelling in sorted(spellings)),
    )


def _mark(session: AnySession, lead_id: int | None, columns: tuple[Any, ...]) -> Any:
    if lead_id is None or not 0 < lead_id <= HIGHEST_ID:
        return None
    return session.execute(select(*columns).where(Lead.id == lead_id)).one_or_none()


def _beyond(columns: tuple[Any, ...], mark: Any, descending: bool) -> ColumnElement[bool]:
    bounds = tuple_(
        *(literal(value, column.type) for column, value in zip(columns, mark, strict=True))
    )
    place = tuple_(*columns)
    return place < bounds if descending else place > bounds


def _ordered(
    session: AnySession, query: Select[Lead], columns: tuple[Any, ...], descending: bool
) -> list[Lead]:
    order = [column.desc() if descending else column.asc() for column in columns]
    return list(session.scalars(query.order_by(*order).limit(PAGE_SIZE + 1)))


def _narrowed(session: AnySession, which: LeadFilter) -> list[ColumnElement[bool]]:
    """Return the filter's conditions, or when few leads are meant, their ids.

    Walking down an index in order would pass a million leads to find three; one plain scan does
    not, and what it found serves the count too.
    """
    conditions = which.conditions()
    if not conditions:
        return []
    ids = session.scalars(select(Lead.id).where(*conditions).limit(RARE + 1)).all()
    return conditions if len(ids) > RARE else [Lead.id.in_(ids)]


def _count(session: AnySession, conditions: list[ColumnElement[bool]]) -> int:
    return session.scalar(select(func.count(Lead.id)).where(*conditions)) or 0


def _place(
    session: AnySession,
    conditions: list[ColumnElement[bool]],
    columns: tuple[Any, ...],
    descending: bool,
    lead: Lead,
) -> tuple[int, int]:
    """Return how many leads are meant, and the place of one among them, in a single scan."""
    mark = [getattr(lead, column.key) for column in columns]
    ahead = func.count(Lead.id).filter(_beyond(columns, mark, not descending))
    total, before = session.execute(select(func.count(Lead.id), ahead).where(*conditions)).one()
    return total, before + 1
