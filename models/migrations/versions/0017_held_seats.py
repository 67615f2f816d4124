"""held seats: one address may have several open orders, and buyers can wait for a payment page

Revision 0017 follows 0016.
"""

import sqlalchemy as sa
from alembic import op

import models.base

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("hold") as batch_op:
        batch_op.drop_constraint("uq_hold_course_cohort_email_key", type_="unique")
        batch_op.create_index("ix_hold_course_cohort", ["course", "cohort"])
        batch_op.create_index("ix_hold_email_key", ["email_key"])
    op.create_table(
        "checkout_request",
        sa.Column("order_id", sa.Integer(), nullable=False),
        sa.Column("due_at", models.base.UTCDateTime(timezone=True), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["order_id"], ["order.id"], name=op.f("fk_checkout_request_order_id_order")
        ),
        sa.PrimaryKeyConstraint("order_id", name=op.f("pk_checkout_request")),
    )
    op.create_index("ix_checkout_request_due_at", "checkout_request", ["due_at"])


def downgrade() -> None:
    op.drop_table("checkout_request")
    with op.batch_alter_table("hold") as batch_op:
        batch_op.drop_index("ix_hold_email_key")
        batch_op.drop_index("ix_hold_course_cohort")
        batch_op.create_unique_constraint(
            "uq_hold_course_cohort_email_key", ["course", "cohort", "email_key"]
        )
