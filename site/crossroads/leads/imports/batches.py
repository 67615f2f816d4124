"""Past imports: list them, and undo one."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy import ColumnElement, delete, exists, func, or_, select

from crossroads.leads import search_index
from models import (
    ConsentEvent,
    Enrollment,
    Lead,
    LeadImport,
    Message,
    Order,
    Waiting,
    now,
    personal_data,
)
from models.base import AnySession
from models.consent import IMPORT, ConsentKind
from models.lead import LeadState

AT_ONCE = 500
LARGEST = 2**31 - 1  # number of an import, an INTEGER in PostgreSQL


@dataclass(frozen=True, kw_only=True)
class Leftover:
    """Number of leads that an undo removes, and that it keeps, by reason."""

    removed: int = 0
    kept: dict[str, int] = field(default_factory=dict)


def newest(session: AnySession) -> Sequence[LeadImport]:
    """Return the imports, the newest first."""
    return session.scalars(select(LeadImport).order_by(LeadImport.id.desc())).all()


def find(session: AnySession, import_id: int) -> LeadImport | None:
    """Return an import by its number."""
    if not 0 < import_id <= LARGEST:  # no database could compare it
        return None
    return session.get(LeadImport, import_id)


# Why a lead is kept: the first reason that applies is reported.
_bought = exists().where(Order.address_hash == Lead.address_hash)
_seated = exists().where(
    Enrollment.address_hash == Lead.address_hash, Enrollment.email.is_not(None)
)
_acted = exists().where(ConsentEvent.lead_id == Lead.id, ConsentEvent.form != IMPORT)
_off = exists().where(
    ConsentEvent.lead_id == Lead.id,
    ConsentEvent.kind.in_((ConsentKind.UNSUBSCRIBED, ConsentKind.BOUNCED)),
)
_waits = exists().where(Waiting.lead_id == Lead.id)
REASONS: dict[str, ColumnElement[bool]] = {
    "unsubscribed: forgotten, they could be mailed again": (Lead.state == LeadState.UNSUBSCRIBED)
    | _off,
    "bought or have a seat": _bought | _seated,
    "signed up, confirmed or bounced here since": _acted | _waits,
}
KEPT = or_(*REASONS.values())


def preview_undo(session: AnySession, import_id: int) -> Leftover:
    """Return how many leads an undo would remove and keep now."""
    theirs = select(func.count(Lead.id)).where(Lead.import_id == import_id)
    kept: dict[str, int] = {}
    before: list[ColumnElement[bool]] = []
    for reason, holds in REASONS.items():
        number = session.scalar(theirs.where(holds, *(~one for one in before))) or 0
        kept |= {reason: number} if number else {}
        before.append(holds)
    return Leftover(removed=session.scalar(theirs.where(~KEPT)) or 0, kept=kept)


def undo(session: AnySession, record: LeadImport, after: int = 0) -> tuple[int, int] | None:
    """Remove up to 500 leads of an import that have not acted since.

    Their events and mails go with them. Leads that the import unsubscribed stay unsubscribed.
    `after` is the highest id that was already checked. Returns how many leads were removed and the
    highest id checked now, None at the end.
    """
    # A sign-up at this moment waits for the lock, or is seen below.
    locked = select(Lead.id).where(Lead.import_id == record.id, Lead.id > after)
    locked = locked.order_by(Lead.id).limit(AT_ONCE).with_for_update()
    numbers = session.scalars(locked).all()
    record.undone_at = record.undone_at or now()
    if not numbers:
        return None
    idle = session.scalars(select(Lead.id).where(Lead.id.in_(numbers), ~KEPT)).all()
    for model in (Message, ConsentEvent):
        session.execute(delete(model).where(model.lead_id.in_(idle)))
    search_index.remove(session, idle)
    session.execute(delete(Lead).where(Lead.id.in_(idle)))
    record.removed += len(idle)
    return len(idle), numbers[-1]


def of_lead(session: AnySession, lead: Lead) -> LeadImport | None:
    """Return the import that added a lead; None if the lead signed up on the site."""
    return session.get(LeadImport, lead.import_id) if lead.import_id else None


def erase(session: AnySession, lead: Lead) -> None:
    """Erase a lead's personal data from the import that added it; call before erasing the lead.

    The file's name and the stated source may name a person. They are erased when the import has no
    other lead, or when they contain this lead's address or name.
    """
    record = of_lead(session, lead)
    if record is None:
        return
    others = exists().where(Lead.import_id == record.id, Lead.id != lead.id)
    texts = f"{record.file} {record.source}".casefold()
    named = any(one and one.casefold() in texts for one in (lead.email, lead.name))
    if named or not session.scalar(select(others)):
        personal_data.erase(record)
