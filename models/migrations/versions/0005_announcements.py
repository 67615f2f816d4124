"""announcements

Revision 0005 follows 0004.
"""

import sqlalchemy as sa
from alembic import op

import models.base

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

ANNOUNCED = "announcement_id IS NOT NULL"
INDEXES = (
    ("uq_message_announcement_id_lead_id", ["announcement_id", "lead_id"], True, ANNOUNCED),
    (
        "ix_message_announcement",
        ["announcement_id", "user_id", "state", "unsubscribed_at"],
        False,
        ANNOUNCED,
    ),
    ("ix_message_dead", ["id"], False, "state = 'dead'"),
)


def upgrade() -> None:
    op.create_table(
        "announcement",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("subject", sa.String(length=150), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("rate", sa.Integer(), nullable=False),
        sa.Column("page", sa.String(length=200), nullable=False),
        sa.Column("campaign", sa.String(length=200), nullable=False),
        sa.Column("waiting", sa.String(length=160), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("receivers", sa.Integer(), nullable=False),
        sa.Column("reached_id", sa.Integer(), nullable=False),
        sa.Column("last_id", sa.Integer(), nullable=False),
        sa.Column("created_at", models.base.UTCDateTime(timezone=True), nullable=False),
        sa.Column("queued_at", models.base.UTCDateTime(timezone=True), nullable=True),
        sa.Column("next_at", models.base.UTCDateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_announcement")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("message", schema=None) as batch_op:
        batch_op.add_column(sa.Column("user_id", sa.Integer(), nullable=True))
        batch_op.add_column(sa.Column("announcement_id", sa.Integer(), nullable=True))
        batch_op.add_column(
            sa.Column("unsubscribed_at", models.base.UTCDateTime(timezone=True), nullable=True)
        )
        for table in ("announcement", "user"):
            batch_op.create_foreign_key(
                batch_op.f(f"fk_message_{table}_id_{table}"), table, [f"{table}_id"], ["id"]
            )
        for name, columns, unique, where in INDEXES:
            batch_op.create_index(
                name,
                columns,
                unique=unique,
                sqlite_where=sa.text(where),
                postgresql_where=sa.text(where),
            )


def downgrade() -> None:
    op.execute(sa.text("DELETE FROM message WHERE announcement_id IS NOT NULL"))
    with op.batch_alter_table("message", schema=None) as batch_op:
        for name, _, _, where in reversed(INDEXES):
            batch_op.drop_index(name, sqlite_where=sa.text(where), postgresql_where=sa.text(where))
        for table in ("announcement", "user"):
            batch_op.drop_constraint(
                batch_op.f(f"fk_message_{table}_id_{table}"), type_="foreignkey"
            )
        for column in ("unsubscribed_at", "announcement_id", "user_id"):
            batch_op.drop_column(column)

    op.drop_table("announcement")
