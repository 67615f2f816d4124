"""Enrollments at the desk: participants of each seat, and the export."""

from flask import Response, render_template, request

from crossroads import current
from crossroads.admin import access, download
from crossroads.admin.forms import EnrollmentFilterForm
from crossroads.admin.list_view import ListView
from crossroads.orders import enrollment_listing, listing, seats
from crossroads.orders.enrollment_listing import ENROLLMENTS, EnrollmentFilter
from models import db

bp = access.blueprint("admin_enrollments", roles=access.MONEY_ROLES)


@bp.get("/enrollments")
def enrollments() -> str:
    content = current.content()
    courses = listing.courses(db.session, content)
    form = EnrollmentFilterForm(courses)
    listed = ListView(ENROLLMENTS, form, access.ENROLLMENTS)
    slug, _, code = form.which.course.partition("/")
    course = content.course(slug)
    cohort = course.cohort(code) if course else None
    return render_template(
        "admin/enrollments.html",
        list=listed,
        buyers=enrollment_listing.buyers(db.session, listed.shown.rows),
        cohorts=dict(courses),
        cohort=cohort,
        left=seats.seats_left(db.session, course, cohort) if course and cohort else 0,
    )


@bp.post("/enrollments/export")
def export_enrollments() -> Response:
    return download.send(enrollment_listing.SHEET, EnrollmentFilter.read(request.form))
