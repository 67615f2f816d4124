"""Lost checkouts: sales at Stripe whose order is missing here, after a backup was restored.

A checkout with this site's id in its metadata and an unknown order token was sold by this site.
Its order number is not used again. The desk shows each lost payment until staff enroll the buyer
or refund it.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from email_validator import EmailNotValidError
from sqlalchemy import func, select, text, update

from crossroads import money, payments
from crossroads.content import Content
from crossroads.database import identity, page_cache_version
from crossroads.mail import addresses
from crossroads.orders import ledger, seats
from crossroads.orders import lifecycle as orders
from crossroads.payments import Checkout
from models import Hold, LostCheckout, Order, Reconciliation, Site, now, personal_data
from models.base import AnySession
from models.lost_checkout import LostCheckoutEnd
from models.order import OrderEventKind

HIGHEST: Final = 2_000_000_000  # leaves room in the column for the order numbers after it


class LostError(Exception):
    """A lost checkout could not be settled. The message gives the reason and the next step."""


def note(session: AnySession, listed: Iterable[Checkout], suppression_key: str) -> None:
    """Store the checkouts of this site whose order is missing, and reserve their order numbers.

    `listed` are any checkouts of the key's account and mode. Needs a writing session.
    """
    ours = [one for one in listed if one.site == identity.of(session).site_id and one.reference]
    if not ours:
        return
    named = {one.reference for one in ours}
    here = set(session.scalars(select(Order.token).where(Order.token.in_(named))))
    lost = [
        one
        for one in ours
        if one.reference not in here and one.status != "expired" and not one.failed
    ]
    # Before the numbers: an order locks the site first, and the version of its pages after that.
    for one in lost:
        identity.mode_of_new_order(session, live=one.live)
    _keep_numbers(session, max(one.number or 0 for one in ours))
    for one in lost:
        _store(session, one, suppression_key)


def undecided(session: AnySession, *, live: bool) -> Sequence[str]:
    """Return the session ids of unsettled lost checkouts in the key's mode, oldest first."""
    query = select(LostCheckout.session_id).where(
        LostCheckout.settled_at.is_(None), LostCheckout.mode == identity.mode_of(live=live)
    )
    return session.scalars(query.order_by(LostCheckout.made_at, LostCheckout.session_id)).all()


def awaiting_staff(session: AnySession) -> Sequence[LostCheckout]:
    """Return the paid ones that wait for staff, oldest first; no test ones on a live site."""
    mode = func.coalesce(select(Site.stripe_mode).scalar_subquery(), LostCheckout.mode)
    query = select(LostCheckout).where(
        LostCheckout.paid_at.is_not(None),
        LostCheckout.settled_at.is_(None),
        LostCheckout.mode == mode,
    )
    return session.scalars(query.order_by(LostCheckout.made_at, LostCheckout.session_id)).all()


def count_excluded(session: AnySession, mode: str) -> int:
    """Count the lost checkouts in another mode than the database's."""
    theirs = LostCheckout.mode == mode
    query = select(func.count()).where(theirs, select(Site.stripe_mode).scalar_subquery() != mode)
    return session.scalar(query.select_from(LostCheckout)) or 0


def refresh(
    session: AnySession,
    session_id: str,
    checkout: Checkout,
    returned: Sequence[payments.Refund],
    cause: str,
) -> None:
    """Update a lost checkout to match Stripe, given the refunds of its payment.

    Deletes an unpaid one. Settles one if its payment was refunded in Stripe's dashboard, or if its
    order exists.
    """
    row = _locked(session, session_id)
    if row is None or row.settled_at is not None:
        return
    if checkout.status == "expired" or checkout.failed:
        session.delete(row)
        return
    if checkout.paid and row.paid_at is None:
        row.paid_at, row.payment_intent = now(), checkout.payment_intent
        row.amount = checkout.amount_total
    back = sum(one.amount for one in returned if one.counts)
    if row.paid_at is not None and 0 < row.amount <= back:
        _settle(row, LostCheckoutEnd.REFUNDED, cause)
        return
    order = session.scalar(select(Order).where(Order.session_id == session_id))
    if order is not None and ledger.balance_of(session, order).paid:
        _settle(row, LostCheckoutEnd.ENROLLED, cause)


def forget_unpaid(session: AnySession, session_id: str) -> bool:
    """Delete an unpaid lost checkout that Stripe does not know; tell whether one was deleted.

    The next search starts at its time of creation, so that it is found again after the key of its
    account is restored.
    """
    row = _locked(session, session_id)
    if row is None or row.paid_at is not None:
        return row is None
    later = Reconciliation.read_until > row.made_at
    session.execute(update(Reconciliation).where(later).values(read_until=row.made_at))
    session.delete(row)
    return True


def enroll(session: AnySession, checkout: Checkout, content: Content, cause: str) -> int:
    """Recreate the order of a lost checkout and enroll its buyer; return the order's number.

    `checkout` is its current state at Stripe. Raises LostError, and ForeignCheckout as
    orders.fulfill does.
    """
    if not checkout.paid:
        raise LostError("Stripe reports it as unpaid")
    order = adopt(session, checkout.id, content, cause)
    orders.fulfill(session, order.id, checkout, cause)
    _settle(_open(session, checkout.id), LostCheckoutEnd.ENROLLED, cause)
    return order.id


def adopt(session: AnySession, session_id: str, content: Content, cause: str) -> Order:
    """Recreate the order of a paid checkout, with its number, token and seats.

    Its seats are held even when the cohort is full: that was the decision of staff. The caller then
    fulfills it. Raises LostError.
    """
    row = _open(session, session_id)
    here = session.scalar(select(Order).where(Order.token == row.reference))
    if here is not None and here.session_id == session_id:
        return here
    if here is not None:
        raise LostError("the order was recreated from another payment: refund this one")
    course = content.course(row.course)
    cohort = course.cohort(row.cohort) if course else None
    if course is None or cohort is None:
        raise LostError(f"{row.course}/{row.cohort} is no longer in the content: refund it")
    try:
        address = addresses.email_key(row.email) if row.email else ""
    except EmailNotValidError:
        raise LostError("its email address is not valid: refund it") from None
    seats.lock(session, course, cohort)
    page_cache_version.advance(session)
    order = Order(
        course=row.course,
        cohort=row.cohort,
        email=row.email,
        email_key=address,
        address_hash=row.address_hash,
        name=row.name,
        item=row.item,
        seats=row.quantity,
        unit_amount=row.unit_amount,
        currency=row.currency,
        session_until=row.made_at,
        request_key=f"lost-{row.session_id}"[:64],
        checkout_options=course.checkout.model_dump(exclude_defaults=True),
        token=row.reference,
        session_id=row.session_id,
        mode=row.mode,
    )
    if row.number is not None and session.get(Order, row.number) is None:
        order.id = row.number
    session.add(order)
    session.flush()
    session.add(
        Hold(
            order_id=order.id,
            course=order.course,
            cohort=order.cohort,
            email_key=address,
            seats=order.seats,
            network="",
            until=now(),
        )
    )
    ledger.record(session, order, OrderEventKind.PLACED, cause)
    return order


def to_refund(session: AnySession, session_id: str) -> tuple[str | None, str]:
    """Return the payment to refund, None if nothing was paid, and the idempotency key.

    Raises LostError.
    """
    row = _open(session, session_id)
    return row.payment_intent, f"lost-{row.session_id}-{row.attempt}"


def refunded(session: AnySession, session_id: str, cause: str) -> None:
    """Record that the payment of a lost checkout was refunded. Raises LostError."""
    _settle(_open(session, session_id), LostCheckoutEnd.REFUNDED, cause)


def retry_with_new_key(session: AnySession, session_id: str) -> None:
    """Use a new idempotency key: Stripe would answer the last one with the same failure."""
    _open(session, session_id).attempt += 1


def describe(row: LostCheckout) -> str:
    """Return a line with the buyer, the amount, the item and the next step."""
    which = f"order {row.number}" if row.number else "an order"
    return (
        f"{which} was paid and is not in this database: {row.email or 'erased'} paid "
        f"{money.display(row.amount, row.currency)} for {row.item} ({row.session_id}): "
        "enroll the buyer or refund the payment at the desk, under Orders"
    )


def erase(rows: Iterable[LostCheckout]) -> None:
    """Erase the person's data from lost checkouts. Items and amounts stay."""
    for row in rows:
        personal_data.erase(row)


def _open(session: AnySession, session_id: str) -> LostCheckout:
    row = _locked(session, session_id)
    if row is None or row.paid_at is None:
        raise LostError("there is no such payment")
    if row.settled_at is not None:
        raise LostError(f"it is {row.how} already")
    return row


def _locked(session: AnySession, session_id: str) -> LostCheckout | None:
    return session.get(LostCheckout, session_id, with_for_update=True, populate_existing=True)


def _settle(row: LostCheckout, how: LostCheckoutEnd, cause: str) -> None:
    row.settled_at, row.how, row.cause = now(), how, cause


def _store(session: AnySession, one: Checkout, suppression_key: str) -> None:
    if session.get(LostCheckout, one.id) is not None:
        return
    try:
        hashed = addresses.parse(one.email, suppression_key).hash
    except EmailNotValidError:
        hashed = ""
    session.add(
        LostCheckout(
            session_id=one.id,
            reference=(one.reference or "")[:64],
            number=one.number,
            course=one.course[:100],
            cohort=one.cohort[:50],
            item=one.item[:250],
            quantity=max(one.quantity, 1),
            unit_amount=max(one.unit_amount, 1),
            amount=one.amount_total,
            currency=one.currency,
            mode=identity.mode_of(live=one.live),
            email=one.email[:254],
            name=addresses.cleaned_name(one.name)[:100],
            address_hash=hashed,
            made_at=one.created_at,
            payment_intent=one.payment_intent,
            paid_at=now() if one.paid else None,
        )
    )


def _keep_numbers(session: AnySession, highest: int) -> None:
    """Raise the sequence of order numbers above every number that this site has used."""
    if not 0 < highest < HIGHEST or highest <= (session.scalar(select(func.max(Order.id))) or 0):
        return
    page_cache_version.advance(session)  # placing an order locks this row first
    if session.get_bind().dialect.name == "sqlite":
        # https://www.sqlite.org/autoinc.html
        raised = text("UPDATE sqlite_sequence SET seq = max(seq, :n) WHERE name = 'order'")
        there = text("SELECT 1 FROM sqlite_sequence WHERE name = 'order'")
        if session.scalar(there) is None:
            raised = text("INSERT INTO sqlite_sequence (name, seq) VALUES ('order', :n)")
        session.execute(raised, {"n": highest})
        return
    sequence = session.scalar(text("SELECT pg_get_serial_sequence('\"order\"', 'id')"))
    last = session.scalar(text(f"SELECT last_value FROM {sequence}")) or 0  # noqa: S608 - its name
    if last < highest:
        session.execute(text("SELECT setval(:name, :n)"), {"name": sequence, "n": highest})
