"""Lists as the desk looks at them: filters read from an address, and pages by key."""

import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Generic, Self, TypeVar

from sqlalchemy import ColumnElement, Select, func, literal, or_, select, tuple_

from models import Enrollment, Lead, Message, Order
from models.base import AnySession

PAGE_SIZE = 50
RARE = 1000
TERM_LENGTH = 200
NO_WORDS = ("Cc", "Cs")
HIGHEST_ID = 2**31 - 1  # what PostgreSQL's integer holds: a larger one is no row, and no error
NEWEST = "newest"

Row = TypeVar("Row", Lead, Order, Enrollment, Message)


@dataclass(frozen=True, kw_only=True)
class Filter(ABC):
    """Which rows are meant. An empty field leaves its condition out.

    `KNOWN` names the values that a field may have, where not everything can be meant.
    """

    KNOWN: ClassVar[Mapping[str, Collection[str]]] = {}

    @classmethod
    def of(cls, **given: str | None) -> Self:
        """Read what a person typed or an address holds; what cannot be meant is left out."""
        kept = {name: _clean(value or "") for name, value in given.items()}
        for name, known in cls.KNOWN.items():
            if kept.get(name) not in known:
                kept.pop(name, None)
        return cls(**kept)

    @classmethod
    def read(cls, values: Any) -> Self:
        """Return the filter that the values of a query or of a form stand for."""
        return cls.of(**{field.name: values.get(field.name, "") for field in fields(cls)})

    @property
    def active(self) -> dict[str, str]:
        """The filters in use, by field name."""
        given = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in given.items() if value}

    @abstractmethod
    def conditions(self) -> list[ColumnElement[bool]]:
        """Return the filter as conditions on its table."""


@dataclass(frozen=True)
class Page(Generic[Row]):
    """One page of a list. `first` counts from 1; it is 0 when the page is empty."""

    rows: Sequence[Row]
    total: int
    first: int
    before: int | None
    after: int | None

    @property
    def last(self) -> int:
        return self.first + len(self.rows) - 1 if self.rows else 0


class Listing(Generic[Row]):
    """The rows of one table, in orders that have names.

    `sorts` are what may stand in the address after ?sort=: whether it goes down, and the columns
    that make the order total.
    """

    def __init__(self, model: type[Row], sorts: Mapping[str, tuple[bool, tuple[Any, ...]]]) -> None:
        self.sorts = sorts
        self._model: type[Row] = model

    def page(
        self,
        session: AnySession,
        which: Filter,
        *,
        sort: str = NEWEST,
        after: int | None = None,
        before: int | None = None,
    ) -> Page[Row]:
        """Return up to 50 rows behind the row `after` or ahead of the row `before`.

        `after` and `before` are ids, so that no address of a person stands in a link; one that is
        no row any more leads back to the start. Nothing is skipped by counting: page 20,000
        costs what page 2 does.
        """
        descending, columns = self.sorts.get(sort, self.sorts[NEWEST])
        mark = self._mark(session, after if after is not None else before, columns)
        if mark is None:
            after = before = None
        backwards = before is not None and after is None
        conditions = self._narrowed(session, which)
        query = select(self._model).where(*conditions)
        if mark is not None:
            query = query.where(_beyond(columns, mark, descending != backwards))
        found = _ordered(session, query, columns, descending != backwards)
        more = len(found) > PAGE_SIZE
        found = found[:PAGE_SIZE]
        if mark is not None and not more and (backwards or not found):
            # Back at the start, or past the end: a whole first page, not a rest or nothing.
            return self.page(session, which, sort=sort)
        if backwards:
            found.reverse()
        if mark is not None:
            total, first = self._place(session, conditions, columns, descending, found[0])
        else:
            total, first = self._count(session, conditions), min(len(found), 1)
        return Page(
            rows=found,
            total=total,
            first=first,
            before=found[0].id if found and first > 1 else None,
            after=found[-1].id if found and (more or backwards) else None,
        )

    def count(self, session: AnySession, which: Filter) -> int:
        """Count the rows that are meant."""
        return self._count(session, which.conditions())

    def find(self, session: AnySession, number: int) -> Row | None:
        """Return one row by its number."""
        return session.get(self._model, number) if number <= HIGHEST_ID else None

    def _mark(self, session: AnySession, number: int | None, columns: tuple[Any, ...]) -> Any:
        if number is None or not 0 < number <= HIGHEST_ID:
            return None
        return session.execute(select(*columns).where(self._model.id == number)).one_or_none()

    def _narrowed(self, session: AnySession, which: Filter) -> list[ColumnElement[bool]]:
        """Return the filter's conditions, or when few rows are meant, their ids.

        Walking down an index in order would pass a million rows to find three; one plain scan
        does not, and what it found serves the count too.
        """
        conditions = which.conditions()
        if not conditions:
            return []
        query = select(self._model.id).where(*conditions).limit(RARE + 1)
        ids = session.scalars(query).all()
        return conditions if len(ids) > RARE else [self._model.id.in_(ids)]

    def _count(self, session: AnySession, conditions: list[ColumnElement[bool]]) -> int:
        return session.scalar(select(func.count(self._model.id)).where(*conditions)) or 0

    def _place(
        self,
        session: AnySession,
        conditions: list[ColumnElement[bool]],
        columns: tuple[Any, ...],
        descending: bool,
        row: Row,
    ) -> tuple[int, int]:
        """Return how many rows are meant, and the place of one among them, in a single scan."""
        number = self._model.id
        mark = [getattr(row, column.key) for column in columns]
        ahead = func.count(number).filter(_beyond(columns, mark, not descending))
        total, before = session.execute(select(func.count(number), ahead).where(*conditions)).one()
        return total, before + 1


def names_person(table: type[Lead] | type[Order], term: str) -> ColumnElement[bool]:
    """Say that a person's address or name holds the term, in any case."""
    key = unicodedata.normalize("NFKC", term).casefold()
    return or_(
        table.email_key.contains(key, autoescape=True),
        # The key spells a domain in ASCII; the address has it as it was typed.
        *([] if term.isascii() else [table.email.icontains(term, autoescape=True)]),
        holds(table.name, term),
    )


def holds(column: Any, term: str) -> ColumnElement[bool]:
    """Say that a column holds the term, in any case."""
    # SQLite folds the case of ASCII letters only. For others the usual spellings are tried.
    spellings = {term} if term.isascii() else {term, term.lower(), term.upper(), term.title()}
    return or_(*(column.icontains(spelling, autoescape=True) for spelling in sorted(spellings)))


def cleaned(text: str | None, *, keep: str = "") -> str:
    """Return what can be stored of what was typed; of control characters only those to keep.

    PostgreSQL refuses NUL, no driver encodes half a surrogate pair, and neither is a word.
    """
    kept = (c for c in text or "" if c in keep or unicodedata.category(c) not in NO_WORDS)
    return unicodedata.normalize("NFC", "".join(kept))


def _clean(text: str) -> str:
    return cleaned(text).strip()[:TERM_LENGTH]


def _beyond(columns: tuple[Any, ...], mark: Any, descending: bool) -> ColumnElement[bool]:
    bounds = tuple_(
        *(literal(value, column.type) for column, value in zip(columns, mark, strict=True))
    )
    place = tuple_(*columns)
    return place < bounds if descending else place > bounds


def _ordered(
    session: AnySession, query: Select[Row], columns: tuple[Any, ...], descending: bool
) -> list[Row]:
    order = [column.desc() if descending else column.asc() for column in columns]
    return list(session.scalars(query.order_by(*order).limit(PAGE_SIZE + 1)))
