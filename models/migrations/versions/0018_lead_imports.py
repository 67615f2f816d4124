"""lead imports: which file brought which leads, so that an import can be undone

Revision 0018 follows 0017.
"""

import sqlalchemy as sa
from alembic import op

import models.base

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

IMPORTED = sa.text("import_id IS NOT NULL")


def upgrade() -> None:
    op.create_table(
        "lead_import",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("file", sa.String(length=255), nullable=False),
        sa.Column("imported_by", sa.String(length=100), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("lines", sa.Integer(), nullable=False),
        sa.Column("added", sa.Integer(), nullable=False),
        sa.Column("unsubscribed", sa.Integer(), nullable=False),
        sa.Column("held", sa.Integer(), nullable=False),
        sa.Column("removed", sa.Integer(), nullable=False),
        sa.Column("created_at", models.base.UTCDateTime(timezone=True), nullable=False),
        sa.Column("undone_at", models.base.UTCDateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_lead_import")),
    )
    op.add_column("lead", sa.Column("import_id", sa.Integer(), nullable=True))
    op.create_index(
        "ix_lead_import_id",
        "lead",
        ["import_id"],
        sqlite_where=IMPORTED,
        postgresql_where=IMPORTED,
    )


def downgrade() -> None:
    op.drop_index("ix_lead_import_id", table_name="lead")
    with op.batch_alter_table("lead", schema=None) as batch_op:
        batch_op.drop_column("import_id")
    op.drop_table("lead_import")
