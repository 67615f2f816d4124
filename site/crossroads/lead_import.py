"""The import of leads who agreed elsewhere: staged apart, weighed, then taken.

An import makes nobody mailable who is known here, or whose address is suppressed.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from itertools import islice
from typing import Any

from sqlalchemy import (
    Column,
    Integer,
    MetaData,
    Select,
    String,
    Table,
    Text,
    exists,
    func,
    literal,
    select,
    text,
    update,
)

from crossroads import consent
from crossroads.leads import Touch
from models import ConsentEvent, Lead, Suppression, insert_for, now
from models.base import AnySession, UTCDateTime
from models.lead import CONFIRMED, UNSUBSCRIBED, new_token

CHUNK = 5000
PART = 10_000  # rows at a time on SQLite: a second or two, in which nobody else can write
KINDS = {CONFIRMED: consent.IMPORTED, UNSUBSCRIBED: consent.UNSUBSCRIBED}
TOUCH = tuple(asdict(Touch()))
# The columns of a lead that an import fills, under the same names in the table of its own.
COPIED = (
    *("email", "email_key", "address_hash", "name", "state", "confirm_token", "unsubscribe_token"),
    *TOUCH,
    *(f"last_{name}" for name in TOUCH),
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
# Whom nobody knows here, and whose mail nothing holds back.
NEW = (
    ~exists().where(Lead.email_key == STAGED.c.email_key),
    ~exists().where(Suppression.address_hash == STAGED.c.held_hash),
)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """Whom an import adds, by state, and whom it leaves as they are: how many of each.

    `known` counts by the state that they have here, `suppressed` by its reason.
    """

    added: dict[str, int] = field(default_factory=dict)
    known: dict[str, int] = field(default_factory=dict)
    suppressed: dict[str, int] = field(default_factory=dict)


def stage(session: AnySession, rows: Iterable[Mapping[str, Any]]) -> int:
    """Fill a temporary table of the session's connection with rows of a LeadFile.

    Who is named twice is there once, and has left if any line says so. Returns how many lines
    named someone again.
    """
    connection = session.connection()
    STAGED.drop(connection, checkfirst=True)
    STAGED.create(connection)
    put = insert_for(session, STAGED)
    left = ("state", "kind", "source", "source_hash", "unsubscribed_at")
    put = put.on_conflict_do_update(
        index_elements=[STAGED.c.email_key],
        set_={name: put.excluded[name] for name in left},
        where=put.excluded.state == UNSUBSCRIBED,
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


def weigh(session: AnySession) -> Outcome:
    """Return what would become of the staged leads now."""
    held = Suppression.address_hash == STAGED.c.held_hash
    same = Lead.email_key == STAGED.c.email_key
    known = select(Lead.state, func.count()).join(STAGED, same)
    suppressed = select(Suppression.reason, func.count()).join(STAGED, held)
    added = select(STAGED.c.state, func.count()).where(*NEW).group_by(STAGED.c.state)
    return Outcome(
        added=_counted(session, added),
        known=_counted(session, known.where(~exists().where(held)).group_by(Lead.state)),
        suppressed=_counted(session, suppressed.group_by(Suppression.reason)),
    )


def parts(session: AnySession) -> list[range]:
    """Return the staged rows by number, in parts that one transaction each may take.

    PostgreSQL takes all at once, and nobody waits. SQLite has one writer at a time: there a long
    list goes in by parts, so that people can sign up meanwhile.
    """
    last = session.scalar(select(func.max(STAGED.c.number))) or 0
    size = PART if session.get_bind().dialect.name == "sqlite" else max(last, 1)
    return [range(first, first + size) for first in range(1, last + 1, size)]


def write(session: AnySession, part: range) -> int:
    """Add whom nobody knows here and nothing holds back, each with an event; return how many.

    No mail is owed to them.
    """
    meant = STAGED.c.number.between(part.start, part.stop - 1)
    fresh = select(*(STAGED.c[name] for name in COPIED)).where(meant, *NEW)
    fresh = fresh.order_by(STAGED.c.number)
    insert = insert_for(session, Lead).from_select(COPIED, fresh)
    # Someone may sign up at this moment.
    session.execute(insert.on_conflict_do_nothing(index_elements=[Lead.email_key]))
    # The tokens were made for this import: whoever has one of them was added by it.
    added = select(Lead.id).join(STAGED, Lead.confirm_token == STAGED.c.confirm_token)
    added = added.where(meant)
    event = {
        "lead_id": Lead.id,
        "address_hash": STAGED.c.address_hash,
        "kind": STAGED.c.kind,
        "form": literal("import"),
        "wording": STAGED.c.source,
        "wording_hash": STAGED.c.source_hash,
        "created_at": literal(now(), UTCDateTime),
    }
    events = added.with_only_columns(*event.values()).order_by(Lead.id)
    session.execute(insert_for(session, ConsentEvent).from_select(list(event), events))
    held = {
        "address_hash": STAGED.c.address_hash,
        "reason": STAGED.c.suppressed,
        "since": literal(now(), UTCDateTime),
    }
    hold = added.with_only_columns(*held.values()).where(STAGED.c.suppressed.is_not(None))
    insert = insert_for(session, Suppression).from_select(list(held), hold)
    session.execute(insert.on_conflict_do_nothing(index_elements=[Suppression.address_hash]))
    return session.scalar(added.with_only_columns(func.count())) or 0


def _staged(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row of a file as one of the temporary table. What is not said stays unknown."""
    at = now()
    address, source = row["address"], row["consent_source"]
    created = row["signed_up_at"] or at
    left = row["state"] == UNSUBSCRIBED
    return {
        **{name: row[name] for one in TOUCH for name in (one, f"last_{one}")},
        "email": address.typed,
        "email_key": address.key,
        "address_hash": address.hash,
        "name": row["name"] or "",
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


def _counted(session: AnySession, query: Select[str, int]) -> dict[str, int]:
    return {state: number for state, number in session.execute(query)}  # noqa: C416 - rows
