"""Announcements at the desk: write, preview, test, queue, pause and follow."""

import re
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import structlog
from flask import (
    Blueprint,
    abort,
    current_app,
    flash,
    make_response,
    redirect,
    render_template,
    request,
    url_for,
)
from sqlalchemy.exc import IntegrityError
from werkzeug.wrappers import Response

from crossroads import current
from crossroads.admin import access
from crossroads.admin.forms import AnnouncementForm
from crossroads.content import link_check
from crossroads.database.pagination import HIGHEST_ID
from crossroads.leads import listing, waiting_list
from crossroads.mail import outbox
from crossroads.middleware import security
from crossroads.notifications import announcements, contexts
from crossroads.notifications.contexts import Announced
from models import Announcement, Message, User, db, now, writing
from models.announcement import AnnouncementState

if TYPE_CHECKING:
    from email.message import EmailMessage

RATE = 60  # mails a minute, to begin with
RESUMED = "resumed"  # a form that is sent once more after a sign-in: shown, not saved
FORM_KEY = re.compile("[0-9a-f]{32}")
QUEUED = "It was queued: what people get is not changed on the way."
AS_NEW = "What you typed is below. Saved here, it becomes a new announcement."
MEANWHILE = (
    "Somebody saved this announcement after you opened it. Your text is in the form, and theirs is "
    "below it. Copy what you want to keep, then save: your text replaces theirs."
)
STALE = (
    "This page was open for too long, so nothing was saved. What you typed is below: save it again."
)
# The mail's own styles are shown, and nothing of it can act: no script, no form, no link.
PREVIEW_POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'self'; sandbox"

WRITTEN = ("admin_announcements.write", "admin_announcements.edit")
bp: Blueprint = access.blueprint("admin_announcements", roles=access.LEAD_ROLES, keeps=WRITTEN)

log = structlog.get_logger()


@bp.get("/announcements")
def index() -> str:
    found = announcements.newest(db.session)
    return render_template(
        "admin/announcements.html",
        announcements=[(one, announcements.progress(db.session, one)) for one in found],
    )


@bp.route("/announcements/new", methods=["GET", "POST"])
def write() -> Response:
    if request.method == "POST":
        writing(db.session)
    form = _form(None)
    if request.method == "GET":
        form.rate.data = RATE
        return _writing(form, None)
    if RESUMED in request.form or not form.validate():
        return _writing(form, None)
    key = FORM_KEY.fullmatch(form.form_key.data or "")
    before = announcements.saved_from(db.session, key[0] if key else "")
    if before is None:
        draft = announcements.draft(form.words(), key[0] if key else None)
        db.session.add(draft)
        try:
            db.session.commit()
            return _to(draft)
        except IntegrityError:  # the second click of a double click came first
            db.session.rollback()
            writing(db.session)
            before = announcements.saved_from(db.session, key[0] if key else "") or abort(503)
    if announcements.has_values(before, form.words()):
        return _to(before)
    return _conflict(form, before)


@bp.route("/announcements/<int:announcement_id>/edit", methods=["GET", "POST"])
def edit(announcement_id: int) -> Response:
    if request.method == "POST":
        writing(db.session)
    found = _found(announcement_id, lock=request.method == "POST")
    form = _form(found)
    if request.method == "GET":
        if found.state != AnnouncementState.DRAFT:
            flash(QUEUED, "err")
            return _to(found)
        return _writing(form, found)
    if RESUMED in request.form or not form.validate():
        return _writing(form, found)
    if announcements.has_values(found, form.words()):
        return _to(found)
    if (
        found.state != AnnouncementState.DRAFT
        or request.form.get("version", f"{found.version}") != f"{found.version}"
    ):
        return _conflict(form, found)
    announcements.change(found, form.words())
    db.session.commit()
    return _to(found)


@bp.errorhandler(access.StaleForm)
def stale(_error: access.StaleForm) -> Response:
    """Show a form whose token has expired again, with its values and a new token."""
    number = (request.view_args or {}).get("announcement_id", HIGHEST_ID)
    found = announcements.find(db.session, min(number, HIGHEST_ID))
    return _writing(_form(found), found, notice=STALE, status=400)


@bp.get("/announcements/<int:announcement_id>")
def announcement(announcement_id: int) -> Response:
    found = _found(announcement_id)
    plain = _trial(found).get_body(("plain",))
    page = render_template(
        "admin/announcement.html",
        announcement=found,
        progress=announcements.progress(db.session, found),
        receivers=announcements.count(db.session, found),
        place=_place(found),
        kind=outbox.announcement_kind(found),
        text=plain.get_content() if plain else "",
    )
    policy = security.POLICY + "; frame-src 'self'"
    return make_response(page, {"Content-Security-Policy": policy})


@bp.get("/announcements/<int:announcement_id>/preview")
def preview(announcement_id: int) -> Response:
    """Show the HTML part as mail programs get it, for the frame on the announcement's page."""
    html = _trial(_found(announcement_id)).get_body(("html",))
    page = html.get_content() if html else ""
    return make_response(page, {"Content-Security-Policy": PREVIEW_POLICY})


@bp.post("/announcements/<int:announcement_id>/trial")
def send_test(announcement_id: int) -> Response:
    writing(db.session)
    found = _found(announcement_id)
    staff = db.session.get_one(User, access.signed_in().id)
    outbox.announce_to_staff(db.session, found, staff)
    db.session.commit()
    flash(f"It is on the way to {staff.email}.", "ok")
    return _to(found)


@bp.route("/announcements/<int:announcement_id>/queue", methods=["GET", "POST"])
def queue(announcement_id: int) -> Response:
    """Ask with the true count, then queue."""
    if request.method == "GET":
        found = _found(announcement_id)
        if found.state != AnnouncementState.DRAFT:
            return _to(found)
        if _wrong_link(found):
            return redirect(url_for("admin_announcements.edit", announcement_id=found.id), 303)
        page = render_template(
            "admin/announcement_queue.html",
            announcement=found,
            receivers=announcements.count(db.session, found),
            place=_place(found),
        )
        return make_response(page)

    def begin(found: Announcement) -> None:
        if found.state == AnnouncementState.DRAFT and _wrong_link(
            found
        ):  # saved when links were not looked at
            return
        if announcements.queue(db.session, found, now()):
            log.info("announcement queued", user=access.signed_in().id, announcement=found.id)

    return _change(announcement_id, begin)


@bp.post("/announcements/<int:announcement_id>/pause")
def pause(announcement_id: int) -> Response:
    return _change(announcement_id, announcements.pause)


@bp.post("/announcements/<int:announcement_id>/resume")
def resume(announcement_id: int) -> Response:
    return _change(announcement_id, lambda found: announcements.resume(db.session, found, now()))


def _wrong_link(found: Announcement) -> bool:
    """Tell whether a link in it leads nowhere, and say which."""
    settings = current.settings()
    wrong = next(link_check.problems(found.body, settings.base_url, _own_paths()), "")
    if wrong:
        flash(f"Correct a link first. {wrong[:1].upper()}{wrong[1:]}", "err")
    return bool(wrong)


def _own_paths() -> frozenset[str]:
    return link_check.own_paths(current.content()) | current.store().addresses


def _change(announcement_id: int, verb: Callable[[Announcement], None]) -> Response:
    writing(db.session)
    found = _found(announcement_id, lock=True)
    verb(found)
    db.session.commit()
    return _to(found)


def _found(announcement_id: int, *, lock: bool = False) -> Announcement:
    if announcement_id > HIGHEST_ID:
        abort(404)
    return announcements.find(db.session, announcement_id, lock=lock) or abort(404)


def _to(found: Announcement) -> Response:
    return redirect(url_for("admin_announcements.announcement", announcement_id=found.id), 303)


def _form(found: Announcement | None) -> AnnouncementForm:
    lines = waiting_list.list_sizes(db.session, current.content())
    named = [(line.course, f"{line.name} ({line.waiting})") for line in lines]
    settings = current.settings()
    choices = listing.choices(db.session)
    return AnnouncementForm(found, *choices, named, settings.base_url, _own_paths())


def _writing(
    form: AnnouncementForm,
    found: Announcement | None,
    *,
    notice: str = "",
    status: int = 200,
    theirs: Announcement | None = None,
) -> Response:
    """Return the form. What was saved meanwhile, `theirs`, is shown below what was typed."""
    draft = found if found is not None and found.state == AnnouncementState.DRAFT else None
    if found is not None and draft is None:
        notice, theirs = notice or f"{QUEUED} {AS_NEW}", theirs or found
    if request.method == "GET":
        form.version.data = f"{found.version}" if found else ""
    if draft is None and not FORM_KEY.fullmatch(form.form_key.data or ""):
        form.form_key.data = secrets.token_hex(16)
    page = render_template(
        "admin/announcement_form.html",
        form=form,
        announcement=draft,
        notice=notice,
        theirs=theirs,
    )
    return make_response(page, 422 if form.errors else status)


def _conflict(form: AnnouncementForm, found: Announcement) -> Response:
    """Show what was typed and what was saved meanwhile. Saving once more takes what was typed."""
    if found.state == AnnouncementState.DRAFT:
        form.version.data = f"{found.version}"
        return _writing(form, found, notice=MEANWHILE, status=409, theirs=found)
    form.form_key.data = ""  # it becomes a new one
    return _writing(form, found, status=409)


def _place(found: Announcement) -> str:
    """Return the name of the waiting list, or nothing."""
    course, _, cohort = found.waiting.partition("/")
    return (
        ", ".join(waiting_list.describe_cohort(current.content(), course, cohort)) if course else ""
    )


def _trial(found: Announcement) -> "EmailMessage":
    """Return the mail as it is sent to a member of the staff."""
    from crossroads.mail.composer import (
        Composer,  # a tenth of the start, for a page seldom looked at
    )

    settings = current.settings()
    composer = Composer(settings, Path(current_app.root_path) / "templates")
    subject = Announced(announcement=found, lead=None)
    kind = outbox.announcement_kind(found)
    message = Message(address_hash="", kind=kind, recipient=access.signed_in().email)
    context = contexts.context(message, subject, current.content(), composer.base_url)
    return composer.compose(kind, message.recipient, message.reference, context | {"trial": False})
