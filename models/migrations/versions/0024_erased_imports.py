"""erased imports: what a file said of a person can be taken out of the ledger of consent

Revision 0024 follows 0023.
"""

from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None

BEFORE = (
    "id, lead_id, address_hash, kind, form, wording, wording_hash, page, page_version, created_at"
)
LASTING = "id, lead_id, address_hash, kind, form, wording_hash, page, page_version, created_at"
REWORDED = "NEW.wording <> OLD.wording AND (OLD.form <> 'import' OR NEW.wording <> '')"
RAISE = "BEGIN SELECT RAISE(ABORT, 'the ledger of consent is never rewritten'); END"
CALL = "EXECUTE FUNCTION consent_event_lasts()"
# Leads that were erased before, and imports none of whose leads is left.
ERASED = "SELECT id FROM lead WHERE state = 'erased'"
EMPTIED = (
    "UPDATE lead_import SET file = '', source = '' WHERE undone_at IS NULL AND added > 0 "
    "AND NOT EXISTS (SELECT 1 FROM lead WHERE lead.import_id = lead_import.id)"
)


def upgrade() -> None:
    _drop("consent_event_lasts")
    _guard("consent_event_lasts", LASTING)
    _guard("consent_event_wording_lasts", "wording", REWORDED)
    op.execute(
        f"UPDATE consent_event SET wording = '' WHERE form = 'import' AND lead_id IN ({ERASED})"  # noqa: S608
    )
    op.execute("UPDATE lead SET import_id = NULL WHERE state = 'erased'")
    op.execute(EMPTIED)


def downgrade() -> None:
    _drop("consent_event_wording_lasts")
    _drop("consent_event_lasts")
    _guard("consent_event_lasts", BEFORE)


def _guard(name: str, columns: str, when: str = "") -> None:
    head = f"CREATE TRIGGER {name} BEFORE UPDATE OF {columns} ON consent_event "
    if op.get_bind().dialect.name == "sqlite":
        op.execute(f"{head}{f'WHEN {when} ' if when else ''}{RAISE}")
    else:
        op.execute(f"{head}FOR EACH ROW {f'WHEN ({when}) ' if when else ''}{CALL}")


def _drop(name: str) -> None:
    table = "" if op.get_bind().dialect.name == "sqlite" else " ON consent_event"
    op.execute(f"DROP TRIGGER {name}{table}")
