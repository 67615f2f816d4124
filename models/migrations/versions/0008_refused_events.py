"""refused events

Revision 0008 follows 0007.
"""

import sqlalchemy as sa
from alembic import op

import models.base

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "refused_event",
        sa.Column("id", sa.String(length=255), nullable=False),
        sa.Column("refused_at", models.base.UTCDateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_refused_event")),
    )


def downgrade() -> None:
    op.drop_table("refused_event")
