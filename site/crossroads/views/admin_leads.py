"""Leads at the desk: the list, one lead, the export."""

from flask import Response, abort, render_template, request

from crossroads import desk, download, lead_list
from crossroads.admin_forms import LeadFilterForm
from crossroads.browse import Browse
from crossroads.lead_list import LEADS, LeadFilter
from models import db

bp = desk.blueprint("admin_leads", roles=desk.LEAD_ROLES)


@bp.get("/leads")
def leads() -> str:
    form = LeadFilterForm(*lead_list.choices(db.session))
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
    )


@bp.post("/leads/export")
def export_leads() -> Response:
    return download.csv(lead_list.SHEET, LeadFilter.read(request.form), "leads")
