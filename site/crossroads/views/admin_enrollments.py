"""Enrollments at the desk: who sits where, and the export."""

from flask import Response, render_template, request

from crossroads import desk, download, enrollment_list, order_list, seats
from crossroads.admin_forms import EnrollmentFilterForm
from crossroads.browse import Browse
from crossroads.enrollment_list import ENROLLMENTS, EnrollmentFilter
from crossroads.shelf import current_content
from models import db

bp = desk.blueprint("admin_enrollments", roles=desk.MONEY_ROLES)


@bp.get("/enrollments")
def enrollments() -> str:
    content = current_content()
    courses = order_list.courses(db.session, content)
    form = EnrollmentFilterForm(courses)
    listed = Browse(ENROLLMENTS, form, desk.ENROLLMENTS)
    slug, _, code = form.which.course.partition("/")
    course = content.course(slug)
    cohort = course.cohort(code) if course else None
    return render_template(
        "admin/enrollments.html",
        list=listed,
        buyers=enrollment_list.buyers(db.session, listed.shown.rows),
        cohorts=dict(courses),
        cohort=cohort,
        left=seats.left(db.session, course, cohort) if course and cohort else 0,
    )


@bp.post("/enrollments/export")
def export_enrollments() -> Response:
    return download.send(enrollment_list.SHEET, EnrollmentFilter.read(request.form))
