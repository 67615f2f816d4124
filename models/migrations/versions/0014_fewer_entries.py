"""fewer entries: no index holds what nobody looks up

An event of the ledger is found by its lead. By its address each had an entry of its own at a random
place, and with it one more page written for every sign-up. And most mail is about no order.

Revision 0014 follows 0013.
"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

ABOUT_ONE = sa.text("order_id IS NOT NULL")


def upgrade() -> None:
    op.drop_index("ix_consent_event_address_hash", table_name="consent_event")
    op.drop_index("ix_message_order_id", table_name="message")
    op.create_index(
        "ix_message_order_id",
        "message",
        ["order_id"],
        sqlite_where=ABOUT_ONE,
        postgresql_where=ABOUT_ONE,
    )


def downgrade() -> None:
    op.drop_index("ix_message_order_id", table_name="message")
    op.create_index("ix_message_order_id", "message", ["order_id"])
    op.create_index("ix_consent_event_address_hash", "consent_event", ["address_hash"])
