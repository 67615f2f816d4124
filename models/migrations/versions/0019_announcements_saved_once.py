"""announcements saved once: a version for two who edit at once, a key for a form sent twice

Revision 0019 follows 0018.
"""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "announcement", sa.Column("version", sa.Integer(), server_default="1", nullable=False)
    )
    op.add_column("announcement", sa.Column("form_key", sa.String(length=32), nullable=True))
    op.create_index("ix_announcement_form_key", "announcement", ["form_key"], unique=True)


def downgrade() -> None:
    op.drop_index("ix_announcement_form_key", table_name="announcement")
    op.drop_column("announcement", "form_key")
    op.drop_column("announcement", "version")
