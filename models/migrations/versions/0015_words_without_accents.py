"""words without accents: leads that have other letters than ASCII are indexed again

The index has words as a search compares them, and a search no longer tells accents apart. The
worker indexes these leads as those who come; until then they are looked through as they stand.

Revision 0015 follows 0014.
"""

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _forget()


def downgrade() -> None:
    _forget()


def _forget() -> None:
    if op.get_bind().dialect.name == "sqlite":
        other = "length(CAST(words AS BLOB)) <> length(words)"
    else:
        other = "octet_length(words) <> char_length(words)"
    op.execute(f"DELETE FROM lead_word WHERE lead_id IN (SELECT id FROM lead WHERE {other})")  # noqa: S608
    op.execute(f"UPDATE lead SET words = NULL WHERE {other}")  # noqa: S608
