"""What people agreed to, and withdrew: rows are added, never rewritten."""

from datetime import datetime
from typing import Final

from sqlalchemy import DDL, ForeignKey, String, Text, event
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, UTCDateTime, now
from models.labels import Labeled, stored


class ConsentKind(Labeled):
    """What a person, or staff for them, did about their consent, in the words of the desk."""

    GIVEN = "given", "Signed up and agreed"
    HELD = "held", "Signed up (flagged as a likely bot)"
    HELD_TO_WAIT = "held-to-wait", "Asked for the waiting list (flagged as a likely bot)"
    RELEASED = "released", "Approved by staff"
    CONFIRMED = "confirmed", "Confirmed the address"
    IMPORTED = "imported", "Imported, with consent given elsewhere"
    UNSUBSCRIBED = "unsubscribed", "Unsubscribed"
    RESUBSCRIBED = "resubscribed", "Resubscribed"
    ASKED_TO_WAIT = "asked-to-wait", "Asked for the waiting list and agreed"
    PAID_TO_WAIT = "paid-to-wait", "Paid for a seat when none was left"
    WAITING = "waiting", "Confirmed for the waiting list"
    BOUNCED = "bounced", "The mailbox does not exist"
    ERASED = "erased", "Erased"


IMPORT: Final = "import"  # the form of what a file brought


class ConsentEvent(Base):
    """One act of a person about their consent, with the evidence of it.

    `wording` holds the exact sentence that stood beside the box, empty where the act had none;
    `wording_hash` is its SHA-256 in hex. `page_version` names the state of the page's content.
    `address_hash` is the address's HMAC under SUPPRESSION_KEY: with it and the lead's number the
    row says whose act it was after the person's data are gone. `ip` is truncated to /24 or /48
    before it gets here; erasure clears it, `user_agent`, and the wording of an import, which is
    that of the file. Its hash stays.
    """

    __tablename__ = "consent_event"

    id: Mapped[int] = mapped_column(primary_key=True, init=False)
    lead_id: Mapped[int] = mapped_column(ForeignKey("lead.id"), index=True)
    address_hash: Mapped[str] = mapped_column(String(64))
    kind: Mapped[ConsentKind] = mapped_column(stored(ConsentKind))
    form: Mapped[str] = mapped_column(String(32))
    wording: Mapped[str] = mapped_column(Text, default="")
    wording_hash: Mapped[str] = mapped_column(String(64), default="")
    page: Mapped[str | None] = mapped_column(String(200), default=None)
    page_version: Mapped[str | None] = mapped_column(String(16), default=None)
    ip: Mapped[str | None] = mapped_column(String(45), default=None)
    user_agent: Mapped[str | None] = mapped_column(String(300), default=None)
    created_at: Mapped[datetime] = mapped_column(UTCDateTime, default_factory=now)


# The database itself refuses to rewrite what happened. Migrations lay the same trap.
LASTING = "id, lead_id, address_hash, kind, form, wording_hash, page, page_version, created_at"
REWORDED = f"NEW.wording <> OLD.wording AND (OLD.form <> '{IMPORT}' OR NEW.wording <> '')"
REFUSALS = {
    "sqlite": [
        f"CREATE TRIGGER consent_event_lasts BEFORE UPDATE OF {LASTING} ON consent_event "
        "BEGIN SELECT RAISE(ABORT, 'the ledger of consent is never rewritten'); END",
        "CREATE TRIGGER consent_event_wording_lasts BEFORE UPDATE OF wording ON consent_event "
        f"WHEN {REWORDED} "
        "BEGIN SELECT RAISE(ABORT, 'the ledger of consent is never rewritten'); END",
    ],
    "postgresql": [
        "CREATE OR REPLACE FUNCTION consent_event_lasts() RETURNS trigger LANGUAGE plpgsql AS "
        "'BEGIN RAISE EXCEPTION USING MESSAGE = ''the ledger of consent is never rewritten''; END'",
        f"CREATE TRIGGER consent_event_lasts BEFORE UPDATE OF {LASTING} ON consent_event "
        "FOR EACH ROW EXECUTE FUNCTION consent_event_lasts()",
        "CREATE TRIGGER consent_event_wording_lasts BEFORE UPDATE OF wording ON consent_event "
        f"FOR EACH ROW WHEN ({REWORDED}) EXECUTE FUNCTION consent_event_lasts()",
    ],
}
for dialect, statements in REFUSALS.items():
    for statement in statements:
        refusal = DDL(statement).execute_if(dialect=dialect)  # type: ignore[no-untyped-call]
        event.listen(ConsentEvent.__table__, "after_create", refusal)
