"""Leads at the desk: the list, one lead, the export."""

from flask import Response, abort, flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from crossroads import current
from crossroads.admin import access, download
from crossroads.admin.forms import LeadFilterForm
from crossroads.admin.list_view import ListView
from crossroads.leads import consent, listing, waiting_list
from crossroads.leads.consent import Evidence
from crossroads.leads.lifecycle import release as take_for_person
from crossroads.leads.listing import LEADS, LeadFilter
from crossroads.mail import suppressions
from models import db, writing

bp = access.blueprint("admin_leads", roles=access.LEAD_ROLES)


@bp.get("/leads")
def leads() -> str:
    lines = waiting_list.list_sizes(db.session, current.content())
    named = [(line.course, f"{line.name} ({line.waiting})") for line in lines]
    form = LeadFilterForm(*listing.choices(db.session), named)
    return render_template("admin/leads.html", list=ListView(LEADS, form, access.LEADS))


@bp.get("/leads/<int:lead_id>")
def lead(lead_id: int) -> str:
    found = LEADS.find(db.session, lead_id)
    if found is None:
        abort(404)
    return render_template(
        "admin/lead.html",
        lead=found,
        consents=consent.events_of(db.session, found.id),
        suppression=suppressions.find(db.session, found.address_hash),
        messages=listing.messages(db.session, found.id),
        waiting=[
            (
                ", ".join(waiting_list.describe_cohort(current.content(), one.course, one.cohort)),
                one,
            )
            for one in listing.waiting(db.session, found.id)
        ],
    )


@bp.post("/leads/<int:lead_id>/release")
def release(lead_id: int) -> AnyResponse:
    """Approve a held lead as a person: its requests continue."""
    if LEADS.find(db.session, lead_id) is None:
        abort(404)
    db.session.rollback()
    writing(db.session)
    released = take_for_person(db.session, lead_id, Evidence(form="desk"))
    if released is not None:
        waiting_list.send_confirmations(db.session, released)
        flash("A mail asks for the confirmation. Nothing else is sent before that.", "ok")
    db.session.commit()
    return redirect(url_for("admin_leads.lead", lead_id=lead_id), 303)


@bp.post("/leads/export")
def export_leads() -> Response:
    return download.send(listing.SHEET, LeadFilter.read(request.form))
