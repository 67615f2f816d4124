"""Requests for an order: which order a form has made already, and which one it replaces."""

from hashlib import sha256

from sqlalchemy import Select, select

from crossroads.content import Course
from models import Hold, Order
from models.base import AnySession
from models.order import OrderState

HALF = 32  # characters of a key that name the form; the other half is what was typed in it


def key(form: str, typed: str) -> str:
    """Return the key of a request: the same for the same form with the same words in it.

    `form` is a secret that came with the form, so whoever sends it again has seen that form. It
    is in both halves: without it nobody can test whether some name and address were typed.
    """
    parts = (form, f"{form}\0{typed}")
    return "".join(sha256(part.encode()).hexdigest()[:HALF] for part in parts)


def find_made(session: AnySession, request_key: str) -> Order | None:
    """Return the order that the request has made, unless that was canceled."""
    return session.scalar(_with_key(fresh_key(session, request_key)))


def fresh_key(session: AnySession, request_key: str) -> str:
    """Return the key for a request whose orders were canceled: it asks for another one.

    A buyer who changes an order and then changes it back sends the first form again.
    """
    while (found := session.scalar(_with_key(request_key))) and found.state == OrderState.CANCELED:
        request_key = request_key[:HALF] + key("", request_key + found.token)[HALF:]
    return request_key


def older(session: AnySession, course: Course, request_key: str, token: str) -> Order | None:
    """Return the buyer's order that a new one replaces, if it still holds seats.

    It is the buyer's when its token was sent, or when the same form made it. An email address
    shows nothing: anyone can type it.
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
