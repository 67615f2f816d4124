"""The home page of the desk: new leads, sales, and problems to solve."""

from datetime import datetime

from flask import render_template

from crossroads import current, money
from crossroads.admin import access, dashboard
from crossroads.fulfillment import lateness
from crossroads.leads import waiting_list
from crossroads.orders import disputes, refunds, seats, sold_cohorts
from crossroads.orders.checkout import lost_checkouts
from crossroads.orders.sold_cohorts import Affected
from models import db, now

bp = access.blueprint("admin_home")


@bp.get("/")
def home() -> str:
    at = now()
    role = access.signed_in().role
    leads, orders = role in access.LEAD_ROLES, role in access.MONEY_ROLES
    contested = [case.dispute for case in disputes.open_cases(db.session)] if orders else []
    return render_template(
        "admin/home.html",
        figures=dashboard.figures(db.session, at),
        days=dashboard.days(db.session, at),
        newest=dashboard.newest(db.session) if leads else None,
        undelivered=dashboard.undelivered(db.session, leads=leads, orders=orders),
        sales=dashboard.sales(db.session, at) if orders else None,
        disputed=sum(not one.inquiry for one in contested),
        inquiries=sum(one.inquiry and one.wants_answer for one in contested),
        late=lateness.late(db.session, at),
        lost_payments=lost_checkouts.awaiting_staff(db.session) if orders else [],
        refunds_failed=refunds.failed(db.session) if orders else [],
        overbooked=seats.overbooked(db.session, current.content().courses, at) if orders else [],
        changed=_changed(at) if orders else [],
        stuck=dashboard.stuck(db.session) if orders else (0, []),
        waiting=waiting_list.list_sizes(db.session, current.content()) if leads else [],
        samples=current.content().samples,
        money=money.display,
    )


def _changed(at: datetime) -> list[Affected]:
    """Return the cohorts that are no longer as they were sold; too few seats are marked."""
    found = sold_cohorts.compare(db.session, current.content(), at.date())
    return [one for one in found if one.change != "fewer seats"]
