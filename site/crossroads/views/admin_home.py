"""The desk's first page: how many signed up, who came last, what needs a hand."""

from flask import render_template

from crossroads import desk, overview
from crossroads.shelf import current_content
from models import db, now

bp = desk.blueprint("admin_home")


@bp.get("/")
def home() -> str:
    at = now()
    may_see_leads = desk.signed_in().role in desk.LEAD_ROLES
    return render_template(
        "admin/home.html",
        at=at,
        figures=overview.figures(db.session, at),
        days=overview.days(db.session, at),
        newest=overview.newest(db.session) if may_see_leads else None,
        undelivered=overview.undelivered(db.session) if may_see_leads else None,
        samples=current_content().samples,
    )
