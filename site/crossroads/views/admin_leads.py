"""Leads at the desk: the list, one lead, the export."""

import tempfile
from typing import Any

import structlog
from flask import Response, abort, render_template, request, url_for
from werkzeug.wsgi import FileWrapper

from crossroads import desk, export, lead_list
from crossroads.admin_forms import ExportForm, LeadFilterForm, which
from models import db, now

bp = desk.blueprint("admin_leads", roles=desk.LEAD_ROLES)

IN_MEMORY = 1024 * 1024  # a larger export waits on disk until it is sent
FIELDS = {"q": "Search", "state": "State", "page": "Page", "campaign": "Campaign"}

log = structlog.get_logger()


@bp.get("/leads")
def leads() -> str:
    form = LeadFilterForm(*lead_list.choices(db.session))
    sort = request.args.get("sort", "")
    sort = sort if sort in lead_list.ORDERS else lead_list.NEWEST
    shown = lead_list.page(
        db.session,
        form.which,
        sort=sort,
        after=request.args.get("after", type=int),
        before=request.args.get("before", type=int),
    )
    active = form.which.active

    def link(**changes: Any) -> str:
        """Return the list's address with these changes, back at the first page."""
        values = {**active, "sort": None if sort == lead_list.NEWEST else sort, **changes}
        return url_for(desk.LEADS, **values)

    return render_template(
        "admin/leads.html",
        form=form,
        shown=shown,
        sort=sort,
        link=link,
        chips=[(FIELDS[name], value, link(**{name: None})) for name, value in active.items()],
        any_leads=bool(shown.total) or bool(lead_list.count(db.session, lead_list.LeadFilter())),
    )


@bp.get("/leads/<int:lead_id>")
def lead(lead_id: int) -> str:
    found = lead_list.find(db.session, lead_id)
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
    if not ExportForm().validate():
        abort(400)
    file = tempfile.SpooledTemporaryFile(max_size=IN_MEMORY)  # noqa: SIM115, closed when sent
    try:
        rows = export.write_csv(db.engine, which(request.form), file)
    except BaseException:
        file.close()
        raise
    size = file.tell()
    file.seek(0)
    log.info("leads exported", user=desk.signed_in().id, rows=rows, bytes=size)
    response = Response(FileWrapper(file, 65536), mimetype="text/csv", direct_passthrough=True)
    response.content_length = size  # so that half an export cannot pass for a whole one
    response.headers["Content-Disposition"] = f"attachment; filename=leads-{now():%Y-%m-%d}.csv"
    response.headers["Cache-Control"] = "no-store"
    return response
