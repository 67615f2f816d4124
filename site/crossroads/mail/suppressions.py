"""Suppressions: addresses that must not be mailed until their owner confirms again."""

from sqlalchemy import delete

from crossroads.mail.addresses import Address
from models import Suppression, insert_for, now
from models.base import AnySession
from models.suppression import SuppressionReason


def find(session: AnySession, address_hash: str) -> Suppression | None:
    """Return what holds mail to the address back, if anything."""
    return session.get(Suppression, address_hash, populate_existing=True)


def add(session: AnySession, address_hash: str, reason: str) -> None:
    """Hold back what is mailed to the address from now on. That it was erased stays the reason."""
    at = now()
    insert = insert_for(session, Suppression).values(
        address_hash=address_hash, reason=reason, since=at
    )
    session.execute(
        insert.on_conflict_do_update(
            index_elements=[Suppression.address_hash],
            set_={
                "since": at,
                **({"reason": reason} if reason == SuppressionReason.ERASED else {}),
            },
        )
    )


def inherit(session: AnySession, address: Address) -> None:
    """Hold back a lead just added as its address was held back under its former key, if it was.

    An erased person's address is not known, so the migration could not store it again.
    """
    former = find(session, address.former) if address.former else None
    if former is not None:
        insert = insert_for(session, Suppression).values(
            address_hash=address.hash, reason=former.reason, since=former.since
        )
        session.execute(insert.on_conflict_do_nothing(index_elements=[Suppression.address_hash]))


def lift(session: AnySession, address_hash: str) -> None:
    """Let the address be mailed again: its owner has just confirmed it."""
    session.execute(delete(Suppression).where(Suppression.address_hash == address_hash))
