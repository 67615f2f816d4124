"""Requests for an order: finds the order that a form has created, or that it replaces."""

from hashlib import sha256

from sqlalchemy import Select, select

from crossroads.content import Course
from models import Hold, Order
from models.base import AnySession
from models.order import OrderState

HALF = 32  # characters of a key that identify the form; the other half identifies its values


def key(form: str, typed: str) -> str:
    """Return the key of a request: the same for the same form with the same values.

    `form` is a secret in the form, so a resent one comes from the same buyer. It is hashed into
    both halves, so that the key does not allow guesses at names and addresses.
    """
    parts = (form, f"{form}\0{typed}")
    return "".join(sha256(part.encode()).hexdigest()[:HALF] for part in parts)


def find_order(session: AnySession, request_key: str) -> Order | None:
    """Return the order that the request created, unless that was canceled."""
    return session.scalar(_with_key(fresh_key(session, request_key)))


def fresh_key(session: AnySession, request_key: str) -> str:
    """Return a new key for a request whose orders were canceled.

    A buyer who changes an order and then changes it back sends the first form again.
    """
    while (found := session.scalar(_with_key(request_key))) and found.state == OrderState.CANCELED:
        request_key = request_key[:HALF] + key("", request_key + found.token)[HALF:]
    return request_key


def find_replaced(
    session: AnySession, course: Course, request_key: str, token: str
) -> Order | None:
    """Return the buyer's order that a new one replaces, if it still holds seats.

    The token of the order, or the same form, proves whose it is. An email address proves nothing:
    anyone can type it.
    """
    holding = select(Order).join(Hold, Hold.order_id == Order.id).where(Order.course == course.slug)
    named = session.scalar(holding.where(Order.token == token)) if token else None
    if named is not None or len(request_key) < 2 * HALF:
        return named
    form = request_key[:HALF]
    same_form = Order.request_key.between(f"{form}0", f"{form}g")  # hexadecimal digits follow
    return session.scalar(holding.where(same_form).order_by(Order.id.desc()).limit(1))


def _with_key(request_key: str) -> Select[Order]:
    return select(Order).where(Order.request_key == request_key)
