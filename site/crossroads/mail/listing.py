"""The outbox as the desk looks at it: which mail is meant, and what its kinds are called."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

from sqlalchemy import ColumnElement

from crossroads.database.pagination import NEWEST, Filter, Listing, contains
from crossroads.mail import addresses, outbox
from models import Message
from models.message import DEAD, STATES

NAMES = {
    outbox.CONFIRM: "Confirm your email",
    outbox.WELCOME: "Welcome",
    outbox.ALREADY: "Already subscribed",
    outbox.WAIT: "Confirm the waiting list",
    outbox.WAITING: "On the waiting list",
    outbox.RECEIPT: "Receipt",
    outbox.ENROLLED: "Enrolled",
    outbox.UNSEATED: "No seat was left",
    outbox.REFUND: "Refund",
    outbox.REFUND_FAILED: "Refund did not arrive",
    outbox.FAILED: "Payment did not come",
    outbox.INVITATION: "Invitation to a seat",
    outbox.REPLACED: "Seat went to someone else",
    outbox.WITHDRAWN: "Seat was given back",
    outbox.ANNOUNCEMENT: "Announcement",
    outbox.PLACES: "Announcement to a waiting list",
}

SORTS: dict[str, tuple[bool, tuple[Any, ...]]] = {
    NEWEST: (True, (Message.id,)),
    "oldest": (False, (Message.id,)),
    "due": (False, (Message.due_at, Message.id)),
    "due-down": (True, (Message.due_at, Message.id)),
}
MAILS = Listing(Message, SORTS)


@dataclass(frozen=True, kw_only=True)
class MailFilter(Filter):
    """Which mails are meant."""

    KNOWN: ClassVar[Mapping[str, Collection[str]]] = {"state": STATES, "kind": NAMES}

    READ: ClassVar[Mapping[str, Callable[[str], str]]] = {"q": addresses.cleaned}

    q: str = ""
    state: str = ""
    kind: str = ""

    def conditions(self) -> list[ColumnElement[bool]]:
        found: list[ColumnElement[bool]] = []
        if self.q:
            found.append(contains(Message.recipient, self.q))
        if self.state:
            found.append(Message.state == self.state)
        if self.kind:
            found.append(Message.kind == self.kind)
        return found

    def dead(self) -> Self | None:
        """Return the filter narrowed to what was given up; None when it leaves that out."""
        return replace(self, state=DEAD) if self.state in ("", DEAD) else None


@dataclass(frozen=True, kw_only=True)
class LeadMailFilter(MailFilter):
    """Which mails are meant, of those that are no buyer's."""

    def conditions(self) -> list[ColumnElement[bool]]:
        return [Message.order_id.is_(None), *super().conditions()]


def name(kind: str) -> str:
    """Return what the desk calls a kind of mail."""
    return NAMES.get(kind, kind.capitalize())
