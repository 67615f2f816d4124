"""The Stripe webhook: verify the event, store it as a job, answer."""

import time
from typing import Final

from flask import Blueprint, Response, abort, current_app, make_response, request

from crossroads import current
from crossroads.fulfillment import webhook_events
from crossroads.payments import BadEvent
from models import db, writing

bp = Blueprint("webhooks", __name__)

EVENT_BYTES = 1024 * 1024  # an event holds a whole object, which may be larger than any form
NOTED_SECONDS: Final = 60.0  # one refusal in this time is noted: anyone can send what is refused


@bp.post("/webhooks/stripe", strict_slashes=False)
def stripe() -> Response:
    """Accept an event. Answers 400 to one that Stripe did not sign for this site, else 200.

    https://docs.stripe.com/webhooks#acknowledge-events-immediately
    """
    settings = current.settings()
    gateway = current.gateway()
    request.max_content_length = EVENT_BYTES
    body = request.get_data()  # as it came: the signature is over these bytes
    try:
        event = gateway.verify(
            body, request.headers.get("Stripe-Signature"), settings.webhook_secrets
        )
    except BadEvent:
        _note_refused(body)
        abort(400)
    # Without an id that Stripe could have made there is nothing to ask for: sending it again, as a
    # 400 has Stripe do for days, would change nothing, and the sweep looks at every order anyway.
    followed = event.kind in webhook_events.FOLLOWED and event.followable
    if followed and event.live == gateway.live:
        current.commit(webhook_events.receive, event)
    return make_response("", 200, {"Cache-Control": "no-store"})


def _note_refused(body: bytes) -> None:
    """Store an event that did not verify for `flask doctor`, at a limited rate."""
    at, noted = time.monotonic(), current_app.extensions.get("crossroads.refused")
    if noted is not None and at < noted + NOTED_SECONDS:
        return
    current_app.extensions["crossroads.refused"] = at
    writing(db.session)
    webhook_events.refuse(db.session, body)
    db.session.commit()
