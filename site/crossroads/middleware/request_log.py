"""One log line and one count for every request that reaches Flask, with a request id."""

import re
import secrets
import time

import structlog
from flask import Flask, Response, g, request

from crossroads.metrics import DURATION, REQUESTS

ID = re.compile(r"[A-Za-z0-9._-]{8,64}")
# Set in the WSGI environment of the page cache's own requests: neither logged nor counted.
NO_VISIT = "crossroads.no_visit"
# The client chooses the method, and a counter never drops a label.
METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}

log = structlog.get_logger()


def init_app(app: Flask, *, trust_header: bool) -> None:
    """Give each request an id, taken from X-Request-ID only when a trusted proxy sets it.

    Call it before all other request hooks, so that a request that they refuse is logged too.
    """

    @app.before_request
    def begin() -> None:
        given = request.headers.get("X-Request-ID", "") if trust_header else ""
        g.request_id = given if ID.fullmatch(given) else secrets.token_hex(8)
        g.began = time.perf_counter()
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=g.request_id)

    @app.after_request
    def end(response: Response) -> Response:
        response.headers["X-Request-ID"] = g.request_id
        if NO_VISIT in request.environ:
            return response
        # The rule, not the path: a path may hold a token.
        route = request.url_rule.rule if request.url_rule else "unknown"
        method = request.method if request.method in METHODS else "other"
        seconds = time.perf_counter() - g.began
        REQUESTS.labels(route, method, response.status_code).inc()
        DURATION.labels(route).observe(seconds)
        if not g.get("quiet"):
            log.info(
                "request",
                method=method,
                route=route,
                status=response.status_code,
                ms=round(seconds * 1000, 1),
            )
        return response
