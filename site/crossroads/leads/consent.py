"""The consent ledger: each agreement and withdrawal of a person, with the wording shown.

Every change of a lead's state is an event here, so that the ledger alone tells the state.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import insert, select

from models import ConsentEvent, Lead, now
from models.base import AnySession, table_of
from models.consent import ConsentKind
from models.lead import LeadState

# Past the ORM: the transaction that writes the event never reads it.
_APPEND: Final = insert(table_of(ConsentEvent))

ANY: Final = frozenset({None, *LeadState} - {LeadState.ERASED})
# From which states an event leads to which; any other state it leaves as it is, and None is a new
# lead's. Who typed an address is not known to be its owner: what anyone can send moves nobody who
# has confirmed or left. Only what comes with a mailed link does.
MOVES: Final[Mapping[ConsentKind, tuple[frozenset[LeadState | None], LeadState]]] = {
    ConsentKind.GIVEN: (frozenset({None, LeadState.HELD, LeadState.WAITING}), LeadState.PENDING),
    ConsentKind.RELEASED: (frozenset({LeadState.HELD}), LeadState.PENDING),
    ConsentKind.HELD: (frozenset({None}), LeadState.HELD),
    ConsentKind.HELD_TO_WAIT: (frozenset({None}), LeadState.HELD),
    ConsentKind.ASKED_TO_WAIT: (frozenset({None, LeadState.HELD}), LeadState.WAITING),
    ConsentKind.PAID_TO_WAIT: (frozenset({None, LeadState.HELD}), LeadState.WAITING),
    ConsentKind.WAITING: (frozenset({LeadState.HELD, LeadState.UNSUBSCRIBED}), LeadState.WAITING),
    ConsentKind.IMPORTED: (frozenset({None}), LeadState.CONFIRMED),
    ConsentKind.CONFIRMED: (ANY, LeadState.CONFIRMED),
    ConsentKind.UNSUBSCRIBED: (ANY, LeadState.UNSUBSCRIBED),
    ConsentKind.ERASED: (ANY, LeadState.ERASED),
}


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """Where an act of consent came from: the form, its page, a truncated IP, the browser.

    `page_version` names the state that the page's content was in.
    """

    form: str
    page: str | None = None
    page_version: str | None = None
    ip: str | None = None
    user_agent: str | None = None


@lru_cache(maxsize=256)
def wording_hash(wording: str) -> str:
    """Return the SHA-256 of a wording in hex, which identifies it."""
    return hashlib.sha256(wording.encode()).hexdigest()


def record(
    session: AnySession, lead: Lead, kind: ConsentKind, evidence: Evidence, wording: str = ""
) -> None:
    """Append one event to the ledger of a lead, and set the lead's state accordingly.

    `wording` is the exact sentence agreed to. The only code that sets a lead's state.
    """
    append(session, [event(lead.id, lead.address_hash, kind, evidence, wording)])
    if kind == ConsentKind.RESUBSCRIBED:  # only the ledger knows what was before
        lead.state = state_of(events_of(session, lead.id)) or lead.state
    elif (after := _next_state(lead.state, kind)) and after != lead.state:
        lead.state = after


def event(
    lead_id: int, address_hash: str, kind: ConsentKind, evidence: Evidence, wording: str = ""
) -> dict[str, Any]:
    """Return the row of an event; `wording` is the exact sentence agreed to."""
    return {
        "lead_id": lead_id,
        "address_hash": address_hash,
        "kind": kind,
        "wording": wording,
        "wording_hash": wording_hash(wording) if wording else "",
        **vars(evidence),
        "created_at": now(),
    }


def append(session: AnySession, events: Sequence[Mapping[str, Any]]) -> None:
    """Append events to ledgers; the caller updates the states of their leads."""
    session.execute(_APPEND, events)


def first_state(kind: ConsentKind) -> LeadState:
    """Return the state of a lead whose ledger begins with an event of this kind."""
    state = _next_state(None, kind)
    if state is None:
        raise ValueError(f"no ledger begins with {kind.value!r}")
    return state


def events_of(session: AnySession, lead_id: int) -> Sequence[ConsentEvent]:
    """Return a lead's events, oldest first."""
    query = select(ConsentEvent).where(ConsentEvent.lead_id == lead_id)
    return session.scalars(query.order_by(ConsentEvent.id)).all()


def state_of(events: Iterable[ConsentEvent]) -> LeadState | None:
    """Rebuild a lead's state from its ledger alone; None when that is empty."""
    state: LeadState | None = None
    left: LeadState | None = None
    for event in events:
        if event.kind == ConsentKind.UNSUBSCRIBED:
            left = state
        state = left if event.kind == ConsentKind.RESUBSCRIBED else _next_state(state, event.kind)
    return state


def _next_state(state: LeadState | None, kind: ConsentKind) -> LeadState | None:
    """Return the state that an event leads to from another; None stands for a new lead."""
    before, after = MOVES.get(kind, (frozenset(), None))
    return after if state in before else state
