"""who may be mailed: hashed addresses, suppressions, the last touch, a ledger that lasts

Revision 0006 follows 0005.
"""

import hashlib
import hmac

import sqlalchemy as sa
from alembic import op
from flask import current_app

import models.base

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

CHUNK = 5000
LAST = ("page", "utm_source", "utm_medium", "utm_campaign", "utm_term", "utm_content")
LASTING = (
    "id, lead_id, address_hash, kind, form, wording, wording_hash, page, page_version, created_at"
)


def upgrade() -> None:
    op.create_table(
        "suppression",
        sa.Column("address_hash", sa.String(length=64), nullable=False),
        sa.Column("reason", sa.String(length=16), nullable=False),
        sa.Column("since", models.base.UTCDateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("address_hash", name=op.f("pk_suppression")),
    )
    for table in ("lead", "order", "consent_event", "message"):
        with op.batch_alter_table(table, schema=None) as batch_op:
            batch_op.add_column(sa.Column("address_hash", sa.String(length=64), nullable=True))
    with op.batch_alter_table("lead", schema=None) as batch_op:
        for name in LAST:
            batch_op.add_column(sa.Column(f"last_{name}", sa.String(length=200), nullable=True))
        batch_op.add_column(
            sa.Column("last_signup_at", models.base.UTCDateTime(timezone=True), nullable=True)
        )
    with op.batch_alter_table("consent_event", schema=None) as batch_op:
        batch_op.add_column(sa.Column("page_version", sa.String(length=16), nullable=True))

    _hash("lead")
    _hash("order")
    _copy_hash("consent_event", "lead")
    _copy_hash("message", "lead")
    _copy_hash("message", "order")
    op.execute("UPDATE message SET address_hash = '' WHERE address_hash IS NULL")  # to the staff
    op.execute(
        "UPDATE lead SET last_signup_at = coalesce((SELECT max(created_at) FROM consent_event "
        "WHERE lead_id = lead.id AND kind IN ('given', 'asked-to-wait')), created_at)"
    )

    with op.batch_alter_table("lead", schema=None) as batch_op:
        batch_op.alter_column("address_hash", existing_type=sa.String(64), nullable=False)
        batch_op.alter_column(
            "last_signup_at", existing_type=models.base.UTCDateTime(timezone=True), nullable=False
        )
        batch_op.create_index(batch_op.f("ix_lead_address_hash"), ["address_hash"], unique=False)
        batch_op.create_index(
            "ix_lead_unconfirmed",
            ["last_signup_at"],
            unique=False,
            sqlite_where=sa.text("state IN ('pending', 'held', 'waiting')"),
            postgresql_where=sa.text("state IN ('pending', 'held', 'waiting')"),
        )
    with op.batch_alter_table("order", schema=None) as batch_op:
        batch_op.alter_column("address_hash", existing_type=sa.String(64), nullable=False)
        batch_op.create_index(batch_op.f("ix_order_address_hash"), ["address_hash"], unique=False)
    with op.batch_alter_table("consent_event", schema=None) as batch_op:
        batch_op.alter_column("address_hash", existing_type=sa.String(64), nullable=False)
        batch_op.create_index(
            batch_op.f("ix_consent_event_address_hash"), ["address_hash"], unique=False
        )
    with op.batch_alter_table("message", schema=None) as batch_op:
        batch_op.alter_column("address_hash", existing_type=sa.String(64), nullable=False)
        batch_op.create_index(
            "ix_message_address_hash_created_at", ["address_hash", "created_at"], unique=False
        )

    # The same trap as in models/consent.py.
    if op.get_bind().dialect.name == "sqlite":
        op.execute(
            f"CREATE TRIGGER consent_event_lasts BEFORE UPDATE OF {LASTING} ON consent_event "
            "BEGIN SELECT RAISE(ABORT, 'the ledger of consent is never rewritten'); END"
        )
    else:
        op.execute(
            "CREATE OR REPLACE FUNCTION consent_event_lasts() RETURNS trigger LANGUAGE plpgsql AS "
            "'BEGIN RAISE EXCEPTION USING MESSAGE = "
            "''the ledger of consent is never rewritten''; END'"
        )
        op.execute(
            f"CREATE TRIGGER consent_event_lasts BEFORE UPDATE OF {LASTING} ON consent_event "
            "FOR EACH ROW EXECUTE FUNCTION consent_event_lasts()"
        )


def downgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        op.execute("DROP TRIGGER consent_event_lasts")
    else:
        op.execute("DROP TRIGGER consent_event_lasts ON consent_event")
        op.execute("DROP FUNCTION consent_event_lasts")

    with op.batch_alter_table("message", schema=None) as batch_op:
        batch_op.drop_index("ix_message_address_hash_created_at")
        batch_op.drop_column("address_hash")

    with op.batch_alter_table("consent_event", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_consent_event_address_hash"))
        batch_op.drop_column("page_version")
        batch_op.drop_column("address_hash")

    with op.batch_alter_table("order", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_order_address_hash"))
        batch_op.drop_column("address_hash")

    with op.batch_alter_table("lead", schema=None) as batch_op:
        batch_op.drop_index(
            "ix_lead_unconfirmed",
            sqlite_where=sa.text("state IN ('pending', 'held', 'waiting')"),
            postgresql_where=sa.text("state IN ('pending', 'held', 'waiting')"),
        )
        batch_op.drop_index(batch_op.f("ix_lead_address_hash"))
        batch_op.drop_column("last_signup_at")
        for name in reversed(LAST):
            batch_op.drop_column(f"last_{name}")
        batch_op.drop_column("address_hash")

    op.drop_table("suppression")


def _hash(name: str) -> None:
    """Give each row the HMAC of its address, as the site itself does."""
    key = current_app.extensions["crossroads"].settings.suppression_key.encode()
    table = sa.table(name, sa.column("id"), sa.column("email_key"), sa.column("address_hash"))
    change = (
        sa.update(table)
        .where(table.c.id == sa.bindparam("number"))
        .values(address_hash=sa.bindparam("hash"))
    )
    connection, last = op.get_bind(), 0
    query = sa.select(table.c.id, table.c.email_key).order_by(table.c.id).limit(CHUNK)
    while rows := connection.execute(query.where(table.c.id > last)).all():
        connection.execute(
            change,
            [
                {
                    "number": row[0],
                    "hash": hmac.new(key, row[1].encode(), hashlib.sha256).hexdigest(),
                }
                for row in rows
            ],
        )
        last = rows[-1][0]


def _copy_hash(name: str, owner: str) -> None:
    op.execute(
        f'UPDATE {name} SET address_hash = (SELECT address_hash FROM "{owner}" '  # noqa: S608
        f'WHERE "{owner}".id = {name}.{owner}_id) WHERE {owner}_id IS NOT NULL'
    )
