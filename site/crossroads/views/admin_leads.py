"""Leads at the desk: the list, one lead, the export."""

from flask import Response, abort, render_template, request

from crossroads import desk, download, lead_list, waiting_list
from crossroads.admin_forms import LeadFilterForm
from crossroads.browse import Browse
from crossroads.lead_list import LEADS, LeadFilter
from crossroads.shelf import current_content
from models import db

bp = desk.blueprint("admin_leads", roles=desk.LEAD_ROLES)


@bp.get("/leads")
def leads() -> str:
    lines = waiting_list.lines(db.session, current_content())
    named = [(line.course, f"{line.name} ({line.waiting})") for line in lines]
    form = LeadFilterForm(*lead_list.choices(db.session), named)
    return render_template("admin/leads.html", list=Browse(LEADS, form, desk.LEADS))


@bp.get("/leads/<int:lead_id>")
def lead(lead_id: int) -> str:
    found = LEADS.find(db.session, lead_id)
    if found is None:
        abort(404)
    return render_template(
        "admin/lead.html",
        lead=found,
        consents=lead_list.consents(db.session, found.id),
        messages=lead_list.messages(db.session, found.id),
        waiting=[
            (", ".join(waiting_list.named(current_content(), one.course, one.cohort)), one)
            for one in lead_list.waiting(db.session, found.id)
        ],
    )


@bp.post("/leads/export")
def export_leads() -> Response:
    return download.csv(lead_list.SHEET, LeadFilter.read(request.form), "leads")
