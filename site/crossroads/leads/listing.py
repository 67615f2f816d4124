"""List and export of leads: filters, sort orders, columns, and the record of one lead."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from sqlalchemy import ColumnElement, String, func, select, type_coerce

from crossroads.database.pagination import NEWEST, Filter, Listing, Narrowed, count_up_to, of_course
from crossroads.export import Sheet
from crossroads.leads import search_index
from crossroads.leads.waiting_list import WAITS
from crossroads.mail import addresses
from models import Lead, Message, Suppression, Waiting, personal_data
from models.base import AnySession
from models.lead import LeadState

CHOICES_MAX = 1000  # a longer list is no help to choose from

SORTS: dict[str, tuple[bool, tuple[Any, ...]]] = {
    NEWEST: (True, (Lead.created_at, Lead.id)),
    "oldest": (False, (Lead.created_at, Lead.id)),
    "email": (False, (Lead.email_key,)),
    "email-down": (True, (Lead.email_key,)),
}
LEADS = Listing(Lead, SORTS)

# The cohorts whose waiting lists a person is on, as course/cohort, comma-separated.
_waits_for = (
    select(func.aggregate_strings(Waiting.course + "/" + Waiting.cohort, " "))
    .where(Waiting.lead_id == Lead.id, WAITS)
    .correlate(Lead)
    .scalar_subquery()
)
# Why the address is on the do-not-mail list, if it is.
_suppressed = (
    select(Suppression.reason)
    .where(Suppression.address_hash == Lead.address_hash)
    .correlate(Lead)
    .scalar_subquery()
)

SHEET = Sheet(
    name="leads",
    columns={
        "id": Lead.id,
        "email": Lead.email,
        "name": Lead.name,
        "state": Lead.state,
        **personal_data.exported(Lead),
        "signed_up_at": Lead.created_at,
        "last_signup_at": Lead.last_signup_at,
        "confirmed_at": Lead.confirmed_at,
        "unsubscribed_at": Lead.unsubscribed_at,
        "waits_for": _waits_for,
        "suppressed": _suppressed,
    },
)


@dataclass(frozen=True, kw_only=True)
class _Way:
    """One condition, by the index that answers it or row by row, and how many rows meet it."""

    number: int
    by_index: ColumnElement[bool]
    by_row: ColumnElement[bool]
    in_order_of: Any = None


@dataclass(frozen=True, kw_only=True)
class LeadFilter(Filter):
    """Selects leads. `waiting` is a course's slug, or slug/code for one cohort of it."""

    KNOWN: ClassVar[Mapping[str, Collection[str]]] = {"state": tuple(LeadState)}

    READ: ClassVar[Mapping[str, Callable[[str], str]]] = {"q": addresses.cleaned}

    q: str = ""
    state: str = ""
    page: str = ""
    campaign: str = ""
    waiting: str = ""

    def conditions(self) -> list[ColumnElement[bool]]:
        found = [column == value for column, value in self._columns()]
        if self.waiting:
            found.append(self._waits())
        if self.q:
            found.append(search_index.contains(self.q))
        return found

    def narrowed(self, session: AnySession) -> Narrowed:
        """Return the cheapest way to find the selected leads: by the condition that fewest meet.

        No database knows how many have a word. SQLite does not know it of the other values either:
        for it all but the best condition are written such that it has no index for them.
        """
        sqlite = session.get_bind().dialect.name == "sqlite"
        ways = [
            _Way(
                number=count_up_to(session, select(column).where(column == value)),  # reads no row
                by_index=column == value,
                by_row=(type_coerce(column, String).concat("") if sqlite else column) == value,
                in_order_of=Lead.created_at,
            )
            for column, value in self._columns()
        ]
        if self.q:
            number, found = search_index.by_index(session, self.q)
            by_row = search_index.contains(self.q)
            ways.append(_Way(number=number, by_index=found, by_row=by_row))
        if self.waiting:
            place = self._waits()
            number = count_up_to(session, select(Lead.id).where(place))
            ways.append(_Way(number=number, by_index=place, by_row=place))
        if not ways:
            return super().narrowed(session)
        best = min(ways, key=lambda way: way.number)
        return Narrowed(
            by_index=[best.by_index, *(way.by_row for way in ways if way is not best)],
            by_row=[way.by_row for way in ways],
            number=best.number,
            in_order_of=best.in_order_of,
        )

    def _columns(self) -> list[tuple[ColumnElement[Any], str]]:
        given: Any = (
            (Lead.utm_campaign, self.campaign),
            (Lead.page, self.page),
            (Lead.state, self.state),
        )
        return [(column, value) for column, value in given if value]

    def _waits(self) -> ColumnElement[bool]:
        waiting_ids = select(Waiting.lead_id).where(WAITS, *of_course(Waiting, self.waiting))
        return Lead.id.in_(waiting_ids)


def choices(session: AnySession) -> tuple[list[str], list[str]]:
    """Return the first pages and the campaigns of all leads, each sorted."""
    return _values(session, Lead.page), _values(session, Lead.utm_campaign)


def waiting(session: AnySession, lead_id: int) -> Sequence[Waiting]:
    """Return a lead's entries on waiting lists, oldest first."""
    query = select(Waiting).where(Waiting.lead_id == lead_id)
    return session.scalars(query.order_by(Waiting.asked_at, Waiting.id)).all()


def messages(session: AnySession, lead_id: int) -> Sequence[Message]:
    """Return the mails queued for a lead, newest first."""
    query = select(Message).where(Message.lead_id == lead_id)
    return session.scalars(query.order_by(Message.created_at.desc(), Message.id.desc())).all()


def _values(session: AnySession, column: Any) -> list[str]:
    """Return what an indexed column has for values, by as many looks into the index.

    DISTINCT would go through all of it.
    """
    found = select(func.min(column).label("value")).cte("found", recursive=True)
    following = select(func.min(column)).where(column > found.c.value).scalar_subquery()
    found = found.union_all(select(following).where(found.c.value.is_not(None)))
    values = session.scalars(select(found.c.value).limit(CHOICES_MAX)).all()
    return sorted(value for value in values if value)
