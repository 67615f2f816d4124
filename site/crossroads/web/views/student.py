"""The student page, behind a mailed link."""

from flask import Blueprint, Response, abort, make_response, render_template
from werkzeug.utils import redirect
from werkzeug.wrappers import Response as AnyResponse

from crossroads import current
from crossroads.content import schedule
from crossroads.orders import enrollments
from models import Order, db, now

bp = Blueprint("student", __name__)
HEADERS = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}


@bp.get("/enrollments/<token>")
def page(token: str) -> Response:
    found = enrollments.find(db.session, token)
    if found is None:
        abort(404)
    course = current.content().course(found.course)
    cohort = course.cohort(found.cohort) if course else None
    meetings = schedule.meetings(cohort) if cohort else []
    receipt = enrollments.receipt(db.session, found)
    order = db.session.get_one(Order, found.order_id)
    text = render_template(
        "student/enrollment.html",
        enrollment=found,
        order=order,
        own=found.address_hash == order.address_hash,
        access=enrollments.has_access(db.session, found),
        receipt=receipt,
        paid_at=schedule.local(cohort, receipt.paid_at),
        course=course,
        cohort=cohort,
        first=next(iter(meetings), None),
        eve=schedule.day_before_start(cohort) if cohort else None,
        upcoming=schedule.upcoming(cohort, now()) if cohort else None,
        state=schedule.state(cohort, now()) if cohort else None,
        noindex=True,
    )
    return make_response(text, 200, HEADERS)


@bp.get("/enrollments/<token>/calendar.ics")
def calendar(token: str) -> AnyResponse:
    found = enrollments.find(db.session, token)
    course = current.content().course(found.course) if found else None
    cohort = course.cohort(found.cohort) if course and found else None
    if found is None or course is None or cohort is None:
        abort(404)
    if enrollments.has_access(db.session, found) != "given":
        # Their page says why there are no dates for them.
        answer = redirect(f"/enrollments/{token}", 303)
        answer.headers.update(HEADERS)
        return answer
    settings = current.settings()
    body = schedule.write(course, cohort, f"{settings.base_url}/enrollments/{token}")
    return make_response(
        body,
        200,
        {
            **HEADERS,
            "Content-Type": "text/calendar; charset=utf-8",
            "Content-Disposition": f'attachment; filename="{course.slug}-{cohort.code}.ics"',
        },
    )
