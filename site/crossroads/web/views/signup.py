"""The stand-alone sign-up form, and the pages behind the links in mail."""

from flask import Blueprint, Response, make_response, render_template, request

from crossroads import current
from crossroads.leads import lifecycle as leads
from crossroads.mail import mailed_links
from crossroads.notifications import announcements
from crossroads.web import signup_form
from crossroads.web.signup_form import NO_STORE, evidence
from models import db, now, writing

bp = Blueprint("signup", __name__)


@bp.route("/signup", methods=["GET", "POST"])
def form() -> Response:
    settings = current.settings()
    posted = request.method == "POST"
    signup = signup_form.receive(apart=True) if posted else signup_form.empty_with_source()
    page = render_template(
        "signup/signup.html",
        signup=signup,
        canonical=settings.base_url + request.path,
        share=f"{settings.base_url}/share/site.png",
    )
    return make_response(page, signup.status, {"Cache-Control": NO_STORE} if posted else {})


@bp.get("/confirm/<token>")
def ask_to_confirm(token: str) -> Response:
    lead = leads.by_confirm_token(db.session, token)
    if lead is None:
        return _answer("signup/confirm.html", "unknown", 404)
    if leads.link_expired(lead, now()):
        return _answer("signup/confirm.html", "expired", 410)
    return _answer("signup/confirm.html", "ask", email=lead.email)


@bp.post("/confirm/<token>")
def confirm(token: str) -> Response:
    writing(db.session)
    if request.form.get("action") == "renew":
        outcome = leads.renew_link(db.session, token)
        db.session.commit()
        state = {"expired": "sent", "done": "done", "unknown": "unknown"}[outcome]
        return _answer("signup/confirm.html", state, 404 if outcome == "unknown" else 200)
    outcome = leads.confirm(db.session, token, evidence("confirm"))
    db.session.commit()
    status = {"done": 200, "expired": 410, "unknown": 404}[outcome]
    return _answer("signup/confirm.html", outcome, status)


@bp.get("/unsubscribe/<token>")
def ask_to_unsubscribe(token: str) -> Response:
    lead = leads.by_unsubscribe_token(db.session, token)
    if lead is None:
        return _answer("signup/unsubscribe.html", "unknown", 404)
    return _answer("signup/unsubscribe.html", "ask", email=lead.email)


@bp.post("/unsubscribe/<token>")
def unsubscribe(token: str) -> Response:
    """Unsubscribe, or undo that. Mail programs post here themselves, without a cookie.

    https://www.rfc-editor.org/rfc/rfc8058
    """
    undo = request.form.get("action") == "undo"
    one_click = request.form.get("List-Unsubscribe") == "One-Click"
    proof = evidence("one-click" if one_click else "unsubscribe")
    writing(db.session)
    left_at = None if undo else now()
    announcements.record_unsubscribe(
        db.session, token, mailed_links.reference(request.args.get("mail", "")), left_at
    )
    act = leads.undo_unsubscribe if undo else leads.unsubscribe
    outcome = act(db.session, token, proof)
    db.session.commit()
    if outcome == "unknown":
        return _answer("signup/unsubscribe.html", "unknown", 404)
    return _answer("signup/unsubscribe.html", "undone" if undo else "done")


def _answer(template: str, state: str, status: int = 200, email: str = "") -> Response:
    page = render_template(template, state=state, email=email, noindex=True)
    # The address holds the token: it must not travel on as a Referer.
    headers = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}
    return make_response(page, status, headers)
