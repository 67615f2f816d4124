"""Enrollments at the desk: who sits where, and the export."""

from flask import Response, render_template, request

from crossroads import current
from crossroads.admin import access as desk
from crossroads.admin import download
from crossroads.admin.forms import EnrollmentFilterForm
from crossroads.admin.list_view import Browse
from crossroads.orders import enrollment_listing as enrollment_list
from crossroads.orders import listing as order_list
from crossroads.orders import seats
from crossroads.orders.enrollment_listing import ENROLLMENTS, EnrollmentFilter
from models import db

bp = desk.blueprint("admin_enrollments", roles=desk.MONEY_ROLES)


@bp.get("/enrollments")
def enrollments() -> str:
    content = current.content()
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
