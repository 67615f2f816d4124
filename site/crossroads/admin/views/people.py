"""One person at the desk: show, export or erase all data about them.

For the owner alone: it is about mail and about money.
"""

import json

import structlog
from flask import Response, abort, flash, make_response, redirect, render_template, url_for
from werkzeug.wrappers import Response as AnyResponse

from crossroads import current
from crossroads.admin import access
from crossroads.leads.consent import Evidence
from crossroads.privacy import person
from crossroads.privacy.person import Person
from models import db, now, writing
from models.base import scrub
from models.user import Role

bp = access.blueprint("admin_people", roles=(Role.OWNER,))

log = structlog.get_logger()


@bp.get("/people/<address_hash>")
def show(address_hash: str) -> str:
    found = _find(address_hash)
    return render_template(
        "admin/person.html",
        person=found,
        ahead=person.upcoming_seats(found, current.content(), now().date()),
    )


@bp.post("/people/<address_hash>/data")
def data(address_hash: str) -> Response:
    text = json.dumps(person.data(db.session, _find(address_hash)), ensure_ascii=False, indent=2)
    answer = make_response(text + "\n", 200, {"Content-Type": "application/json"})
    answer.headers["Content-Disposition"] = f"attachment; filename=person-{now():%Y-%m-%d}.json"
    log.info("person's data handed out", user=access.signed_in().id)
    return answer


@bp.post("/people/<address_hash>/erase")
def erase(address_hash: str) -> AnyResponse:
    writing(db.session)
    found = _find(address_hash, lock=True)
    person.erase(db.session, found, Evidence(form="desk"))
    lead = found.lead.id if found.lead else None
    db.session.commit()
    scrub(db.engine)
    log.info("person erased", user=access.signed_in().id, lead=lead)
    flash("The person is erased. The address is not mailed again unless it signs up again.", "ok")
    return redirect(
        url_for("admin_leads.lead", lead_id=lead) if lead else url_for(access.ORDERS), 303
    )


def _find(address_hash: str, *, lock: bool = False) -> Person:
    found = person.find(db.session, address_hash, lock=lock)
    if found is None:
        abort(404)
    return found
