"""Participants of an order: the buyer names, replaces and invites them.

As on the order's page itself, anyone with its address may act: no other site does.
"""

from flask import Blueprint, request
from werkzeug.utils import redirect
from werkzeug.wrappers import Response

from crossroads import current
from crossroads.mail import addresses
from crossroads.orders import ledger, participants
from crossroads.orders.participants import AlreadyNamed, ParticipantError
from crossroads.web import order_page
from crossroads.web.forms import ParticipantForm
from crossroads.web.order_view import RejectedNames
from models import Order, db, writing

bp = Blueprint("participants", __name__)


@bp.post("/orders/<token>/participants")
def name(token: str) -> Response:
    """Name the participants of all seats in the form, or of none when one is invalid."""
    order = _locked(token)
    sent = {}
    for seat in participants.seats_of(db.session, order):
        form = ParticipantForm(prefix=f"seat{seat.number}")
        # Of several seats without a name, those left empty stay so.
        if form.email.name in request.form and (seat.named or not form.blank):
            sent[seat.number] = form
    notices = [] if sent else ["Enter a name and an email address for at least one seat"]
    wrong = [number for number, form in sent.items() if not form.validate()]
    for number, form in sent.items():
        if number not in wrong:
            try:
                _give(order, number, form)
            except AlreadyNamed as error:
                form.email.errors = [str(error)]
                wrong.append(number)
            except ParticipantError as error:  # the seat may have no form any more
                notices.append(f"Seat {number}: {error}. {_typed(form)}")
    if notices or wrong:
        db.session.rollback()
        status = 422 if wrong or not sent else 409
        return order_page.show(
            order, rejected=RejectedNames(forms=sent, notices=notices), status=status
        )
    db.session.commit()
    return redirect(f"/orders/{token}?done=named#participants", 303)


@bp.post("/orders/<token>/participants/<int:number>/invitation")
def invite(token: str, number: int) -> Response:
    """Send the participant of a seat the link to their page again."""
    order = _locked(token)
    try:
        participants.invite(db.session, order, number, _turn(request.form.get("turn")))
    except ParticipantError as error:
        db.session.rollback()
        return order_page.show(order, rejected=RejectedNames(notices=[f"{error}."]), status=409)
    db.session.commit()
    return redirect(f"/orders/{token}?done=invited#participants", 303)


def _locked(token: str) -> Order:
    writing(db.session)
    return ledger.lock(db.session, order_page.find(token).id)


def _give(order: Order, number: int, form: ParticipantForm) -> None:
    participants.name(
        db.session,
        order,
        number,
        _turn(form.turn.data),
        address=addresses.parse(form.email.data, current.settings().suppression_key),
        called=form.name.data,
        cohort=order_page.cohort_of(order),
    )


def _turn(typed: str | None) -> int:
    """Return the count that a form carries; a tampered one matches no seat."""
    return int(typed) if typed and typed.isdecimal() and len(typed) < 9 else -1


def _typed(form: ParticipantForm) -> str:
    return f"What you typed was not used: {form.name.data}, {form.email.data}"
