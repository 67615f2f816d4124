"""held seats: one address may have several open orders, and buyers can wait for a payment page

Revision 0017 follows 0016.
"""

import sqlalchemy as sa
from alembic import op

import models.base

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("hold") as batch_op:
        batch_op.drop_constraint("uq_hold_course_cohort_email_key", type_="unique")
        batch_op.create_index("ix_hold_course_cohort", ["course", "cohort"])
        batch_op.create_index("ix_hold_email_key", ["email_key"])
    op.create_table(
        "checkout_request",
        sa.Column("order_id", sa.Integer(), nullable=False),
        sa.Column("due_at", models.base.UTCDateTime(timezone=True), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["order_id"], ["order.id"], name=op.f("fk_checkout_request_order_id_order")
        ),
        sa.PrimaryKeyConstraint("order_id", name=op.f("pk_checkout_request")),
    )
    op.create_index("ix_checkout_request_due_at", "checkout_request", ["due_at"])


def downgrade() -> None:
    op.drop_table("checkout_request")
    _merge()
    with op.batch_alter_table("hold") as batch_op:
        batch_op.drop_index("ix_hold_email_key")
        batch_op.drop_index("ix_hold_course_cohort")
        batch_op.create_unique_constraint(
            "uq_hold_course_cohort_email_key", ["course", "cohort", "email_key"]
        )


def _merge() -> None:
    """Leave one hold to an address in a cohort, its newest order's, with the seats of all.

    So no seat is sold again that a buyer may still pay for.
    """
    names = ("order_id", "course", "cohort", "email_key", "seats", "until")
    hold = sa.table("hold", *map(sa.column, names))
    each = hold.alias("each")
    same = sa.and_(*(each.c[name] == hold.c[name] for name in names[1:4]))

    def of_all(value: sa.ColumnElement[object]) -> sa.ScalarSelect[object]:
        return sa.select(value).where(same).correlate(hold).scalar_subquery()

    newest = of_all(sa.func.max(each.c.order_id))
    merged = {
        "seats": of_all(sa.func.sum(each.c.seats)),
        "until": of_all(sa.func.max(each.c.until)),
    }
    op.execute(sa.update(hold).where(hold.c.order_id == newest).values(merged))
    op.execute(sa.delete(hold).where(hold.c.order_id != newest))
