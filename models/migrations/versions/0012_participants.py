"""participants: who has which seat, who had it before, and which seats a refund took

Revision 0012 follows 0011.
"""

import sqlalchemy as sa
from alembic import op

import models.base

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

CURRENT = sa.text("ended_at IS NULL")
PLACE = ["order_id", "seat"]
UNIQUE = "uq_enrollment_order_id_seat"


def upgrade() -> None:
    with op.batch_alter_table("enrollment", schema=None) as batch_op:
        batch_op.drop_constraint(batch_op.f(UNIQUE), type_="unique")
        batch_op.add_column(
            sa.Column("address_hash", sa.String(length=64), nullable=False, server_default="")
        )
        batch_op.add_column(
            sa.Column("kept", sa.Boolean(), nullable=False, server_default=sa.true())
        )
        batch_op.add_column(
            sa.Column("ended_at", models.base.UTCDateTime(timezone=True), nullable=True)
        )
    # So far the only participant was the buyer, and refunds took the last seats first.
    op.execute(
        'UPDATE enrollment SET address_hash = coalesce((SELECT address_hash FROM "order" '
        "WHERE \"order\".id = order_id AND enrollment.seat = 1), ''), "
        'kept = (SELECT enrollment.seat <= seats_kept FROM "order" WHERE "order".id = order_id)'
    )
    with op.batch_alter_table("enrollment", schema=None) as batch_op:
        batch_op.alter_column(
            "address_hash", existing_type=sa.String(length=64), server_default=None
        )
        batch_op.alter_column("kept", existing_type=sa.Boolean(), server_default=None)
        batch_op.create_index(
            UNIQUE, PLACE, unique=True, sqlite_where=CURRENT, postgresql_where=CURRENT
        )
        batch_op.create_index("ix_enrollment_order_id_seat", PLACE, unique=False)
        batch_op.create_index(batch_op.f("ix_enrollment_address_hash"), ["address_hash"])

    with op.batch_alter_table("order_event", schema=None) as batch_op:
        batch_op.add_column(sa.Column("seat_numbers", sa.JSON(none_as_null=True), nullable=True))

    with op.batch_alter_table("message", schema=None) as batch_op:
        batch_op.add_column(sa.Column("enrollment_id", sa.Integer(), nullable=True))
        batch_op.create_foreign_key(
            batch_op.f("fk_message_enrollment_id_enrollment"),
            "enrollment",
            ["enrollment_id"],
            ["id"],
        )


def downgrade() -> None:
    op.execute("DELETE FROM message WHERE enrollment_id IS NOT NULL")
    with op.batch_alter_table("message", schema=None) as batch_op:
        batch_op.drop_constraint(
            batch_op.f("fk_message_enrollment_id_enrollment"), type_="foreignkey"
        )
        batch_op.drop_column("enrollment_id")

    op.execute("DELETE FROM order_event WHERE kind = 'named'")
    with op.batch_alter_table("order_event", schema=None) as batch_op:
        batch_op.drop_column("seat_numbers")

    # Who had a seat before is lost.
    op.execute("DELETE FROM enrollment WHERE ended_at IS NOT NULL")
    with op.batch_alter_table("enrollment", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_enrollment_address_hash"))
        batch_op.drop_index("ix_enrollment_order_id_seat")
        batch_op.drop_index(UNIQUE, sqlite_where=CURRENT, postgresql_where=CURRENT)
        batch_op.drop_column("ended_at")
        batch_op.drop_column("kept")
        batch_op.drop_column("address_hash")
        batch_op.create_unique_constraint(batch_op.f(UNIQUE), PLACE)
