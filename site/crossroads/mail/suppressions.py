"""Suppressions: addresses that must not be mailed until their owner confirms again."""

from sqlalchemy import delete

from crossroads.mail.addresses import Address
from models import Suppression, insert_for, now
from models.base import AnySession
from models.suppression import SuppressionReason


def find(session: AnySession, address_hash: str) -> Suppression | None:
    """Return the suppression of the address, if there is one."""
    return session.get(Suppression, address_hash, populate_existing=True)


def add(session: AnySession, address_hash: str, reason: str) -> None:
    """Suppress the address from now on. A stored reason stays, unless the new one is ERASED."""
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
    """Copy the suppression under the address's former key, if any, to a newly added lead.

    The address of an erased person is not stored, so the migration could not compute its new hash.
    """
    former = find(session, address.former) if address.former else None
    if former is not None:
        insert = insert_for(session, Suppression).values(
            address_hash=address.hash, reason=former.reason, since=former.since
        )
        session.execute(insert.on_conflict_do_nothing(index_elements=[Suppression.address_hash]))


def lift(session: AnySession, address_hash: str) -> None:
    """Remove the suppression: the owner of the address has just confirmed it."""
    session.execute(delete(Suppression).where(Suppression.address_hash == address_hash))
