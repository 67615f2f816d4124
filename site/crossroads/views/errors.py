"""Exceptions become a page and a status here, and nowhere else."""

import time

import structlog
from flask import Flask, Response, g, make_response, render_template, request
from flask_limiter import RateLimitExceeded
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from werkzeug.exceptions import HTTPException

from crossroads.content import ContentError
from crossroads.guard import CrossSite
from crossroads.limits import limiter
from models import db

log = structlog.get_logger()

NOT_SENT_AGAIN = {"password", "current", "new", "repeat", "csrf_token", "website", "action"}
LINKS = [("Comparisons", "/compare"), ("Home", "/")]

WORDS = {
    400: (
        "We could not read that request",
        "Go back, load the page again and send the form once more.",
    ),
    403: ("You may not open this", "Sign in with an account that has the right role."),
    404: (
        "There is no page at this address",
        "Check the address for a typing mistake, or start from one of these pages.",
    ),
    405: ("This address does not take that kind of request", "Start from one of these pages."),
    413: (
        "That is more than this form can take",
        "Go back, shorten what you typed and send it again. Nothing was saved.",
    ),
    429: ("Too many tries", "Nothing is lost. Wait, then send it again."),
    500: (
        "Our fault",
        "Something broke on our side and nothing was saved. Try again in a minute; if it happens "
        "again, write to us with the reference below.",
    ),
    503: (
        "We cannot save anything just now",
        "The site is up, but its database does not answer. Nothing was saved. Try again in a "
        "few seconds.",
    ),
}
CROSS_SITE = (
    "This form came from another site",
    "To protect you we take forms only from our own pages. Open the page here and send it again.",
)


def init_app(app: Flask) -> None:
    """Register one handler for each kind of trouble."""

    @app.errorhandler(CrossSite)
    def cross_site(_error: CrossSite) -> Response:
        return _page(403, words=CROSS_SITE, links=[("Open the sign-up page", "/signup"), *LINKS])

    @app.errorhandler(RateLimitExceeded)
    def too_many(_error: RateLimitExceeded) -> Response:
        return _page(429, retry_after=_wait())

    @app.errorhandler(HTTPException)
    def http(error: HTTPException) -> Response:
        status = error.code or 500
        if status < 400:
            return Response(status=status, headers=error.get_headers())
        answer = _page(status)
        if status == 405 and (allow := dict(error.get_headers()).get("Allow")):
            answer.headers["Allow"] = allow
        return answer

    @app.errorhandler(OperationalError)
    @app.errorhandler(InterfaceError)
    @app.errorhandler(PoolTimeout)
    def database_away(error: Exception) -> Response:
        db.session.rollback()
        log.error("database away", error=str(error.__cause__ or error))
        return _page(503, retry_after=5)

    @app.errorhandler(ContentError)
    def content_broken(error: ContentError) -> Response:
        return _page(
            500,
            words=(
                "The content has mistakes",
                "Mend these lines and load the page again. Visitors of a site in production "
                "never see this: it does not start with mistakes.",
            ),
            problems=[str(problem) for problem in error.problems],
        )

    @app.errorhandler(Exception)
    def broken(_error: Exception) -> Response:
        db.session.rollback()
        log.exception("request failed")
        return _page(500)


def _wait() -> int:
    limit = limiter.current_limit
    return max(1, limit.reset_at - int(time.time())) if limit else 60


def _page(
    status: int,
    *,
    words: tuple[str, str] | None = None,
    retry_after: int | None = None,
    problems: list[str] | None = None,
    links: list[tuple[str, str]] = LINKS,
) -> Response:
    heading, text = words or WORDS.get(status, WORDS[400] if status < 500 else WORDS[500])
    typed = _typed() if status in (429, 500, 503) and not problems else None
    page = render_template(
        "errors/error.html",
        status=status,
        heading=heading,
        text=text,
        reference=g.get("request_id"),
        retry_after=retry_after,
        typed=typed,
        typed_action=request.full_path.rstrip("?") + "#signup",
        links=links,
        problems=problems,
        noindex=True,
    )
    answer = make_response(page, status, {"Cache-Control": "no-store"})
    if retry_after is not None:
        answer.headers["Retry-After"] = str(retry_after)
    return answer


def _typed() -> list[tuple[str, str]] | None:
    """Return what a visitor had typed, to be sent again with one click; never a password."""
    if request.method != "POST" or request.path.startswith("/admin"):
        return None
    return [
        (name, value)
        for name, value in request.form.items(multi=True)
        if name not in NOT_SENT_AGAIN and value
    ] or None
