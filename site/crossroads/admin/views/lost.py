"""Payments without an order in this database: enroll the buyer, or refund."""

import structlog
from flask import abort, flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from crossroads import current, money
from crossroads.admin import access
from crossroads.fulfillment import recovery
from crossroads.orders.checkout import lost_checkouts
from crossroads.orders.checkout.lost_checkouts import LostError
from crossroads.payments import WHOLE_REQUEST, PaymentsError, PaymentsRefused
from models import db

bp = access.blueprint("admin_lost", roles=access.MONEY_ROLES)

log = structlog.get_logger()


@bp.get("/orders/lost")
def lost() -> str:
    return render_template(
        "admin/lost.html",
        lost=lost_checkouts.awaiting_staff(db.session),
        payment_page=current.gateway().payment_page,
        money=money.display,
    )


@bp.post("/orders/lost")
def settle() -> AnyResponse:
    """Enroll the buyer or refund the payment; the field `session` names the payment."""
    session_id, act = request.form.get("session", ""), request.form.get("act", "")
    if act not in ("enroll", "refund"):
        abort(400)
    content, gateway = current.content(), current.gateway().with_time_limit(WHOLE_REQUEST)
    cause = f"desk, user {access.signed_in().id}"
    db.session.rollback()
    number = None
    try:
        if act == "enroll":
            number = recovery.enroll(db.engine, gateway, session_id, content, cause)
        else:
            recovery.refund(db.engine, gateway, session_id, cause)
    except LostError as error:
        flash(f"Nothing was done: {error}.", "warn")
    except PaymentsRefused as error:
        log.warning("lost payment refused", checkout=session_id, act=act, error=str(error))
        flash(f"Stripe refuses it ({error.code or 'no code given'}). Look there first.", "warn")
    except PaymentsError as error:
        log.warning("lost payment not settled", checkout=session_id, act=act, error=str(error))
        flash("Stripe does not answer. Try again in a minute: nothing is done twice.", "warn")
    else:
        log.info("lost payment settled", checkout=session_id, act=act, order=number)
        done = "The order is here again: see below." if number else "The payment is refunded."
        flash(done, "ok")
    if number is not None:
        return redirect(url_for("admin_orders.order", order_id=number), 303)
    return redirect(url_for(".lost"), 303)
