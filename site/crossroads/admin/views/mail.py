"""The outbox at the desk: queued and sent mail, and resending."""

from typing import Any

import structlog
from flask import abort, flash, redirect, render_template, request, url_for
from sqlalchemy import ColumnElement
from werkzeug.wrappers import Response

from crossroads.admin import access
from crossroads.admin.forms import MailFilterForm
from crossroads.admin.list_view import ListView
from crossroads.database.pagination import HIGHEST_ID
from crossroads.mail import outbox
from crossroads.mail.listing import MAILS, LeadMailFilter, MailFilter
from models import Message, db, writing

bp = access.blueprint("admin_mail", roles=access.LEAD_ROLES)

log = structlog.get_logger()


@bp.get("/mail")
def mails() -> str:
    form = MailFilterForm(_shown().read(request.args))
    dead = form.which.dead()
    return render_template(
        "admin/mails.html",
        list=ListView(MAILS, form, access.MAIL),
        dead=MAILS.count(db.session, dead) if dead else 0,
    )


@bp.post("/mail/again")
def send_all_again() -> Response:
    """Resend every mail in the filter that was given up."""
    dead = _shown().read(request.form).dead()
    return _send_again(dead.conditions() if dead else [Message.id.is_(None)])


@bp.post("/mail/<int:message_id>/again")
def send_again(message_id: int) -> Response:
    if message_id > HIGHEST_ID:
        abort(404)
    return _send_again([*_shown()().conditions(), Message.id == message_id])


def _send_again(which: list[ColumnElement[bool]]) -> Response:
    writing(db.session)
    count = outbox.send_again(db.session, *which)
    db.session.commit()
    log.info("mails sent again", user=access.signed_in().id, count=count)
    if count:
        flash(f"{count} {'email is' if count == 1 else 'emails are'} queued again.", "ok")
    else:
        flash("No undelivered email was left, so nothing was queued again.", "info")
    back: dict[str, Any] = {**_shown().read(request.form).active}
    return redirect(url_for(access.MAIL, **back), 303)


def _shown() -> type[MailFilter]:
    """Return the filter for the account: only roles that see orders see mail to buyers."""
    return MailFilter if access.signed_in().role in access.MONEY_ROLES else LeadMailFilter
