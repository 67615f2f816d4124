"""The waiting list of a full cohort: its form, and the page behind the mailed link."""

from functools import partial

from flask import Blueprint, Response, abort, make_response, render_template, request

from crossroads import current
from crossroads.leads import waiting_list
from crossroads.orders import seats
from crossroads.web import signup_form
from crossroads.web.signup_form import NO_STORE, evidence
from models import Lead, Waiting, db, now, writing

bp = Blueprint("waiting_list", __name__)


@bp.route("/courses/<slug>/waiting-list", methods=["GET", "POST"])
def join(slug: str) -> Response:
    """Show and take the form for the waiting list of the cohort that ?cohort= names."""
    content = current.content()
    course = content.course(slug)
    cohort = course.cohort(request.args.get("cohort", "")) if course else None
    if course is None or cohort is None:
        abort(404)

    headers = {}
    if seats.started(cohort, now()):
        signup, status = signup_form.empty(), 404
    elif request.method == "GET":
        signup, status = signup_form.empty_with_source(), 200
    else:
        signup = signup_form.receive(
            name="waiting-list",
            wording=waiting_list.wording(content, course.slug, cohort.code),
            store=partial(waiting_list.join, course=course, cohort=cohort),
            apart=True,
        )
        status, headers = signup.status, {"Cache-Control": NO_STORE}
    place = seats.availability(db.session, course, cohort, now())
    page = render_template(
        "waiting_list/join.html",
        course=course,
        to_wait=signup_form.waiting_form(course, place, signup),
        noindex=True,
    )
    return make_response(page, status, headers)


@bp.get("/waiting-list/<token>")
def ask_to_confirm(token: str) -> Response:
    found = waiting_list.find(db.session, token)
    if found is None:
        return _answer("unknown", 404)
    expired = waiting_list.link_expired(found[0], now())
    return _answer("expired", 410, found) if expired else _answer("ask", 200, found)


@bp.post("/waiting-list/<token>")
def confirm(token: str) -> Response:
    writing(db.session)
    if request.form.get("action") == "renew":
        outcome = waiting_list.renew_link(db.session, token)
        state = {"expired": "sent"}.get(outcome, outcome)
        status = 404 if outcome == "unknown" else 200
    else:
        outcome = state = waiting_list.confirm(db.session, token, evidence("confirm"))
        status = {"done": 200, "expired": 410, "unknown": 404}[outcome]
    db.session.commit()
    return _answer(state, status, waiting_list.find(db.session, token))


def _answer(state: str, status: int, found: tuple[Waiting, Lead] | None = None) -> Response:
    course, cohort = (found[0].course, found[0].cohort) if found else ("", "")
    title, dates = waiting_list.describe_cohort(current.content(), course, cohort)
    page = render_template(
        "waiting_list/confirm.html",
        state=state,
        email=found[1].email if found else "",
        course=course,
        title=title,
        dates=dates,
        noindex=True,
    )
    # The address holds the token: it must not travel on as a Referer.
    headers = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}
    return make_response(page, status, headers)
