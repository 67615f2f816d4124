"""refunds and disputes: rows of the order's ledger, and what it adds up to

Revision 0007 follows 0006.
"""

import sqlalchemy as sa
from alembic import op

import models.base

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

END = "uq_order_event_end"
UNPAID = "kind IN ('failed', 'expired', 'canceled')"
ENDS = "kind IN ('paid', 'failed', 'expired', 'canceled')"
ONCE = "uq_order_event_order_id_kind"
NEW = ("due_at", "reason", "seats", "amount", "stripe_id", "status", "subject")


def upgrade() -> None:
    with op.batch_alter_table("cohort", schema=None) as batch_op:
        batch_op.add_column(sa.Column("seats", sa.Integer(), nullable=True))

    with op.batch_alter_table("order_event", schema=None) as batch_op:
        batch_op.drop_index(END, sqlite_where=sa.text(ENDS), postgresql_where=sa.text(ENDS))
        batch_op.drop_constraint(batch_op.f(ONCE), type_="unique")
        for name, length in (("subject", 255), ("status", 32), ("reason", 255)):
            batch_op.add_column(
                sa.Column(name, sa.String(length=length), nullable=False, server_default="")
            )
        batch_op.add_column(sa.Column("stripe_id", sa.String(length=255), nullable=True))
        batch_op.add_column(sa.Column("amount", sa.Integer(), nullable=True))
        batch_op.add_column(sa.Column("seats", sa.Integer(), nullable=True))
        batch_op.add_column(
            sa.Column("due_at", models.base.UTCDateTime(timezone=True), nullable=True)
        )
    with op.batch_alter_table("order_event", schema=None) as batch_op:
        for name, length in (("subject", 255), ("status", 32), ("reason", 255)):
            batch_op.alter_column(name, existing_type=sa.String(length=length), server_default=None)
        batch_op.create_unique_constraint(
            batch_op.f(f"{ONCE}_subject_status"), ["order_id", "kind", "subject", "status"]
        )
        batch_op.create_index(
            END,
            ["order_id"],
            unique=True,
            sqlite_where=sa.text(UNPAID),
            postgresql_where=sa.text(UNPAID),
        )

    with op.batch_alter_table("order", schema=None) as batch_op:
        batch_op.add_column(
            sa.Column("state", sa.String(length=16), nullable=False, server_default="open")
        )
        batch_op.add_column(
            sa.Column("seats_kept", sa.Integer(), nullable=False, server_default="0")
        )
    op.execute(
        'UPDATE "order" SET state = coalesce((SELECT kind FROM order_event '
        "WHERE order_id = \"order\".id AND kind <> 'placed' ORDER BY CASE kind "
        "WHEN 'unseated' THEN 0 WHEN 'pending' THEN 2 ELSE 1 END LIMIT 1), 'open'), "
        'seats_kept = (SELECT count(*) FROM enrollment WHERE order_id = "order".id)'
    )
    with op.batch_alter_table("order", schema=None) as batch_op:
        batch_op.alter_column("state", existing_type=sa.String(length=16), server_default=None)
        batch_op.alter_column("seats_kept", existing_type=sa.Integer(), server_default=None)
        batch_op.create_index(batch_op.f("ix_order_state"), ["state"], unique=False)
        batch_op.create_index(
            "ix_order_course_cohort", ["course", "cohort", "seats_kept"], unique=False
        )

    with op.batch_alter_table("message", schema=None) as batch_op:
        batch_op.add_column(sa.Column("order_event_id", sa.Integer(), nullable=True))
        batch_op.create_foreign_key(
            batch_op.f("fk_message_order_event_id_order_event"),
            "order_event",
            ["order_event_id"],
            ["id"],
        )


def downgrade() -> None:
    op.execute("DELETE FROM message WHERE order_event_id IS NOT NULL")
    with op.batch_alter_table("message", schema=None) as batch_op:
        batch_op.drop_constraint(
            batch_op.f("fk_message_order_event_id_order_event"), type_="foreignkey"
        )
        batch_op.drop_column("order_event_id")

    with op.batch_alter_table("order", schema=None) as batch_op:
        batch_op.drop_index("ix_order_course_cohort")
        batch_op.drop_index(batch_op.f("ix_order_state"))
        batch_op.drop_column("seats_kept")
        batch_op.drop_column("state")

    # What the older ledger has no words for is lost with it.
    op.execute("DELETE FROM order_event WHERE kind IN ('refund', 'dispute')")
    op.execute(
        f"DELETE FROM order_event WHERE {UNPAID} AND order_id IN "  # noqa: S608
        "(SELECT order_id FROM (SELECT order_id FROM order_event WHERE kind = 'paid') AS paid)"
    )
    with op.batch_alter_table("order_event", schema=None) as batch_op:
        batch_op.drop_index(END, sqlite_where=sa.text(UNPAID), postgresql_where=sa.text(UNPAID))
        batch_op.drop_constraint(batch_op.f(f"{ONCE}_subject_status"), type_="unique")
        for name in NEW:
            batch_op.drop_column(name)
    with op.batch_alter_table("order_event", schema=None) as batch_op:
        batch_op.create_unique_constraint(batch_op.f(ONCE), ["order_id", "kind"])
        batch_op.create_index(
            END,
            ["order_id"],
            unique=True,
            sqlite_where=sa.text(ENDS),
            postgresql_where=sa.text(ENDS),
        )

    with op.batch_alter_table("cohort", schema=None) as batch_op:
        batch_op.drop_column("seats")
