"""mail awaiting its server: what is brought forward when the mail server is back

Revision 0021 follows 0020.
"""

import sqlalchemy as sa
from alembic import op

from models.base import UTCDateTime

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

AWAITING = sa.text("state = 'due' AND awaits_server_since IS NOT NULL")


def upgrade() -> None:
    op.add_column("message", sa.Column("awaits_server_since", UTCDateTime(), nullable=True))
    op.create_index(
        "ix_message_awaits_server",
        "message",
        ["due_at"],
        sqlite_where=AWAITING,
        postgresql_where=AWAITING,
    )
    op.create_index(
        "ix_message_awaits_server_since",
        "message",
        ["awaits_server_since"],
        sqlite_where=AWAITING,
        postgresql_where=AWAITING,
    )


def downgrade() -> None:
    op.drop_index("ix_message_awaits_server_since", table_name="message")
    op.drop_index("ix_message_awaits_server", table_name="message")
    op.drop_column("message", "awaits_server_since")
