"""What machines ask: is the process up, can it serve, how is it doing."""

import hmac

from flask import Blueprint, Response, abort, current_app, g, make_response, request
from sqlalchemy.exc import SQLAlchemyError

from crossroads import metrics, schema
from crossroads.guard import client_ip
from crossroads.settings import Settings
from models import db

bp = Blueprint("health", __name__)

PLAIN = {"Content-Type": "text/plain; charset=utf-8"}
# Any of these says that a proxy stands between, so a loopback address proves nothing.
FORWARDED = ("Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Proto", "X-Real-IP")


@bp.before_request
def be_quiet() -> None:
    g.quiet = True


@bp.get("/healthz")
def alive() -> Response:
    """Answer as long as the process can."""
    return make_response("ok\n", 200, PLAIN)


@bp.get("/readyz")
def ready() -> Response:
    """Answer 200 when the database is there and has the tables of this version, else 503."""
    try:
        fault = str(schema.fault(db.engine) or "")
    except SQLAlchemyError:
        fault = "the database cannot be used"
    return make_response(f"{fault or 'ok'}\n", 503 if fault else 200, PLAIN)


@bp.get("/metrics")
def numbers() -> Response:
    """Return the counters to this machine, or to whoever has the token; to others, nothing."""
    settings: Settings = current_app.extensions["crossroads.settings"]
    given = request.headers.get("Authorization", "").removeprefix("Bearer ")
    token = settings.metrics_token
    if not (token and hmac.compare_digest(given.encode(), token.encode())) and not _is_local():
        abort(404)
    return make_response(metrics.text(), 200, PLAIN)


def _is_local() -> bool:
    ip = client_ip()
    return (
        ip is not None and ip.is_loopback and not any(one in request.headers for one in FORWARDED)
    )
