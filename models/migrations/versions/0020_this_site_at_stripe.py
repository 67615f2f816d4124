"""this site at Stripe: whose orders these are, in which mode, and those that are not here

Revision 0020 follows 0019.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

import models.base
from models.site import new_site_id

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

# https://docs.stripe.com/api/checkout/sessions/object#checkout_session_object-id
MODES = {"live": r"cs\_live\_%", "test": r"cs\_test\_%"}

# https://www.sqlite.org/autoinc.html
NUMBERED: Any = {"table_kwargs": {"sqlite_autoincrement": True}}


def upgrade() -> None:
    site = op.create_table(
        "site",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("site_id", sa.String(length=64), nullable=False),
        sa.Column("stripe_mode", sa.String(length=4), nullable=True),
        sa.Column("stripe_account", sa.String(length=255), nullable=True),
        sa.Column("created_at", models.base.UTCDateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_site")),
    )
    op.create_table(
        "lost_checkout",
        sa.Column("session_id", sa.String(length=255), nullable=False),
        sa.Column("reference", sa.String(length=64), nullable=False),
        sa.Column("number", sa.Integer(), nullable=True),
        sa.Column("course", sa.String(length=100), nullable=False),
        sa.Column("cohort", sa.String(length=50), nullable=False),
        sa.Column("item", sa.String(length=250), nullable=False),
        sa.Column("quantity", sa.Integer(), nullable=False),
        sa.Column("unit_amount", sa.Integer(), nullable=False),
        sa.Column("amount", sa.Integer(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("mode", sa.String(length=4), nullable=False),
        sa.Column("email", sa.String(length=254), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("address_hash", sa.String(length=64), nullable=False),
        sa.Column("made_at", models.base.UTCDateTime(timezone=True), nullable=False),
        sa.Column("payment_intent", sa.String(length=255), nullable=True),
        sa.Column("paid_at", models.base.UTCDateTime(timezone=True), nullable=True),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("settled_at", models.base.UTCDateTime(timezone=True), nullable=True),
        sa.Column("how", sa.String(length=16), nullable=False),
        sa.Column("cause", sa.String(length=255), nullable=False),
        sa.Column("found_at", models.base.UTCDateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("session_id", name=op.f("pk_lost_checkout")),
    )
    op.create_index("ix_lost_checkout_address_hash", "lost_checkout", ["address_hash"])
    # The release before this one goes on placing orders meanwhile: those count as they did.
    # SQLite's table is written again, as earlier steps had lost that no number is given twice.
    sqlite = op.get_bind().dialect.name == "sqlite"
    with op.batch_alter_table(
        "order", schema=None, recreate="always" if sqlite else "never", **NUMBERED
    ) as batch_op:
        batch_op.add_column(
            sa.Column("mode", sa.String(length=4), nullable=False, server_default="")
        )
    op.drop_index("ix_order_course_cohort", table_name="order")
    op.create_index("ix_order_course_cohort", "order", ["course", "cohort", "mode", "seats_kept"])
    order = sa.table("order", sa.column("mode"), sa.column("session_id"), sa.column("id"))
    connection = op.get_bind()
    found = None
    for mode, pattern in MODES.items():
        theirs = order.c.session_id.like(pattern, escape="\\")
        connection.execute(order.update().where(theirs).values(mode=mode))
        there = connection.scalar(sa.select(order.c.id).where(theirs).limit(1)) is not None
        found = found or (mode if there else None)
    connection.execute(
        site.insert().values(
            id=1, site_id=new_site_id(), stripe_mode=found, created_at=models.base.now()
        )
    )


def downgrade() -> None:
    op.drop_index("ix_order_course_cohort", table_name="order")
    op.create_index("ix_order_course_cohort", "order", ["course", "cohort", "seats_kept"])
    with op.batch_alter_table("order", schema=None, **NUMBERED) as batch_op:
        batch_op.drop_column("mode")
    op.drop_index("ix_lost_checkout_address_hash", table_name="lost_checkout")
    op.drop_table("lost_checkout")
    op.drop_table("site")
