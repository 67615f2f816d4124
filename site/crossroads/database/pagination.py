"""Filters and keyset pagination of the desk's lists."""

import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, Generic, Self, TypeVar

from sqlalchemy import ColumnElement, Select, func, literal, or_, select, true, tuple_

from models import Enrollment, Lead, Message, Order, Waiting
from models.base import AnySession
from models.folding import fold, folded

PAGE_SIZE = 50
COUNTED = 2_500  # rows; a larger count is made on request
MANY = 20_000  # entries of an index: a larger number makes no difference
# Rows to scan in index order before the matches are sorted instead. Fewer where the index is not in
# table order: a row at a random place takes as long as ten neighboring rows.
WALK = 25_000
WALK_ANYWHERE = 2_500
TERM_LENGTH = 200
NO_WORDS = ("Cc", "Cs")
HIGHEST_ID = 2**31 - 1  # of PostgreSQL's integer: a larger id must be no row, not an error
NEWEST = "newest"

Row = TypeVar("Row", Lead, Order, Enrollment, Message)


@dataclass(frozen=True, kw_only=True)
class Filter(ABC):
    """Selects rows. An empty field adds no condition.

    `KNOWN` lists the allowed values of a field, where they are limited; `READ` has the function
    that cleans a field, where a pasted value needs it.
    """

    KNOWN: ClassVar[Mapping[str, Collection[str]]] = {}
    READ: ClassVar[Mapping[str, Callable[[str], str]]] = {}

    @classmethod
    def of(cls, **given: str | None) -> Self:
        """Make a filter from typed values or a query string; drop values that are not allowed."""
        kept = {name: _clean(value or "") for name, value in given.items()}
        for name, reader in cls.READ.items():
            kept[name] = reader(kept.get(name, ""))
        for name, known in cls.KNOWN.items():
            if kept.get(name) not in known:
                kept.pop(name, None)
        return cls(**kept)

    @classmethod
    def read(cls, values: Any) -> Self:
        """Make a filter from the values of a query string or of a form."""
        return cls.of(**{field.name: values.get(field.name, "") for field in fields(cls)})

    @property
    def active(self) -> dict[str, str]:
        """The filters in use, by field name."""
        given = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in given.items() if value}

    @abstractmethod
    def conditions(self) -> list[ColumnElement[bool]]:
        """Return the SQL conditions of the filter."""

    def narrowed(self, _session: AnySession) -> "Narrowed":
        """Return the conditions in the form that finds the rows fastest."""
        return Narrowed(by_index=self.conditions(), by_row=self.conditions())


@dataclass(frozen=True, kw_only=True)
class Narrowed:
    """A filter's conditions in two forms: for an index, and for a scan row by row.

    `number` is the number of index entries, up to MANY + 1; None when it is not counted yet.
    `in_order_of` is the column that sorts the index's rows, if any.
    """

    by_index: Sequence[ColumnElement[bool]]
    by_row: Sequence[ColumnElement[bool]]
    number: int | None = None
    in_order_of: Any = None


@dataclass(frozen=True)
class Page(Generic[Row]):
    """One page of a list. `first` counts from 1; it is 0 when the page is empty.

    `total` is None when too many rows match to count them; then `first` is also None, except on
    the first page.
    """

    rows: Sequence[Row]
    total: int | None
    first: int | None
    before: int | None
    after: int | None

    @property
    def last(self) -> int | None:
        return self.first + len(self.rows) - 1 if self.first else self.first


class Listing(Generic[Row]):
    """The rows of one table, in named sort orders.

    `sorts` maps the values of ?sort= to whether the order is descending, and to the columns that
    make the order total, each with an index.
    """

    def __init__(self, model: type[Row], sorts: Mapping[str, tuple[bool, tuple[Any, ...]]]) -> None:
        self.sorts = sorts
        self._model: type[Row] = model
        self._written = sorts[NEWEST][1][0]  # rows are stored roughly in the order of insertion

    def page(
        self,
        session: AnySession,
        which: Filter,
        *,
        sort: str = NEWEST,
        after: int | None = None,
        before: int | None = None,
    ) -> Page[Row]:
        """Return up to 50 rows that follow the row `after` or precede the row `before`.

        `after` and `before` are ids, so that links contain no email address; the id of a deleted
        row returns the first page. There is no OFFSET, and more than 2,500 rows are not counted:
        page 20,000 costs as much as page 2.
        """
        descending, columns = self.sorts.get(sort, self.sorts[NEWEST])
        mark = self._mark(session, after if after is not None else before, columns)
        if mark is None:
            after = before = None
        backwards = before is not None and after is None
        way = _Direction(columns, descending != backwards, mark)
        narrowed = which.narrowed(session)
        number = narrowed.number
        if number is None:
            number = count_up_to(session, select(self._model.id).where(*narrowed.by_index))
        total: int | None = None
        passed = 0
        if number <= COUNTED:
            numbers, total, passed = self._among_few(session, narrowed, way)
        else:
            numbers = self._among_many(session, narrowed, way, number)
        more = len(numbers) > PAGE_SIZE
        numbers = numbers[:PAGE_SIZE]
        if mark is not None and not more and (backwards or not numbers):
            # Back at the start, or past the end: a full first page, not a partial or empty one.
            return self.page(session, which, sort=sort)
        if backwards:
            numbers.reverse()
        if mark is None:
            first: int | None = min(len(numbers), 1)
            total = total if more else len(numbers)
        elif total is None:
            first = None
        else:
            first = total - passed - len(numbers) + 1 if backwards else passed + 1
        return Page(
            rows=self._rows(session, numbers),
            total=total,
            first=first,
            before=numbers[0] if mark is not None and numbers else None,
            after=numbers[-1] if numbers and (more or backwards) else None,
        )

    def count(self, session: AnySession, which: Filter) -> int:
        """Count all rows that match: with a million of them it may take a second."""
        query = select(func.count(self._model.id)).where(*which.conditions())
        return session.scalar(query) or 0

    def any(self, session: AnySession, which: Filter) -> bool:
        """Return whether any row matches."""
        query = select(self._model.id).where(*which.conditions()).limit(1)
        return session.scalar(query) is not None

    def find(self, session: AnySession, number: int) -> Row | None:
        """Return one row by its id."""
        return session.get(self._model, number) if number <= HIGHEST_ID else None

    def _mark(self, session: AnySession, number: int | None, columns: tuple[Any, ...]) -> Any:
        if number is None or not 0 < number <= HIGHEST_ID:
            return None
        return session.execute(select(*columns).where(self._model.id == number)).one_or_none()

    def _among_few(
        self, session: AnySession, narrowed: Narrowed, way: "_Direction"
    ) -> tuple[list[int], int, int]:
        """Return the ids of a page, the number of matches, and the number of them up to the mark.

        All matches are found once and then sorted: a scan in index order could pass a million rows
        to find three.
        """
        named = [column.label(f"sort_{place}") for place, column in enumerate(way.columns)]
        query = select(self._model.id.label("id"), *named).where(*narrowed.by_index)
        found = query.cte("found").prefix_with("MATERIALIZED")
        here = replace(way, columns=tuple(found.c[column.name] for column in named))
        total = select(func.count()).select_from(found).scalar_subquery()
        passed = select(func.count()).select_from(found).where(~here.beyond).scalar_subquery()
        page = select(found.c.id, total, passed if way.mark is not None else literal(0))
        page = page.where(here.beyond).order_by(*here.order).limit(PAGE_SIZE + 1)
        rows = session.execute(page).all()
        if rows:
            return [row[0] for row in rows], rows[0][1], rows[0][2]
        return [], 0, 0

    def _among_many(
        self, session: AnySession, narrowed: Narrowed, way: "_Direction", number: int
    ) -> list[int]:
        """Return the ids of a page by a scan of the matches' index, if it has the right order.

        Otherwise by a scan of all rows in order; if that finds too few, by sorting the matches.
        """
        if narrowed.in_order_of is way.columns[0]:
            query = select(self._model.id).where(*narrowed.by_index, way.beyond)
            return list(session.scalars(query.order_by(*way.order).limit(PAGE_SIZE + 1)))
        side_by_side = way.columns[0] is self._written
        if number <= MANY and not side_by_side:
            return self._among_few(session, narrowed, way)[0]
        walk = WALK if side_by_side else WALK_ANYWHERE
        coarse = way.coarse
        ahead = select(*coarse.columns).where(coarse.beyond).order_by(*coarse.order)
        end = session.execute(ahead.offset(walk).limit(1)).one_or_none()
        query = select(self._model.id).where(*narrowed.by_row, way.beyond)
        if end is not None:
            query = query.where(~replace(coarse, mark=end).beyond)
        numbers = list(session.scalars(query.order_by(*way.order).limit(PAGE_SIZE + 1)))
        if end is None or len(numbers) > PAGE_SIZE:
            return numbers
        return self._among_few(session, narrowed, way)[0]

    def _rows(self, session: AnySession, numbers: Sequence[int]) -> list[Row]:
        query = select(self._model).where(self._model.id.in_(numbers))
        found = {row.id: row for row in session.scalars(query)}
        return [found[number] for number in numbers if number in found]


@dataclass(frozen=True)
class _Direction:
    """A sort order, and the mark to start after: a row's column values, or None."""

    columns: tuple[Any, ...]
    descending: bool
    mark: Any

    @property
    def coarse(self) -> "_Direction":
        """The same order by its first column alone: an index answers it without reading rows."""
        return replace(self, columns=self.columns[:1], mark=self.mark and self.mark[:1])

    @property
    def order(self) -> list[ColumnElement[Any]]:
        return [column.desc() if self.descending else column.asc() for column in self.columns]

    @property
    def beyond(self) -> ColumnElement[bool]:
        """The SQL condition that a row comes after the mark."""
        if self.mark is None:
            return true()
        pairs = zip(self.columns, self.mark, strict=True)
        bounds = tuple_(*(literal(value, column.type) for column, value in pairs))
        place = tuple_(*self.columns)
        return place < bounds if self.descending else place > bounds


def count_up_to(session: AnySession, query: Select[Any]) -> int:
    """Count the rows of a query, up to MANY + 1."""
    some = query.limit(MANY + 1).subquery()
    return session.scalar(select(func.count()).select_from(some)) or 0


def matches_person(table: type[Lead] | type[Order], term: str) -> ColumnElement[bool]:
    """Return the SQL condition that a person's address or name contains the term."""
    # The key has the domain in ASCII, the address as it was typed.
    return or_(
        contains(table.email_key, term), contains(table.email, term), contains(table.name, term)
    )


def contains(column: Any, term: str) -> ColumnElement[bool]:
    """Return the SQL condition that a column contains the term; ignores case and accents."""
    return folded(column).contains(fold(term), autoescape=True)


def cleaned(text: str | None, *, keep: str = "") -> str:
    """Return the text without characters that cannot be stored; `keep` lists control characters.

    PostgreSQL refuses NUL, and no driver encodes half a surrogate pair.
    """
    kept = (c for c in text or "" if c in keep or unicodedata.category(c) not in NO_WORDS)
    return unicodedata.normalize("NFC", "".join(kept))


def _clean(text: str) -> str:
    return cleaned(text).strip()[:TERM_LENGTH]


def of_course(
    table: type[Order] | type[Enrollment] | type[Waiting], course: str
) -> list[ColumnElement[bool]]:
    """Return the SQL conditions for a course, or with slug/code for one cohort of it."""
    slug, _, code = course.partition("/")
    return [table.course == slug, *([table.cohort == code] if code else [])]
