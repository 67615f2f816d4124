"""orders and enrollments

Revision 0002 follows 0001.
"""

import sqlalchemy as sa
from alembic import op

import models.base

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "order",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("course", sa.String(length=100), nullable=False),
        sa.Column("cohort", sa.String(length=50), nullable=False),
        sa.Column("email", sa.String(length=254), nullable=False),
        sa.Column("email_key", sa.String(length=320), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("item", sa.String(length=250), nullable=False),
        sa.Column("seats", sa.Integer(), nullable=False),
        sa.Column("unit_amount", sa.Integer(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("session_until", models.base.UTCDateTime(timezone=True), nullable=False),
        sa.Column("request_key", sa.String(length=64), nullable=False),
        sa.Column("token", sa.String(length=64), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("session_id", sa.String(length=255), nullable=True),
        sa.Column("session_url", sa.Text(), nullable=True),
        sa.Column("payment_intent", sa.String(length=255), nullable=True),
        sa.Column("created_at", models.base.UTCDateTime(timezone=True), nullable=False),
        sa.CheckConstraint("seats between 1 and 20", name=op.f("ck_order_seats")),
        sa.CheckConstraint("unit_amount > 0", name=op.f("ck_order_unit_amount")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_order")),
        sa.UniqueConstraint("request_key", name=op.f("uq_order_request_key")),
        sa.UniqueConstraint("session_id", name=op.f("uq_order_session_id")),
        sa.UniqueConstraint("token", name=op.f("uq_order_token")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("order", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_order_created_at"), ["created_at"], unique=False)
        batch_op.create_index(batch_op.f("ix_order_email_key"), ["email_key"], unique=False)
        batch_op.create_index(
            batch_op.f("ix_order_payment_intent"), ["payment_intent"], unique=False
        )

    op.create_table(
        "stripe_event",
        sa.Column("id", sa.String(length=255), nullable=False),
        sa.Column("kind", sa.String(length=100), nullable=False),
        sa.Column("object_id", sa.String(length=255), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("due_at", models.base.UTCDateTime(timezone=True), nullable=False),
        sa.Column("owner", sa.String(length=64), nullable=True),
        sa.Column("lease_until", models.base.UTCDateTime(timezone=True), nullable=True),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("received_at", models.base.UTCDateTime(timezone=True), nullable=False),
        sa.Column("done_at", models.base.UTCDateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_stripe_event")),
    )
    with op.batch_alter_table("stripe_event", schema=None) as batch_op:
        batch_op.create_index(
            "ix_stripe_event_due",
            ["due_at"],
            unique=False,
            sqlite_where=sa.text("done_at IS NULL"),
            postgresql_where=sa.text("done_at IS NULL"),
        )

    op.create_table(
        "enrollment",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("order_id", sa.Integer(), nullable=False),
        sa.Column("seat", sa.Integer(), nullable=False),
        sa.Column("course", sa.String(length=100), nullable=False),
        sa.Column("cohort", sa.String(length=50), nullable=False),
        sa.Column("email", sa.String(length=254), nullable=True),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("token", sa.String(length=64), nullable=False),
        sa.Column("created_at", models.base.UTCDateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["order_id"], ["order.id"], name=op.f("fk_enrollment_order_id_order")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_enrollment")),
        sa.UniqueConstraint("order_id", "seat", name=op.f("uq_enrollment_order_id_seat")),
        sa.UniqueConstraint("token", name=op.f("uq_enrollment_token")),
    )
    with op.batch_alter_table("enrollment", schema=None) as batch_op:
        batch_op.create_index("ix_enrollment_course_cohort", ["course", "cohort"], unique=False)

    op.create_table(
        "hold",
        sa.Column("order_id", sa.Integer(), nullable=False),
        sa.Column("course", sa.String(length=100), nullable=False),
        sa.Column("cohort", sa.String(length=50), nullable=False),
        sa.Column("email_key", sa.String(length=320), nullable=False),
        sa.Column("seats", sa.Integer(), nullable=False),
        sa.Column("network", sa.String(length=50), nullable=False),
        sa.Column("until", models.base.UTCDateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["order_id"], ["order.id"], name=op.f("fk_hold_order_id_order")),
        sa.PrimaryKeyConstraint("order_id", name=op.f("pk_hold")),
        sa.UniqueConstraint(
            "course", "cohort", "email_key", name=op.f("uq_hold_course_cohort_email_key")
        ),
    )
    with op.batch_alter_table("hold", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_hold_network"), ["network"], unique=False)

    op.create_table(
        "order_event",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("order_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("cause", sa.String(length=255), nullable=False),
        sa.Column("amount_subtotal", sa.Integer(), nullable=True),
        sa.Column("amount_discount", sa.Integer(), nullable=True),
        sa.Column("amount_tax", sa.Integer(), nullable=True),
        sa.Column("amount_total", sa.Integer(), nullable=True),
        sa.Column("created_at", models.base.UTCDateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["order_id"], ["order.id"], name=op.f("fk_order_event_order_id_order")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_order_event")),
        sa.UniqueConstraint("order_id", "kind", name=op.f("uq_order_event_order_id_kind")),
    )
    with op.batch_alter_table("order_event", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_order_event_order_id"), ["order_id"], unique=False)
        batch_op.create_index(
            "uq_order_event_end",
            ["order_id"],
            unique=True,
            sqlite_where=sa.text("kind IN ('paid', 'failed', 'expired', 'canceled')"),
            postgresql_where=sa.text("kind IN ('paid', 'failed', 'expired', 'canceled')"),
        )

    with op.batch_alter_table("message", schema=None) as batch_op:
        batch_op.add_column(sa.Column("order_id", sa.Integer(), nullable=True))
        batch_op.create_index(batch_op.f("ix_message_order_id"), ["order_id"], unique=False)
        batch_op.create_foreign_key(
            batch_op.f("fk_message_order_id_order"), "order", ["order_id"], ["id"]
        )


def downgrade() -> None:
    with op.batch_alter_table("message", schema=None) as batch_op:
        batch_op.drop_constraint(batch_op.f("fk_message_order_id_order"), type_="foreignkey")
        batch_op.drop_index(batch_op.f("ix_message_order_id"))
        batch_op.drop_column("order_id")

    with op.batch_alter_table("order_event", schema=None) as batch_op:
        batch_op.drop_index(
            "uq_order_event_end",
            sqlite_where=sa.text("kind IN ('paid', 'failed', 'expired', 'canceled')"),
            postgresql_where=sa.text("kind IN ('paid', 'failed', 'expired', 'canceled')"),
        )
        batch_op.drop_index(batch_op.f("ix_order_event_order_id"))

    op.drop_table("order_event")
    with op.batch_alter_table("hold", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_hold_network"))

    op.drop_table("hold")
    with op.batch_alter_table("enrollment", schema=None) as batch_op:
        batch_op.drop_index("ix_enrollment_course_cohort")

    op.drop_table("enrollment")
    with op.batch_alter_table("stripe_event", schema=None) as batch_op:
        batch_op.drop_index(
            "ix_stripe_event_due",
            sqlite_where=sa.text("done_at IS NULL"),
            postgresql_where=sa.text("done_at IS NULL"),
        )

    op.drop_table("stripe_event")
    with op.batch_alter_table("order", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_order_payment_intent"))
        batch_op.drop_index(batch_op.f("ix_order_email_key"))
        batch_op.drop_index(batch_op.f("ix_order_created_at"))

    op.drop_table("order")
