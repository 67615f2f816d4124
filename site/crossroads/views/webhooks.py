"""Where Stripe tells what happened: verify, note it as a job, answer. The worker does the rest."""

from flask import Blueprint, Response, abort, current_app, make_response, request

from crossroads import stripe_events
from crossroads.payments import BadEvent, Gateway
from crossroads.settings import Settings
from models import db, writing

bp = Blueprint("webhooks", __name__)

EVENT_BYTES = 1024 * 1024  # an event holds a whole object, which may be larger than any form


@bp.post("/webhooks/stripe", strict_slashes=False)
def stripe() -> Response:
    """Take an event. Answers 400 to what Stripe has not signed for us, 200 to all else.

    https://docs.stripe.com/webhooks#acknowledge-events-immediately
    """
    settings: Settings = current_app.extensions["crossroads.settings"]
    gateway: Gateway = current_app.extensions["crossroads.gateway"]
    request.max_content_length = EVENT_BYTES
    body = request.get_data()  # as it came: the signature is over these bytes
    try:
        event = gateway.verify(
            body, request.headers.get("Stripe-Signature"), settings.webhook_secrets
        )
    except BadEvent:
        abort(400)
    if event.kind in stripe_events.FOLLOWED and event.live == gateway.live:
        writing(db.session)
        stripe_events.receive(db.session, event)
        db.session.commit()
    return make_response("", 200, {"Cache-Control": "no-store"})
