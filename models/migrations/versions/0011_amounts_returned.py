"""amounts returned

Revision 0011 follows 0010.
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "order", sa.Column("amount_returned", sa.Integer(), server_default="0", nullable=False)
    )
    op.execute(
        """
        UPDATE "order" SET amount_returned = coalesce((
            SELECT sum(amount) FROM (
                SELECT max(amount) AS amount FROM order_event AS gone
                WHERE gone.order_id = "order".id AND (
                    gone.kind = 'refund'
                    AND gone.status IN ('pending', 'requires_action', 'succeeded')
                    OR gone.kind = 'dispute' AND gone.status = 'lost'
                ) AND NOT EXISTS (
                    SELECT 1 FROM order_event AS came_back
                    WHERE came_back.order_id = gone.order_id AND came_back.kind = gone.kind
                    AND came_back.subject = gone.subject
                    AND came_back.status IN ('canceled', 'failed', 'won')
                )
                GROUP BY gone.kind, gone.subject
            ) AS each
        ), 0)
        """
    )


def downgrade() -> None:
    op.drop_column("order", "amount_returned")
