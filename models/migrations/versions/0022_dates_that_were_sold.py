"""dates that were sold: those of its cohort, as they were when the order was placed

Revision 0022 follows 0021.
"""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

DATES = ["cohort_starts", "cohort_ends", "cohort_timezone"]
COUNTED = ["course", "cohort", "mode", "seats_kept"]


def upgrade() -> None:
    op.add_column("order", sa.Column("cohort_starts", sa.Date(), nullable=True))
    op.add_column("order", sa.Column("cohort_ends", sa.Date(), nullable=True))
    op.add_column("order", sa.Column("cohort_timezone", sa.String(64), nullable=True))
    op.drop_index("ix_order_course_cohort", table_name="order")
    op.create_index("ix_order_course_cohort", "order", [*COUNTED, *DATES])


def downgrade() -> None:
    op.drop_index("ix_order_course_cohort", table_name="order")
    op.create_index("ix_order_course_cohort", "order", COUNTED)
    for name in DATES:
        op.drop_column("order", name)
