"""The consent ledger: what a person agreed to or took back, in the words that were shown."""

import hashlib
from dataclasses import dataclass

from models import ConsentEvent, Lead
from models.base import AnySession

GIVEN = "given"
CONFIRMED = "confirmed"
UNSUBSCRIBED = "unsubscribed"
RESUBSCRIBED = "resubscribed"
ASKED_TO_WAIT = "asked-to-wait"
WAITING = "waiting"  # confirmed the place on a waiting list


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """Where an act of consent came from: the form, its page, a truncated IP, the browser."""

    form: str
    page: str | None = None
    ip: str | None = None
    user_agent: str | None = None


def record(
    session: AnySession,
    lead: Lead,
    kind: str,
    evidence: Evidence,
    wording: str = "",
) -> None:
    """Append one event to the ledger of a lead. `wording` is the exact sentence agreed to."""
    session.add(
        ConsentEvent(
            lead_id=lead.id,
            kind=kind,
            wording=wording,
            wording_hash=hashlib.sha256(wording.encode()).hexdigest() if wording else "",
            page=evidence.page,
            form=evidence.form,
            ip=evidence.ip,
            user_agent=evidence.user_agent,
        )
    )
