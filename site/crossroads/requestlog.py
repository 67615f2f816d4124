"""One log line and one count for every request that reaches Flask, under a request id."""

import re
import secrets
import time

import structlog
from flask import Flask, Response, g, request

from crossroads.metrics import DURATION, REQUESTS

ID = re.compile(r"[A-Za-z0-9._-]{8,64}")
log = structlog.get_logger()


def init_app(app: Flask, *, trust_header: bool) -> None:
    """Give each request an id, taken from X-Request-ID only when a trusted proxy sets it."""

    @app.before_request
    def begin() -> None:
        given = request.headers.get("X-Request-ID", "") if trust_header else ""
        g.request_id = given if ID.fullmatch(given) else secrets.token_hex(8)
        g.began = time.perf_counter()
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=g.request_id)

    @app.after_request
    def end(response: Response) -> Response:
        # The rule, not the path: a path may hold a token.
        route = request.url_rule.rule if request.url_rule else "unknown"
        seconds = time.perf_counter() - g.began
        REQUESTS.labels(route, request.method, response.status_code).inc()
        DURATION.labels(route).observe(seconds)
        response.headers["X-Request-ID"] = g.request_id
        if not g.get("quiet"):
            log.info(
                "request",
                method=request.method,
                route=route,
                status=response.status_code,
                ms=round(seconds * 1000, 1),
            )
        return response
