"""Health checks: is the process up, can it serve, and its metrics."""

import hmac

from flask import Blueprint, Response, abort, g, make_response, request
from sqlalchemy.exc import SQLAlchemyError

from crossroads import current, metrics
from crossroads.database import schema
from crossroads.fulfillment import lateness
from crossroads.middleware.security import client_ip
from crossroads.version import VERSION
from models import db, now

bp = Blueprint("health", __name__)

PLAIN = {"Content-Type": "text/plain; charset=utf-8"}
# Any of these says that a proxy stands between, so a loopback address proves nothing.
FORWARDED = ("Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Proto", "X-Real-IP")


@bp.before_request
def do_not_log() -> None:
    g.quiet = True


@bp.get("/healthz")
def alive() -> Response:
    """Answer as long as the process can, with the version in the second line."""
    return make_response(f"ok\ncrossroads {VERSION}\n", 200, PLAIN)


@bp.get("/readyz")
def ready() -> Response:
    """Answer 200 when the database is there and has the tables of this version, else 503.

    When mail, events or sweeps are late the answer is 200 still, and says `degraded` and what is
    late: pages and forms are served, and to take the web server out of service would not help.
    """
    degraded = []
    try:
        fault = str(schema.mismatch(db.engine) or "")
        if not fault:
            degraded = [str(one) for one in lateness.late(db.session, now())]
    except SQLAlchemyError:
        fault = "the database cannot be used"
    lines = ["degraded", *degraded] if degraded else [fault or "ok"]
    return make_response("".join(f"{line}\n" for line in lines), 503 if fault else 200, PLAIN)


@bp.get("/metrics")
def numbers() -> Response:
    """Return the counters to this machine, or to a client with the token; 404 for others."""
    settings = current.settings()
    given = request.headers.get("Authorization", "").removeprefix("Bearer ")
    token = settings.metrics_token
    if not (token and hmac.compare_digest(given.encode(), token.encode())) and not _is_local():
        abort(404)
    return make_response(metrics.text() + _ages(), 200, PLAIN)


def _ages() -> bytes:
    """Return how late background work is; nothing while the database is away."""
    try:
        ages = lateness.ages(db.session, now())
    except SQLAlchemyError:
        return b""
    return metrics.late({work: age.total_seconds() for work, age in ages.items()})


def _is_local() -> bool:
    ip = client_ip()
    return (
        ip is not None and ip.is_loopback and not any(one in request.headers for one in FORWARDED)
    )
