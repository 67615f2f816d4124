"""mail failing since: a mail is given up some days after its first failed try

Revision 0025 follows 0024.
"""

import sqlalchemy as sa
from alembic import op

from models.base import UTCDateTime

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("message", sa.Column("failing_since", UTCDateTime(), nullable=True))


def downgrade() -> None:
    op.drop_column("message", "failing_since")
