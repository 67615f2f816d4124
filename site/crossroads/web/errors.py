"""Error pages: the only place where an exception becomes a page and a status."""

import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import quote

import structlog
from flask import Flask, Response, current_app, g, make_response, redirect, request
from flask_limiter import RateLimitExceeded
from jinja2 import TemplateSyntaxError
from markupsafe import Markup
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response as AnyResponse

from crossroads import current
from crossroads.content import ContentError
from crossroads.logs import first_line
from crossroads.mail import mailed_links
from crossroads.middleware.rate_limits import TooMany, seconds_to_wait
from crossroads.middleware.security import CrossSite, policy_with_payment
from models import Lead, Order, personal_data

log = structlog.get_logger()

SHOWN = {
    **{
        name: label for model in (Lead, Order) for name, label in personal_data.typed(model).items()
    },
    "seats": "Number of seats",
}
NEVER_SENT_AGAIN = {"password", "csrf_token"}
DATABASE_AWAY = (OperationalError, InterfaceError, PoolTimeout)
LINKS = [("Comparisons", "/compare"), ("Home", "/")]
SIGNUP = ("Open the sign-up page", "/signup")
DESK = "crossroads.desk"  # returns the desk's pages for the signed-in account
THE_DESK = ("The desk", "/admin/")

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
    415: (
        "This address takes forms only",
        "Send the fields as a form sends them, as application/x-www-form-urlencoded or "
        "multipart/form-data. Nothing was saved.",
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
# While someone buys: what became of the money comes first. Money moves on Stripe's page alone.
UNPAID = (
    "Nothing was charged for this order: you pay on Stripe's own page, and you have not been sent "
    "there yet."
)
PERHAPS_PAID = (
    "If you have paid on Stripe's page, do not pay again: the payment is safe there, and the "
    "receipt comes to your inbox whether this page opens or not. If you have not, nothing was "
    "charged."
)
BROKEN_CONTENT = (
    "The content has mistakes",
    "Fix these lines and reload. In production the site refuses to start with mistakes, so "
    "visitors never see this.",
)
BROKEN_TEMPLATE = ("A template has a mistake", "Fix this line and reload.")
CROSS_SITE = (
    "This form came from another site",
    "To protect you we take forms only from our own pages. Open the page here and send it again.",
)

# When the page itself cannot be made, as while a template it needs is being edited.
LAST_RESORT = Markup(
    '<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n<title>Error: {heading}</title>\n'
    "<h1>{heading}</h1>\n<p>{text}</p>\n<pre>{problems}</pre>\n<p>Reference: {reference}</p>\n"
    '<p><a href="/">Home</a></p>\n</html>\n'
)


def init_app(app: Flask, *, desk: Callable[[], Sequence[tuple[str, str]]]) -> None:
    """Register one handler for each kind of error. `desk` returns the desk's pages."""
    app.extensions[DESK] = desk

    @app.errorhandler(CrossSite)
    def cross_site(_error: CrossSite) -> Response:
        form = ("Open the order form", request.path) if _buying() else SIGNUP
        return _page(403, words=CROSS_SITE, links=[form, *LINKS])

    @app.errorhandler(TooMany)
    def too_many_of_a_form(error: TooMany) -> Response:
        return _page(429, retry_after=error.seconds)

    @app.errorhandler(RateLimitExceeded)
    def too_many(_error: RateLimitExceeded) -> Response:
        return _page(429, retry_after=seconds_to_wait())

    @app.errorhandler(HTTPException)
    def http(error: HTTPException) -> AnyResponse:
        original = getattr(error, "original_exception", None)  # of an error while handling one
        if isinstance(original, DATABASE_AWAY):
            return database_away(original)
        status = error.code or 500
        if status == 404 and (address := _repaired_address()):
            moved = redirect(address, 308)
            # The address may hold a token.
            moved.headers.update({"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"})
            return moved
        answer = _page(status)
        if status == 405 and (allow := dict(error.get_headers()).get("Allow")):
            answer.headers["Allow"] = allow
        return answer

    def database_away(error: Exception) -> Response:
        log.error("database away", error=first_line(error))
        return _page(503, retry_after=5)

    for kind in DATABASE_AWAY:
        app.register_error_handler(kind, database_away)

    @app.errorhandler(ContentError)
    def content_broken(error: ContentError) -> Response:
        problems = [str(problem) for problem in error.problems]
        return _page(500, words=BROKEN_CONTENT, problems=problems)

    @app.errorhandler(Exception)
    def broken(error: Exception) -> Response:
        log.exception("request failed")
        settings = current.of(app).settings
        if not settings.production and (fault := _template_fault(error)):
            return _page(500, words=BROKEN_TEMPLATE, problems=[fault])
        return _page(500)


def showing() -> bool:
    """Return whether an error page is being rendered, which must work with less."""
    return bool(g.get("showing_error"))


def _page(
    status: int,
    *,
    words: tuple[str, str] | None = None,
    retry_after: int | None = None,
    problems: list[str] | None = None,
    links: list[tuple[str, str]] | None = None,
) -> Response:
    heading, text = words or WORDS.get(status, WORDS[400] if status < 500 else WORDS[500])
    if status in (500, 503) and words is None and _buying():
        heading, text = _to_a_buyer(status)
    links = links or _links()
    typed = _typed() if status in (429, 500, 503) and not problems else None
    page = _render(
        status=status,
        heading=heading,
        text=text,
        reference=g.get("request_id"),
        retry_after=retry_after,
        typed=typed,
        shown=[(SHOWN[name], value) for name, value in typed or () if name in SHOWN],
        typed_action=request.full_path.rstrip("?") + ("" if _buying() else "#signup"),
        links=links,
        problems=problems,
        noindex=True,
    )
    answer = make_response(page, status, {"Cache-Control": "no-store"})
    if not typed:  # the address may hold a token, and there is no form that needs an Origin
        answer.headers["Referrer-Policy"] = "no-referrer"
    if retry_after is not None:
        answer.headers["Retry-After"] = str(retry_after)
    if typed and _buying():  # sent again, the form leads on to Stripe
        settings = current.settings()
        policy = policy_with_payment(settings.pay_page_origins)
        answer.headers["Content-Security-Policy"] = policy
    return answer


def _buying() -> bool:
    return request.blueprint == "checkout"


def _to_a_buyer(status: int) -> tuple[str, str]:
    """Return heading and text: what became of the money first, then what to do next."""
    placed = "token" in (request.view_args or {})
    words = [PERHAPS_PAID if placed else UNPAID]
    if status == 503:  # the page says in how many seconds to try again
        heading = f"We cannot {'open' if placed else 'take'} your order just now"
    else:
        heading = WORDS[500][0]
        words.append("Try again in a minute.")
    if not placed and request.method == "POST":
        words.append("Sent again, it is still one order.")
    words.append("If it happens again, write to us with the reference below.")
    return heading, " ".join(words)


def _links() -> list[tuple[str, str]]:
    """Return links onward; at the desk, those that the account's role may open."""
    if not request.path.startswith("/admin"):
        back = _buying() and request.method == "GET"
        return [("Try again", request.path), *LINKS] if back else LINKS
    try:
        pages = current_app.extensions[DESK]()
    except DATABASE_AWAY:  # the sign-in is stored there
        pages = []
    return [*(page for page in pages if page[1] != THE_DESK[1]), THE_DESK]


def _render(**words: object) -> str:
    """Render the page from content and templates alone, or without even them.

    What blueprints add to their pages is left out: it may ask the very database that
    is away.
    """
    g.showing_error = True
    try:
        for add in current_app.template_context_processors[None]:
            words = {**current_app.ensure_sync(add)(), **words}
        return current_app.jinja_env.get_template("errors/error.html").render(words)
    except Exception:
        log.exception("error page failed")
        words["problems"] = "\n".join(words["problems"] or ())  # type: ignore[arg-type]
        return LAST_RESORT.format_map(words)


def _typed() -> list[tuple[str, str]] | None:
    """Return what a visitor had sent, to be sent again with one click; None if there is none.

    Nothing of the desk: its forms hold passwords and tokens of a session.
    """
    if request.method != "POST" or request.path.startswith("/admin"):
        return None
    try:
        return [
            (name, value)
            for name, value in request.form.items(multi=True)
            if value and name not in NEVER_SENT_AGAIN
        ]
    except HTTPException:  # it cannot be read
        return None


def _repaired_address() -> str | None:
    """Return the page for an address with a slash or other characters added to its end."""
    repaired = mailed_links.clean(request.path)
    routes = current_app.create_url_adapter(request)
    if repaired is None or routes is None:
        return None
    path, added = repaired
    if request.method not in ("GET", "HEAD") and not mailed_links.MAILED.match(path):
        return None  # a form that was typed is not lost on the way
    if not routes.test(path, "GET" if request.method == "HEAD" else request.method):
        return None
    queries = (quote(added, safe="=&;%+"), request.query_string.decode("latin-1"))
    query = "&".join(one for one in queries if one)
    return quote(path) + (f"?{query}" if query else "")


def _template_fault(error: Exception) -> str | None:
    """Return file, line and message of a mistake in a template, or None when it is elsewhere."""
    root = Path(current_app.root_path)
    if isinstance(error, TemplateSyntaxError):
        places = [(error.filename, error.lineno)]
    else:
        places = [
            (one.filename, one.lineno or 0) for one in traceback.extract_tb(error.__traceback__)
        ]
    for file, line in reversed(places):
        if file and Path(file).is_relative_to(root / "templates"):
            return f"{Path(file).relative_to(root)}:{line}: {error}"
    return None
