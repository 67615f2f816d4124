"""payment pages that were not opened: why, and no key is kept of what an erased person typed

Revision 0023 follows 0022.
"""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "checkout_request",
        sa.Column("trouble", sa.String(length=8), server_default="", nullable=False),
    )
    op.execute("UPDATE \"order\" SET request_key = 'erased-' || id WHERE email = ''")


def downgrade() -> None:
    # The older version takes every job for one that waits.
    op.execute("DELETE FROM checkout_request WHERE trouble <> ''")
    op.drop_column("checkout_request", "trouble")
