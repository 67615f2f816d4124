"""Sign in, sign out, change the password."""

from contextlib import suppress
from hashlib import sha256

import structlog
from email_validator import EmailNotValidError
from flask import Response, flash, make_response, redirect, render_template, request, url_for
from flask_limiter import RateLimitExceeded
from flask_wtf.csrf import CSRFError
from werkzeug.wrappers import Response as AnyResponse

from crossroads.admin import access
from crossroads.admin.forms import PasswordForm, SignInForm
from crossroads.mail.addresses import email_key
from crossroads.middleware.rate_limits import limiter, seconds_to_wait
from crossroads.staff import accounts
from models import db, writing

bp = access.blueprint("admin_session", open_to_all=[access.LOGIN])

TRIES = "10/5 minutes"
REFUSED = 422
NOT_THESE = "The email address or the password is not right. Check both and try again."
STALE = "This page was open too long, or your browser keeps no cookies. Sign in again."

log = structlog.get_logger()


def _refused(response: Response) -> bool:
    return response.status_code == REFUSED


def _typed_address() -> str:
    """Return the hash of the address typed at sign-in, as the limiter's key."""
    typed = request.form.get("email", "").strip()
    with suppress(EmailNotValidError):
        typed = email_key(typed)  # another spelling is no new set of tries
    return "address " + sha256(typed.encode(errors="replace")).hexdigest()[:32]


def _signed_in_person() -> str:
    return f"user {access.signed_in().id}"


@bp.route("/login", methods=["GET", "POST"])
@limiter.limit(TRIES, methods=["POST"], deduct_when=_refused)
@limiter.limit(TRIES, methods=["POST"], deduct_when=_refused, key_func=_typed_address)
def login() -> AnyResponse:
    form = SignInForm()
    going = access.desk_path(form.next.data or request.args.get("next")) or url_for(access.HOME)
    if request.method != "POST":
        return redirect(going, 303) if access.staff() else _door(form)
    if not form.validate():
        return _door(form, REFUSED)
    proof = accounts.check_password(
        accounts.find(db.session, form.email.data.strip()), form.password.data
    )
    db.session.rollback()  # rows read before the slow hashing may have changed
    if proof is None:
        log.warning("sign-in refused")
        return _door(form, REFUSED, NOT_THESE)
    writing(db.session)
    before = access.staff()
    if before is not None:
        accounts.close_session(db.session, before.token)
    found = accounts.open_session(db.session, proof)
    db.session.commit()
    if found is None:
        return _door(form, REFUSED, NOT_THESE)
    access.sign_in(found)
    log.info("signed in", user=found.id)
    if fields := access.preserved_fields():
        return make_response(render_template("admin/resume.html", action=going, fields=fields))
    return redirect(going, 303)


@bp.post("/logout")
def logout() -> AnyResponse:
    found = access.signed_in()
    writing(db.session)
    accounts.close_session(db.session, found.token)
    db.session.commit()
    access.sign_out()
    flash("You are signed out.", "ok")
    return redirect(url_for(access.LOGIN), 303)


@bp.route("/password", methods=["GET", "POST"])
@limiter.limit(TRIES, methods=["POST"], deduct_when=_refused, key_func=_signed_in_person)
def password() -> AnyResponse:
    form = PasswordForm()
    if request.method != "POST":
        return _lock(form)
    if not form.validate():
        return _lock(form, REFUSED)
    found = access.signed_in()
    proof = accounts.check_password(accounts.find(db.session, found.email), form.current.data)
    db.session.rollback()
    if proof is None:
        form.current.errors = ["This is not your current password. Type it again."]
        return _lock(form, REFUSED)
    new_hash = accounts.hash_password(form.new.data)
    writing(db.session)
    changed = accounts.change_password(db.session, proof, new_hash, keep=found.token)
    db.session.commit()
    if not changed:
        form.current.errors = ["Your password was changed a moment ago. Type the new one."]
        return _lock(form, REFUSED)
    log.info("password changed", user=found.id)
    flash("Your password is changed. All your other sign-ins have ended.", "ok")
    return redirect(url_for(access.HOME), 303)


@bp.errorhandler(CSRFError)
def stale(_error: CSRFError) -> AnyResponse:
    """Offer a fresh form for a stale one: nobody should be locked out by an old tab."""
    if request.endpoint == access.LOGIN:
        return _door(SignInForm(), 400, STALE)
    flash("That form was out of date, so nothing was changed. Send it again.", "warn")
    return redirect(
        url_for(access.PASSWORD if request.endpoint == access.PASSWORD else access.HOME), 303
    )


@bp.errorhandler(RateLimitExceeded)
def too_many(_error: RateLimitExceeded) -> AnyResponse:
    seconds = seconds_to_wait()
    minutes = -(-seconds // 60)
    notice = f"Too many tries. Wait {minutes} minute{'' if minutes == 1 else 's'}, then try again."
    if request.endpoint == access.LOGIN:
        answer = _door(SignInForm(), 429, notice)
    else:
        answer = _lock(PasswordForm(), 429, notice)
    answer.headers["Retry-After"] = str(seconds)
    return answer


def _door(form: SignInForm, status: int = 200, notice: str = "") -> Response:
    page = render_template(
        "admin/login.html",
        form=form,
        notice=notice,
        going=access.desk_path(form.next.data or request.args.get("next")),
        kept=access.preserved_fields(),
    )
    return make_response(page, status)


def _lock(form: PasswordForm, status: int = 200, notice: str = "") -> Response:
    page = render_template(
        "admin/password.html",
        form=form,
        notice=notice,
        forced=access.signed_in().must_change_password,
    )
    return make_response(page, status)
