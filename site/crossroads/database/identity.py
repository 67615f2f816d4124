"""Identity of this site at Stripe: site id, mode and account, and which orders count.

An order counts when its mode is that of the database. Once the site sells for real money, an order
made with a test key no longer counts: it holds no seat, is in no list, sum or export, and can be
purged.
"""

from datetime import datetime
from typing import Final

from sqlalchemy import ColumnElement, delete, func, literal, select, update
from sqlalchemy.orm import InstrumentedAttribute, aliased

from crossroads.database import page_cache_version
from models import Cohort, Hold, Order, Reconciliation, Site, insert_for, now
from models.base import AnySession
from models.site import LIVE, TEST, new_site_id

UNKNOWN: Final = ""  # mode of orders from before the mode was stored, which had no checkout


def of(session: AnySession) -> Site:
    """Return the row of this site; insert it in the caller's transaction when there is none."""
    found = session.get(Site, 1)
    if found is None:
        session.execute(
            insert_for(session, Site)
            .values(id=1, site_id=new_site_id(), created_at=now())
            .on_conflict_do_nothing()
        )
        found = session.get_one(Site, 1)
    return found


def counts(mode: InstrumentedAttribute[str] | None = None) -> ColumnElement[bool]:
    """Return the SQL condition that an order counts. All queries use this one."""
    column = Order.mode if mode is None else mode
    return column.in_([literal(UNKNOWN), select(Site.stripe_mode).scalar_subquery()])


def of_counting(order_id: InstrumentedAttribute[int]) -> ColumnElement[bool]:
    """Return the SQL condition that the order with the id in this column counts."""
    theirs = aliased(Order)
    return select(theirs.id).where(theirs.id == order_id, counts(theirs.mode)).exists()


def counting(session: AnySession, order: Order) -> bool:
    """Return whether an order counts."""
    return order.mode in (UNKNOWN, of(session).stripe_mode)


def count_excluded(session: AnySession, mode: str) -> int:
    """Return the number of orders of a mode that do not count."""
    query = select(func.count(Order.id)).where(Order.mode == mode, ~counts())
    return session.scalar(query) or 0


def is_ours(session: AnySession, site_id: str | None) -> bool:
    """Return whether a site id at Stripe is ours. None is: objects had no site id at first."""
    return site_id is None or site_id == of(session).site_id


def mode_of(*, live: bool) -> str:
    """Return the mode of a live or a test key."""
    return LIVE if live else TEST


def mode_of_new_order(session: AnySession, *, live: bool) -> str:
    """Return the mode of a new order; the first order also sets the mode of the database."""
    row = of(session)
    mode = mode_of(live=live)
    if row.stripe_mode is None:
        session.refresh(row, with_for_update=True)
        row.stripe_mode = row.stripe_mode or mode
        if row.stripe_mode == LIVE:
            _read_again(session)
    session.flush()
    return mode


def raise_to_live(session: AnySession, *, live: bool) -> bool:
    """Set the mode to live when a live key is used: test orders stop counting, seats are released.

    Returns whether the mode has changed. The caller then advances the page cache version, and locks
    nothing after that: placing an order locks a cohort first. The mode never goes back to test: a
    test key on a live database changes nothing.
    """
    row = of(session)
    if not live or row.stripe_mode != TEST:
        return False
    session.execute(select(Cohort.code).order_by(Cohort.course, Cohort.code).with_for_update())
    session.refresh(row, with_for_update=True)
    if row.stripe_mode != TEST:
        return False
    row.stripe_mode = LIVE
    session.flush()
    session.execute(
        delete(Hold).where(Hold.order_id.in_(select(Order.id).where(~counts()).scalar_subquery()))
    )
    _read_again(session)
    return True


def record_account(
    session: AnySession, account: str | None, *, replace: bool = False
) -> str | None:
    """Store the account at first contact; return the stored one when it differs from this one.

    `account` is None when the key may not read its account. `replace` overwrites a stored account.
    """
    row = of(session)
    if account and (replace or row.stripe_account is None):
        if row.stripe_account not in (None, account):
            _read_again(session)
        row.stripe_account = account
        session.flush()
    return row.stripe_account if account and row.stripe_account != account else None


def is_own(session: AnySession, account: str | None, *, live: bool) -> bool:
    """Return whether a key has this database's mode and, if the account is known, its account.

    Locks the row: neither changes until the transaction ends.
    """
    row = of(session)
    session.refresh(row, with_for_update=True)
    return row.stripe_mode in (None, mode_of(live=live)) and (
        account is None or row.stripe_account in (None, account)
    )


def _read_again(session: AnySession) -> None:
    """Make the next sweep read from the start: earlier ones read another mode or account."""
    session.execute(update(Reconciliation).values(read_until=None))


def adopt_mode(session: AnySession, order_id: int, site: str | None, *, live: bool) -> None:
    """Set the database's mode from an order without a mode, before the order is locked."""
    if session.get_one(Order, order_id).mode != UNKNOWN or not is_ours(session, site):
        return
    raised = raise_to_live(session, live=live)
    mode_of_new_order(session, live=live)
    if raised:
        page_cache_version.advance(session)


def set_mode(session: AnySession, order: Order, *, live: bool) -> None:
    """Store the mode of an order that has none; release its seats if it does not count."""
    if order.mode == UNKNOWN:
        order.mode = mode_of(live=live)
        session.flush()
        if not counting(session, order):
            session.execute(delete(Hold).where(Hold.order_id == order.id))
            page_cache_version.advance(session)


def store_read_until(session: AnySession, owner: str, until: datetime) -> None:
    """Store the time up to which the sweep of an owner has read everything."""
    ours = update(Reconciliation).where(Reconciliation.owner == owner)
    session.execute(ours.values(read_until=until))


def record_key(session: AnySession, account: str | None, *, live: bool) -> bool:
    """Store a key's mode and account at first contact; return whether they are this database's."""
    raised = raise_to_live(session, live=live)
    record_account(session, account)
    own = is_own(session, account, live=live)
    if raised:
        page_cache_version.advance(session)
    return own
