"""Adds leads from a file: staged in a temporary table, assessed, then added.

An import makes nobody mailable who is known here, or whose address is suppressed. It takes off
those who confirmed here and are gone by the file.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Integer,
    MetaData,
    Select,
    String,
    Table,
    Text,
    and_,
    case,
    exists,
    func,
    literal,
    select,
    text,
    update,
)

from crossroads.leads.imports.columns import PERSONAL
from models import ConsentEvent, Lead, LeadImport, Suppression, Waiting, insert_for, now
from models.base import AnySession, UTCDateTime
from models.consent import IMPORT, ConsentKind
from models.lead import LeadState, new_token

CHUNK = 5000
PART = 10_000  # rows at a time on SQLite: a second or two, in which nobody else can write
KINDS = {
    LeadState.CONFIRMED: ConsentKind.IMPORTED,
    LeadState.UNSUBSCRIBED: ConsentKind.UNSUBSCRIBED,
}
# The columns of a lead that an import fills, under the same names in the table of its own.
COPIED = (
    *("email", "email_key", "address_hash", "state", "confirm_token", "unsubscribe_token"),
    *(column.key for column in PERSONAL.values()),
    *("created_at", "last_signup_at", "confirm_until", "confirmed_at", "unsubscribed_at"),
)
# Of the connection alone, in no file that others read: filling it locks nothing.
STAGED = Table(
    "imported_lead",
    MetaData(),
    Column("number", Integer, primary_key=True),
    *(Column(name, Lead.__table__.c[name].type, unique=name == "email_key") for name in COPIED),
    Column("kind", String(16)),
    Column("source", Text),
    Column("source_hash", String(64)),
    Column("suppressed", String(16)),
    # What the suppressions know the address by: that of an erased person may have its former hash.
    Column("held_hash", String(64)),
    Column("former_hash", String(64)),
    prefixes=["TEMPORARY"],
)
# Not stored yet, and not on the do-not-mail list.
NEW = (
    ~exists().where(Lead.email_key == STAGED.c.email_key),
    ~exists().where(Suppression.address_hash == STAGED.c.held_hash),
)
SAME = Lead.email_key == STAGED.c.email_key
# Confirmed here, and marked as gone in the file.
GONE = (SAME, Lead.state == LeadState.CONFIRMED, STAGED.c.state == LeadState.UNSUBSCRIBED)
# Confirmed here, and bounced elsewhere by our own export.
DEAD = (
    SAME,
    Lead.state == LeadState.CONFIRMED,
    STAGED.c.state == LeadState.CONFIRMED,
    STAGED.c.suppressed.is_not(None),
    ~exists().where(Suppression.address_hash == Lead.address_hash),
)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How many leads an import adds, by state, and how many it changes or leaves unchanged.

    `known` counts leads by their state here, `suppressed` addresses by reason. `unsubscribed`:
    leads confirmed here that the file marks as unsubscribed. `held`: leads confirmed here whose
    address bounced according to the file. `never_mailed`: added as confirmed, suppressed at once.
    """

    added: dict[str, int] = field(default_factory=dict)
    unsubscribed: int = 0
    held: int = 0
    never_mailed: int = 0
    known: dict[str, int] = field(default_factory=dict)
    suppressed: dict[str, int] = field(default_factory=dict)


def stage(session: AnySession, rows: Iterable[Mapping[str, Any]]) -> int:
    """Fill a temporary table of the session's connection with rows of a LeadFile.

    A person on several lines is added once, as unsubscribed if any line says so. Returns how many
    lines named someone again.
    """
    connection = session.connection()
    STAGED.drop(connection, checkfirst=True)
    STAGED.create(connection)
    put = insert_for(session, STAGED)
    left = ("state", "kind", "source", "source_hash", "unsubscribed_at")
    gone = put.excluded.state == LeadState.UNSUBSCRIBED
    put = put.on_conflict_do_update(
        index_elements=[STAGED.c.email_key],
        set_={
            **{name: case((gone, put.excluded[name]), else_=STAGED.c[name]) for name in left},
            "suppressed": func.coalesce(STAGED.c.suppressed, put.excluded.suppressed),
        },
    )
    given = 0
    staged = map(_staged, rows)
    while chunk := list(islice(staged, CHUNK)):
        connection.execute(put, chunk)
        given += len(chunk)
    formers = STAGED.c.former_hash.in_(select(Suppression.address_hash))
    connection.execute(update(STAGED).where(formers).values(held_hash=STAGED.c.former_hash))
    connection.execute(text("ANALYZE imported_lead"))  # or PostgreSQL plans for an empty table
    return given - (session.scalar(select(func.count()).select_from(STAGED)) or 0)


def assess(session: AnySession) -> Outcome:
    """Return what adding the staged leads would do now."""
    held = Suppression.address_hash == STAGED.c.held_hash
    known = select(Lead.state, func.count()).join(STAGED, SAME).where(~and_(*GONE), ~and_(*DEAD))
    suppressed = select(Suppression.reason, func.count()).join(STAGED, held)
    suppressed = suppressed.where(~exists().where(*GONE))
    added = select(STAGED.c.state, func.count()).where(*NEW).group_by(STAGED.c.state)
    return Outcome(
        added=_counts(session, added),
        known=_counts(session, known.where(~exists().where(held)).group_by(Lead.state)),
        suppressed=_counts(session, suppressed.group_by(Suppression.reason)),
        unsubscribed=session.scalar(select(func.count()).select_from(Lead, STAGED).where(*GONE))
        or 0,
        held=session.scalar(select(func.count()).select_from(Lead, STAGED).where(*DEAD)) or 0,
        never_mailed=session.scalar(
            select(func.count())
            .select_from(STAGED)
            .where(*NEW, STAGED.c.state == LeadState.CONFIRMED, STAGED.c.suppressed.is_not(None))
        )
        or 0,
    )


def parts(session: AnySession) -> list[range]:
    """Return the staged rows by number, in parts that one transaction each may take.

    PostgreSQL takes all at once, and nobody waits. SQLite has one writer at a time: there a long
    list goes in by parts, so that people can sign up meanwhile.
    """
    last = session.scalar(select(func.max(STAGED.c.number))) or 0
    size = PART if session.get_bind().dialect.name == "sqlite" else max(last, 1)
    return [range(first, first + size) for first in range(1, last + 1, size)]


def begin(session: AnySession, *, file: str, by: str, source: str, lines: int) -> LeadImport:
    """Record that a file is imported; the counts follow with its parts."""
    record = LeadImport(file=file[-255:], imported_by=by[:100], source=source, lines=lines)
    session.add(record)
    session.flush()
    return record


def add(session: AnySession, part: range, import_id: int | None = None) -> int:
    """Add staged leads that are neither stored nor suppressed, each with an event; return how many.

    They get no mail.
    """
    in_part = STAGED.c.number.between(part.start, part.stop - 1)
    new = [STAGED.c[name] for name in COPIED]
    fresh = select(*new, literal(import_id, Integer)).where(in_part, *NEW)
    fresh = fresh.order_by(STAGED.c.number)
    insert = insert_for(session, Lead).from_select([*COPIED, "import_id"], fresh)
    # The person may sign up at this moment.
    session.execute(insert.on_conflict_do_nothing(index_elements=[Lead.email_key]))
    # The tokens were made for this import: a lead with this one was added by it.
    added = select(Lead.id).join(STAGED, Lead.unsubscribe_token == STAGED.c.unsubscribe_token)
    added = added.where(in_part)
    _record(session, added, STAGED.c.kind)
    _suppress(session, added)
    return session.scalar(added.with_only_columns(func.count())) or 0


def unsubscribe(session: AnySession, part: range) -> int:
    """Unsubscribe confirmed leads that the file marks as gone; return how many.

    Their links to confirm with are void, and they wait for no seat, as after a click of their own.
    """
    at = now()
    in_part = STAGED.c.number.between(part.start, part.stop - 1)
    leave = update(Lead).where(in_part, *GONE)
    leave = leave.values(
        state=LeadState.UNSUBSCRIBED, unsubscribed_at=at, confirm_token=STAGED.c.confirm_token
    )
    session.execute(leave, execution_options={"synchronize_session": False})
    # A lead that was just added has both tokens of the import.
    left = select(Lead.id).join(STAGED, Lead.confirm_token == STAGED.c.confirm_token)
    left = left.where(
        in_part,
        Lead.unsubscribe_token != STAGED.c.unsubscribe_token,
        STAGED.c.state == LeadState.UNSUBSCRIBED,
    )
    _record(session, left, STAGED.c.kind)
    _suppress(session, left)
    for waiting in session.scalars(select(Waiting).where(Waiting.lead_id.in_(left))):
        waiting.left_at = waiting.left_at or at
        waiting.token = new_token()
    session.flush()
    return session.scalar(left.with_only_columns(func.count())) or 0


def suppress(session: AnySession, part: range) -> int:
    """Suppress confirmed leads that bounced according to the file; return how many."""
    in_part = STAGED.c.number.between(part.start, part.stop - 1)
    dead = select(Lead.id).select_from(Lead, STAGED).where(in_part, *DEAD)
    number = session.scalar(dead.with_only_columns(func.count())) or 0
    if number:
        _record(session, dead, literal(ConsentKind.BOUNCED))
        _suppress(session, dead)
    return number


def _record(session: AnySession, leads: Select[int], kind: ColumnElement[str]) -> None:
    """Add an event to the ledger of each of these leads, which are joined with the staged rows."""
    event = {
        "lead_id": Lead.id,
        "address_hash": STAGED.c.address_hash,
        "kind": kind,
        "form": literal(IMPORT),
        "wording": STAGED.c.source,
        "wording_hash": STAGED.c.source_hash,
        "created_at": literal(now(), UTCDateTime),
    }
    events = leads.with_only_columns(*event.values()).order_by(Lead.id)
    session.execute(insert_for(session, ConsentEvent).from_select(list(event), events))


def _suppress(session: AnySession, leads: Select[int]) -> None:
    """Suppress the addresses that the file marks as suppressed, of these leads."""
    held = {
        "address_hash": STAGED.c.address_hash,
        "reason": STAGED.c.suppressed,
        "since": literal(now(), UTCDateTime),
    }
    suppressed = leads.with_only_columns(*held.values()).where(STAGED.c.suppressed.is_not(None))
    insert = insert_for(session, Suppression).from_select(list(held), suppressed)
    session.execute(insert.on_conflict_do_nothing(index_elements=[Suppression.address_hash]))


def _staged(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row of a file as a row of the temporary table.

    A value that is missing is None, or empty text where a lead must have the column.
    """
    at = now()
    address = row["address"]
    # The proof: where they agreed, or what in the file says that they are gone.
    source = row["reason"] or row["consent_source"]
    created = row["signed_up_at"] or row["confirmed_at"] or at
    left = row["state"] == LeadState.UNSUBSCRIBED
    return {
        **{
            column.key: row[name] or (None if column.nullable else "")
            for name, column in PERSONAL.items()
        },
        "email": address.typed,
        "email_key": address.key,
        "address_hash": address.hash,
        "state": row["state"],
        "confirm_token": new_token(),
        "unsubscribe_token": new_token(),
        "created_at": created,
        "last_signup_at": row["last_signup_at"] or created,
        "confirm_until": at,
        "confirmed_at": row["confirmed_at"] or (None if left else at),
        "unsubscribed_at": (row["unsubscribed_at"] or at) if left else None,
        "kind": KINDS[row["state"]],
        "source": source,
        "source_hash": _hash(source),
        "suppressed": row["suppressed"],
        "held_hash": address.hash,
        "former_hash": address.former,
    }


@lru_cache(maxsize=100)
def _hash(source: str) -> str:
    return hashlib.sha256(source.encode()).hexdigest()


def _counts(session: AnySession, query: Select[str, int]) -> dict[str, int]:
    return {state: number for state, number in session.execute(query)}  # noqa: C416 - rows
