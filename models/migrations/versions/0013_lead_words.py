"""lead words: find leads at the desk among a million as among a thousand

Revision 0013 follows 0012.
"""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

NARROWED = ("state", "page", "utm_campaign")
UNINDEXED = sa.text("words IS NULL")


def upgrade() -> None:
    op.create_table(
        "lead_word",
        sa.Column(
            "word",
            sa.String(length=32).with_variant(sa.String(length=32, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column("lead_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("word", "lead_id", name=op.f("pk_lead_word")),
        sqlite_with_rowid=False,
    )
    # Leads that are already stored are indexed by the worker, like new ones.
    op.add_column("lead", sa.Column("words", sa.Text(), nullable=True))
    for name in NARROWED:
        op.create_index(f"ix_lead_{name}_created_at", "lead", [name, "created_at"])
    op.create_index(
        "ix_lead_unindexed", "lead", ["id"], sqlite_where=UNINDEXED, postgresql_where=UNINDEXED
    )


def downgrade() -> None:
    op.drop_index("ix_lead_unindexed", table_name="lead")
    for name in NARROWED:
        op.drop_index(f"ix_lead_{name}_created_at", table_name="lead")
    with op.batch_alter_table("lead", schema=None) as batch_op:
        batch_op.drop_column("words")
    op.drop_table("lead_word")
