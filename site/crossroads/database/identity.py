"""Identity of this site at Stripe: site id, mode and account, and which orders count.

An order counts when its mode is that of the database. One that was made with a test key counts no
more once the site sells for real money: it holds no seat, is in no list, sum or export, and can be
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

UNKNOWN: Final = ""  # of orders from before the mode was stored, which had no checkout


def of(session: AnySession) -> Site:
    """Return the row of this site, made in the caller's transaction when there is none."""
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
    """Say in SQL that an order counts: the one place where that is decided."""
    column = Order.mode if mode is None else mode
    return column.in_([literal(UNKNOWN), select(Site.stripe_mode).scalar_subquery()])


def of_counting(order_id: InstrumentedAttribute[int]) -> ColumnElement[bool]:
    """Say in SQL that a row hangs on an order that counts, given the order's number in it."""
    theirs = aliased(Order)
    return select(theirs.id).where(theirs.id == order_id, counts(theirs.mode)).exists()


def counting(session: AnySession, order: Order) -> bool:
    """Tell whether an order counts."""
    return order.mode in (UNKNOWN, of(session).stripe_mode)


def others(session: AnySession, mode: str) -> int:
    """Return how many orders of a mode do not count."""
    query = select(func.count(Order.id)).where(Order.mode == mode, ~counts())
    return session.scalar(query) or 0


def is_ours(session: AnySession, site_id: str | None) -> bool:
    """Tell whether an id at Stripe is of this site; what was made before sites had one has None."""
    return site_id is None or site_id == of(session).site_id


def mode_of(*, live: bool) -> str:
    """Return the mode of what is made with a key."""
    return LIVE if live else TEST


def admit(session: AnySession, *, live: bool) -> str:
    """Return the mode of an order that is placed now; the first one sets that of the database."""
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
    """Let test orders count no more, and release their seats, once a live key is used.

    Return whether that is so from now on: the caller then advances the site version, as the last
    thing that it locks, because placing an order locks a cohort before it. It is never
    lowered: a test key on a database that sells changes nothing there.
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


def meet(session: AnySession, account: str | None, *, replace: bool = False) -> str | None:
    """Store the account at first contact; return the stored one when it is another than this.

    `account` is None when the key may not ask whose it is. With `replace` it is stored anyway.
    """
    row = of(session)
    if account and (replace or row.stripe_account is None):
        if row.stripe_account not in (None, account):
            _read_again(session)
        row.stripe_account = account
        session.flush()
    return row.stripe_account if account and row.stripe_account != account else None


def is_own(session: AnySession, account: str | None, *, live: bool) -> bool:
    """Tell whether a key is of this database's mode and, as far as it says, of its account.

    Neither changes until the transaction ends.
    """
    row = of(session)
    session.refresh(row, with_for_update=True)
    return row.stripe_mode in (None, mode_of(live=live)) and (
        account is None or row.stripe_account in (None, account)
    )


def _read_again(session: AnySession) -> None:
    """Let the next sweep read from the start: what was read until now was of something else."""
    session.execute(update(Reconciliation).values(read_until=None))


def greet(session: AnySession, order_id: int, site: str | None, *, live: bool) -> None:
    """Let the database know the mode of an order that has none yet, before that is locked."""
    if session.get_one(Order, order_id).mode != UNKNOWN or not is_ours(session, site):
        return
    raised = raise_to_live(session, live=live)
    admit(session, live=live)
    if raised:
        page_cache_version.advance(session)


def set_mode(session: AnySession, order: Order, *, live: bool) -> None:
    """Store the mode of an order that was placed by a release that did not; it may hold no seat."""
    if order.mode == UNKNOWN:
        order.mode = mode_of(live=live)
        session.flush()
        if not counting(session, order):
            session.execute(delete(Hold).where(Hold.order_id == order.id))
            page_cache_version.advance(session)


def have_read(session: AnySession, owner: str, until: datetime) -> None:
    """Store until when the sweep of an owner has read all."""
    ours = update(Reconciliation).where(Reconciliation.owner == owner)
    session.execute(ours.values(read_until=until))


def learn(session: AnySession, account: str | None, *, live: bool) -> bool:
    """Store what a key tells at first contact, and tell whether it is this database's."""
    raised = raise_to_live(session, live=live)
    meet(session, account)
    own = is_own(session, account, live=live)
    if raised:
        page_cache_version.advance(session)
    return own
