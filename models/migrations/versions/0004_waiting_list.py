"""the waiting list

Revision 0004 follows 0003.
"""

import sqlalchemy as sa
from alembic import op

import models.base

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "waiting_list",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("lead_id", sa.Integer(), nullable=False),
        sa.Column("course", sa.String(length=100), nullable=False),
        sa.Column("cohort", sa.String(length=50), nullable=False),
        sa.Column("confirm_until", models.base.UTCDateTime(timezone=True), nullable=False),
        sa.Column("token", sa.String(length=64), nullable=False),
        sa.Column("asked_at", models.base.UTCDateTime(timezone=True), nullable=False),
        sa.Column("since", models.base.UTCDateTime(timezone=True), nullable=True),
        sa.Column("left_at", models.base.UTCDateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["lead_id"], ["lead.id"], name=op.f("fk_waiting_list_lead_id_lead")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_waiting_list")),
        sa.UniqueConstraint(
            "lead_id", "course", "cohort", name=op.f("uq_waiting_list_lead_id_course_cohort")
        ),
        sa.UniqueConstraint("token", name=op.f("uq_waiting_list_token")),
    )
    with op.batch_alter_table("waiting_list", schema=None) as batch_op:
        batch_op.create_index(
            "ix_waiting_list_course_cohort", ["course", "cohort", "since"], unique=False
        )

    with op.batch_alter_table("message", schema=None) as batch_op:
        batch_op.add_column(sa.Column("waiting_id", sa.Integer(), nullable=True))
        batch_op.create_foreign_key(
            batch_op.f("fk_message_waiting_id_waiting_list"),
            "waiting_list",
            ["waiting_id"],
            ["id"],
        )


def downgrade() -> None:
    with op.batch_alter_table("message", schema=None) as batch_op:
        batch_op.drop_constraint(
            batch_op.f("fk_message_waiting_id_waiting_list"), type_="foreignkey"
        )
        batch_op.drop_column("waiting_id")

    with op.batch_alter_table("waiting_list", schema=None) as batch_op:
        batch_op.drop_index("ix_waiting_list_course_cohort")

    op.drop_table("waiting_list")
