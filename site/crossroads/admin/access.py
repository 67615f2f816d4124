"""Access to the desk: sign-in guard, roles, menu, and the check of form tokens."""

import posixpath
from collections.abc import Collection
from typing import Any
from urllib.parse import unquote

import structlog
from flask import (
    Blueprint,
    Flask,
    abort,
    current_app,
    make_response,
    redirect,
    render_template,
    request,
    session,
    url_for,
)
from flask_login import LoginManager, current_user, login_user, logout_user
from flask_wtf.csrf import CSRFError
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from crossroads import current
from crossroads.admin.forms import SignInForm
from crossroads.database.writing_session import writing_session
from crossroads.mail import kinds
from crossroads.middleware import security
from crossroads.orders import disputes
from crossroads.staff import accounts
from crossroads.staff.accounts import Staff
from models import db, now
from models.user import Role

LOGIN = "admin_session.login"
LOGOUT = "admin_session.logout"
PASSWORD = "admin_session.password"  # noqa: S105, the name of a page
HOME = "admin_home.home"
LEADS = "admin_leads.leads"
MAIL = "admin_mail.mails"
ORDERS = "admin_orders.orders"
ENROLLMENTS = "admin_enrollments.enrollments"
ANNOUNCEMENTS = "admin_announcements.index"

KEPT = "kept:"  # before the name of each field of a form that waits for a sign-in
ENDED = "Your sign-in has ended. Sign in again: what you typed is kept and shown to you."

LEAD_ROLES = (Role.OWNER, Role.MARKETER)
MONEY_ROLES = (Role.OWNER, Role.FINANCE)
ROLES = tuple(Role)
PAGES = (
    ("Home", HOME, ROLES),
    ("Leads", LEADS, LEAD_ROLES),
    ("Mail", MAIL, LEAD_ROLES),
    ("Announcements", ANNOUNCEMENTS, LEAD_ROLES),
    ("Orders", ORDERS, MONEY_ROLES),
    ("Enrollments", ENROLLMENTS, MONEY_ROLES),
)

log = structlog.get_logger()


class StaleForm(Exception):
    """The token of a form has expired. The view shows the form again with its values."""


def init_app(app: Flask) -> None:
    """Set up Flask-Login: the cookie holds only the token of the sign-in."""
    # The token is enough, and a browser may be told to send no Referer.
    app.config["WTF_CSRF_SSL_STRICT"] = False
    app.add_template_filter(kinds.label, "mail_name")
    app.add_template_filter(disputes.days_left, "days_left")
    manager = LoginManager()
    manager.session_protection = None  # the row is the sign-in; a new network does not end it
    manager.init_app(app, add_context_processor=False)
    manager.user_loader(_load)


def blueprint(
    name: str,
    *,
    roles: Collection[Role] = ROLES,
    open_to_all: Collection[str] = (),
    keeps: Collection[str] = (),
) -> Blueprint:
    """Return a blueprint under /admin that requires a sign-in with one of its roles.

    `open_to_all` names the endpoints that need no sign-in, `keeps` those whose form is kept when
    the sign-in has ended: it is shown again after the next one. Every form posted to it needs its
    token. No view has to ask for any of this, so none can forget.
    """
    bp = Blueprint(name, __name__, url_prefix="/admin")

    @bp.before_request
    def guard() -> Response | None:
        if request.endpoint not in open_to_all:
            refusal = _refusal(staff(), roles, kept=request.endpoint in keeps)
            if refusal is not None:
                return refusal
        try:
            current_app.extensions["csrf"].protect()
        except CSRFError as error:
            if request.endpoint in keeps:
                raise StaleForm from error
            raise
        return None

    bp.context_processor(_words)
    return bp


def staff() -> Staff | None:
    """Return the signed-in account, or None."""
    return current_user._get_current_object() if current_user.is_authenticated else None


def signed_in() -> Staff:
    """Return the signed-in account, in a view that requires one."""
    found = staff()
    if found is None:
        abort(401)
    return found


def menu() -> list[tuple[str, str, bool]]:
    """Return label, address and whether it is current, for each page in the account's menu."""
    found = staff()
    return [
        (label, url_for(endpoint), request.blueprint == endpoint.partition(".")[0])
        for label, endpoint, roles in PAGES
        if found is not None and not found.must_change_password and found.role in roles
    ]


def sign_in(found: Staff) -> None:
    """Start a new browser session for an account whose password was just checked."""
    session.clear()
    login_user(found)


def sign_out() -> None:
    """Remove the account from the browser's session."""
    logout_user()
    session.clear()


def desk_path(address: str | None) -> str | None:
    """Return the address if it is one of the desk's own paths, else None."""
    if not address or not address.startswith("/admin/"):
        return None
    if "\\" in address or any(ord(character) < 32 for character in address):
        return None
    path = posixpath.normpath(unquote(address.partition("?")[0].partition("#")[0]))
    return address if path == "/admin" or path.startswith("/admin/") else None


def preserved_fields(prefix: str = KEPT) -> list[tuple[str, str]]:
    """Return the form's fields, by name, to show again after a sign-in."""
    return [
        (name.removeprefix(prefix), value)
        for name, value in request.form.items()
        if name.startswith(prefix) and name != "csrf_token"
    ]


def _refusal(
    found: Staff | None, roles: Collection[Role], *, kept: bool = False
) -> Response | None:
    if found is None:
        if kept and request.form:
            return _sign_in_again()
        back = desk_path(request.full_path.rstrip("?")) if request.method == "GET" else None
        return redirect(url_for(LOGIN, next=back), 303)
    if found.must_change_password and request.endpoint not in (PASSWORD, LOGOUT):
        return redirect(url_for(PASSWORD), 303)
    if found.role not in roles:
        abort(403)
    return None


def _sign_in_again() -> Response:
    """Ask for a sign-in on a page that keeps what was typed: only of a form of this site."""
    settings = current.settings()
    security.refuse_cross_site(settings.base_url.rstrip("/"))
    page = render_template(
        "admin/login.html",
        form=SignInForm(formdata=None),
        notice=ENDED,
        going=request.path,
        kept=preserved_fields(""),
    )
    return make_response(page, 401)


def _load(token: str) -> Staff | None:
    at = now()
    # A session of its own: the view's transaction begins later, and may have to begin as one
    # that writes.
    with Session(db.engine) as reading:
        found = accounts.signed_in(reading, token, at)
    if found is not None and at - found.seen_at >= accounts.SEEN_EVERY:
        try:
            with writing_session(db.engine) as noting:
                accounts.extend_session(noting, token, at)
        except (
            OperationalError
        ) as error:  # accounts with read access keep it while nothing can be saved
            log.warning("sign-in not refreshed", error=str(error.orig))
    return found


def _words() -> dict[str, Any]:
    return {"staff": staff(), "menu": menu()}
