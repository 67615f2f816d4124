"""checkout options

Revision 0009 follows 0008.
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Orders from before were placed with none of them.
    op.add_column(
        "order", sa.Column("checkout_options", sa.JSON(), server_default="{}", nullable=False)
    )


def downgrade() -> None:
    op.drop_column("order", "checkout_options")
