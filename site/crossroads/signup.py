"""The answer to a sign-up form, whichever page it stands in."""

from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

from flask import Response, current_app, make_response, request
from werkzeug.datastructures import MultiDict

from crossroads import leads
from crossroads.consent import Evidence
from crossroads.forms import TAGS, SignupForm, clean_tag
from crossroads.guard import host_of, refuse_cross_site, truncated_ip
from crossroads.leads import Touch
from crossroads.limits import limiter
from crossroads.metrics import SIGNUPS
from crossroads.settings import Settings
from crossroads.shelf import current_content
from models import db, writing

PAGE_LENGTH = 200


@dataclass(frozen=True, kw_only=True)
class Signup:
    """What a page shows of its sign-up form: empty, error or done, and what was typed."""

    form: SignupForm
    state: str = "empty"
    email: str = ""
    resent: bool = False


def empty() -> Signup:
    """Return the form as a page arrives: the same for every visitor."""
    return Signup(form=SignupForm(formdata=None))


def empty_with_source(base_url: str) -> Signup:
    """Return the form carrying along what the page before it knew: its path and its utm_*.

    The query of a page is not passed on by a plain link to /signup, but its address comes as
    the Referer when the page is one of ours.
    """
    form = SignupForm(formdata=None)
    host = host_of(request.referrer or "")
    if host and host in (request.host, host_of(base_url)):
        referer = urlsplit(request.referrer or "")
        query = parse_qs(referer.query)
        form.carried = {tag: query[tag][0] for tag in TAGS if tag in query}
        form.carried["page"] = referer.path
    for tag in TAGS:
        if tag in request.args:
            form.carried[tag] = request.args[tag]
    return Signup(form=form)


def answer(render: Callable[[Signup], str]) -> Response:
    """Take the posted form and return the page in the state it is in now.

    `render` gives the page's HTML for a Signup. Raises CrossSite and RateLimitExceeded.
    """
    settings: Settings = current_app.extensions["crossroads.settings"]
    refuse_cross_site(settings.base_url)
    form = SignupForm()
    form.carried = {name: form[name].data for name in (*TAGS, "page") if form[name].data}
    if form.action.data == "change":
        return _page(render, Signup(form=form, email=form.email.data or ""), 200)
    with limiter.shared_limit(settings.signup_limit, scope="signup"):
        pass
    if not form.validate():
        SIGNUPS.labels("refused").inc()
        return _page(render, Signup(form=form, state="error", email=form.email.data or ""), 422)
    writing(db.session)
    leads.capture(
        db.session,
        email=form.email.data,
        name=form.name.data,
        touch=_touch(form, request.args),
        wording=current_content().site.signup.consent,
        evidence=evidence("signup", page=_page_of(form)),
        suspect=bool(form.website.data),
    )
    db.session.commit()
    SIGNUPS.labels("taken").inc()
    done = Signup(
        form=form, state="done", email=form.email.data, resent=form.action.data == "again"
    )
    return _page(render, done, 200)


def evidence(form: str, *, page: str | None = None) -> Evidence:
    """Return what the request at hand proves of an act of consent."""
    agent = clean_tag(request.headers.get("User-Agent"))
    return Evidence(form=form, page=page, ip=truncated_ip(), user_agent=agent)


def _page(render: Callable[[Signup], str], signup: Signup, status: int) -> Response:
    return make_response(render(signup), status, {"Cache-Control": "no-store"})


def _page_of(form: SignupForm) -> str | None:
    if request.path != "/signup":
        return request.path[:PAGE_LENGTH]
    return clean_tag(form.page.data)


def _touch(form: SignupForm, query: MultiDict[str, str]) -> Touch:
    tags = {tag: clean_tag(query.get(tag)) or clean_tag(form[tag].data) for tag in TAGS}
    return Touch(page=_page_of(form), **tags)
