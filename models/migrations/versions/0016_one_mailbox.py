"""addresses that are two mailboxes are two people: lower case instead of case folding

Revision 0016 follows 0015. Concerned are addresses with letters outside ASCII before the @. Erased
people's are not known: their suppressions stay as they are, and are looked up by both hashes.
"""

import hashlib
import hmac
import unicodedata
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from alembic import op
from email_validator import EmailNotValidError, validate_email
from flask import current_app

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

Rule = Callable[[str], str]

COLUMNS = ("id", "email", "email_key", "address_hash", "order_id")
TABLES = {
    name: sa.table(name, *map(sa.column, COLUMNS)) for name in ("lead", "order", "user", "hold")
}
ENROLLMENT = sa.table("enrollment", *map(sa.column, ("id", "email", "address_hash")))
MESSAGE = sa.table(
    "message", *map(sa.column, ("address_hash", "lead_id", "order_id", "enrollment_id"))
)
SUPPRESSION = sa.table("suppression", *map(sa.column, ("address_hash", "reason", "since")))


def upgrade() -> None:
    _change(_folded, _lower)


def downgrade() -> None:
    _change(_lower, _folded)


def _lower(mailbox: str) -> str:
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", mailbox).lower())


def _folded(mailbox: str) -> str:
    return unicodedata.normalize("NFKC", mailbox).casefold()


def _change(before: Rule, after: Rule) -> None:
    for name in ("lead", "order", "user"):
        for row in _foreign(TABLES[name]):
            old, new = _key(row.email, before), _key(row.email, after)
            if old == new or row.email_key != old or _taken(name, new):
                continue
            _set(TABLES[name], TABLES[name].c.id == row.id, email_key=new)
            if name == "order":
                hold = TABLES["hold"]
                _set(hold, hold.c.order_id == row.id, email_key=new)
            if name != "user":
                _rehash(TABLES[name], row.id, old, new)
    for row in _foreign(ENROLLMENT):
        old, new = _key(row.email, before), _key(row.email, after)
        if old != new and row.address_hash == _hash(old):
            _rehash(ENROLLMENT, row.id, old, new)


def _foreign(table: sa.TableClause) -> list[Any]:
    """Return the rows whose address is not all ASCII: the database sorts them out of a million."""
    sqlite = op.get_bind().dialect.name == "sqlite"
    octets = "length(CAST(email AS BLOB))" if sqlite else "octet_length(email)"
    query = sa.select(*table.c).where(sa.text(f"{octets} <> length(email)"))
    if table.name in ("user", "enrollment"):
        names = ("id", "email", "email_key" if table.name == "user" else "address_hash")
        query = query.with_only_columns(*(table.c[one] for one in names))
    else:
        query = query.with_only_columns(table.c.id, table.c.email, table.c.email_key)
    return list(op.get_bind().execute(query))


def _key(email: str, rule: Rule) -> str:
    try:
        found = validate_email(email, check_deliverability=False)
    except EmailNotValidError:
        return ""
    return f"{rule(found.local_part)}@{found.ascii_domain or found.domain}"


def _taken(name: str, key: str) -> bool:
    table = TABLES[name]
    if name == "order":
        return False
    query = sa.select(table.c.id).where(table.c.email_key == key)
    return op.get_bind().scalar(query) is not None


def _hash(key: str) -> str:
    secret: str = current_app.extensions["crossroads"].settings.suppression_key
    return hmac.new(secret.encode(), key.encode(), hashlib.sha256).hexdigest()


def _rehash(table: sa.TableClause, number: int, old: str, new: str) -> None:
    """Give a row and its mails the new hash, which is held back as the old one was."""
    hashed = _hash(new)
    _set(table, table.c.id == number, address_hash=hashed)
    theirs = MESSAGE.c[f"{table.name}_id"] == number
    if table.name == "order":
        theirs &= MESSAGE.c.enrollment_id.is_(None)
    _set(MESSAGE, theirs, address_hash=hashed)
    held = sa.select(sa.literal(hashed), SUPPRESSION.c.reason, SUPPRESSION.c.since)
    known = sa.select(SUPPRESSION.c.reason).where(SUPPRESSION.c.address_hash == hashed)
    if op.get_bind().scalar(known) is None:
        held = held.where(SUPPRESSION.c.address_hash == _hash(old))
        columns = ("address_hash", "reason", "since")
        op.get_bind().execute(SUPPRESSION.insert().from_select(columns, held))


def _set(table: sa.TableClause, which: sa.ColumnElement[bool], **values: str) -> None:
    op.get_bind().execute(sa.update(table).where(which).values(values))
