"""The outbox's list at the desk: filters and sort orders."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

from sqlalchemy import ColumnElement

from crossroads.database.pagination import NEWEST, Filter, Listing, contains
from crossroads.mail import addresses
from crossroads.mail.kinds import MailKind
from models import Message
from models.message import MessageState

SORTS: dict[str, tuple[bool, tuple[Any, ...]]] = {
    NEWEST: (True, (Message.id,)),
    "oldest": (False, (Message.id,)),
    "due": (False, (Message.due_at, Message.id)),
    "due-down": (True, (Message.due_at, Message.id)),
}
MAILS = Listing(Message, SORTS)


@dataclass(frozen=True, kw_only=True)
class MailFilter(Filter):
    """Selects mails of the outbox."""

    KNOWN: ClassVar[Mapping[str, Collection[str]]] = {
        "state": tuple(MessageState),
        "kind": tuple(MailKind),
    }

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
        """Return the filter narrowed to dead mails; None when its state excludes them."""
        return (
            replace(self, state=MessageState.DEAD)
            if self.state in ("", MessageState.DEAD)
            else None
        )


@dataclass(frozen=True, kw_only=True)
class LeadMailFilter(MailFilter):
    """Selects mails that do not belong to an order."""

    def conditions(self) -> list[ColumnElement[bool]]:
        return [Message.order_id.is_(None), *super().conditions()]
