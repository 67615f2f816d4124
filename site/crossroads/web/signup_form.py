"""Sign-up forms: the state of the form on a page, and the handling of a posted one."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from urllib.parse import urlsplit

from flask import request

from crossroads import current
from crossroads.content import Course
from crossroads.database.group_commit import Store
from crossroads.leads import campaign_links, waiting_list
from crossroads.leads import lifecycle as leads
from crossroads.leads.campaign_links import TAGS
from crossroads.leads.consent import Evidence
from crossroads.leads.lifecycle import Submission, Touch
from crossroads.mail import addresses, domain_hints
from crossroads.metrics import SIGNUPS
from crossroads.middleware import rate_limits
from crossroads.middleware.security import host_of, refuse_cross_site, truncated_ip
from crossroads.orders.seats import CohortAvailability
from crossroads.web.forms import SignupForm, clean_tag
from models import Lead, personal_data

PAGE_LENGTH = 200
NO_STORE = "no-store"  # the answer to a form holds one person's input


@dataclass(frozen=True, kw_only=True)
class Signup:
    """What a page shows of its sign-up form: empty, error or done, and what was typed.

    `suggestion` is another address, when the one typed looks like a slip of it.
    """

    form: SignupForm
    state: str = "empty"
    email: str = ""
    resent: bool = False
    suggestion: str | None = None

    @property
    def status(self) -> int:
        """The HTTP status of a page in this state."""
        return 422 if self.state == "error" else 200

    def typed(self, email: str) -> list[tuple[str, str]]:
        """Return names and values of the fields that a visitor fills in, with this address."""
        form = {**self.form.data, "email": email}
        return [(name, form[name] or "") for name in personal_data.typed(Lead)]


@dataclass(frozen=True, kw_only=True)
class WaitingForm:
    """What a page shows of the form for the waiting list of one cohort."""

    place: CohortAvailability
    consent: str
    signup: Signup


def empty() -> Signup:
    """Return the empty form, the same for every visitor."""
    return Signup(form=SignupForm(formdata=None))


def waiting_form(
    course: Course, place: CohortAvailability, signup: Signup | None = None
) -> WaitingForm:
    """Return the form for a cohort's waiting list, empty when not given."""
    consent = waiting_list.wording(current.content(), course.slug, place.cohort.code)
    return WaitingForm(place=place, consent=consent, signup=signup or empty())


def empty_with_source() -> Signup:
    """Return a form that stands apart, with what the page before it knew: its path and its utm_*.

    The query of a page is not passed on by a plain link, but its address comes as the Referer
    when the page is one of ours.
    """
    form = SignupForm(formdata=None)
    form.carried = _known(_touch(apart=True))
    return Signup(form=form)


def receive(
    *,
    name: str = "signup",
    wording: str = "",
    store: Store = leads.capture,
    apart: bool = False,
) -> Signup:
    """Take the posted form, store what it asks for, and return what its page shows now.

    `store` writes what was asked for, and `wording` is what it takes to agree to it: to get our
    updates when not given. `name` is what the form is called in its evidence. A form that stands
    `apart`, at an address of its own, carries along where its reader came from.
    The page is rendered afterwards, since a transaction that has read can no longer begin to
    write. Raises CrossSite and TooMany.
    """
    settings = current.settings()
    refuse_cross_site(settings.base_url)
    wording = wording or current.content().site.signup.consent
    form = SignupForm(agreeing_to=wording)
    touch = _touch(apart=apart)
    if apart:
        form.carried = _known(touch)
    if form.action.data == "change":
        return Signup(form=form, email=form.email.data or "")
    counted = [(settings.signup_limit, "signup", rate_limits.client_network())]
    valid = form.validate()
    if valid:
        address = addresses.parse(form.email.data, settings.suppression_key)
        counted.append((settings.address_limit, "address", address.hash))
    rate_limits.count(*counted)
    if not valid:
        SIGNUPS.labels("refused").inc()
        return Signup(form=form, state="error", email=form.email.data or "")
    signup = Submission(
        address=address,
        name=form.name.data,
        touch=touch,
        wording=wording,
        evidence=evidence(name, page=touch.page or request.path),
        suspect=bool(form.website.data),
    )
    current.commit(store, signup)
    SIGNUPS.labels("taken").inc()
    return Signup(
        form=form,
        state="done",
        email=form.email.data,
        resent=form.action.data == "again",
        suggestion=domain_hints.suggest(form.email.data),
    )


def evidence(form: str, *, page: str | None = None) -> Evidence:
    """Return the evidence of consent in the current request."""
    agent = clean_tag(request.headers.get("User-Agent"))
    version = current.content().version(page) if page else None
    return Evidence(form=form, page=page, page_version=version, ip=truncated_ip(), user_agent=agent)


def _touch(*, apart: bool) -> Touch:
    path, before = _page_before()
    query = request.query_string.decode(errors="replace")
    places = (campaign_links.read(query), request.form, before)
    tags = {tag: _first(place.get(tag) for place in places) for tag in TAGS}
    if not apart:
        return Touch(page=request.path[:PAGE_LENGTH], **tags)
    form_page = clean_tag(request.form.get("page")) or clean_tag(path) or ""
    # A form can claim to come from anywhere, and what a page is called outlives the person.
    known = form_page.removesuffix("/enroll") in current.content().pages
    return Touch(page=form_page if known else None, **tags)


def _first(tags: Iterable[str | None]) -> str | None:
    """Return the first non-empty value."""
    return next((kept for tag in tags if tag and (kept := clean_tag(tag))), None)


def _known(touch: Touch) -> dict[str, str]:
    return {name: value for name, value in asdict(touch).items() if value}


def _page_before() -> tuple[str | None, dict[str, str]]:
    """Return path and query of the page that led here, if it was another one of ours."""
    host = host_of(request.referrer or "")
    if not host or host not in (request.host, host_of(current.settings().base_url)):
        return None, {}
    before = urlsplit(request.referrer or "")
    if before.path == request.path:
        return None, {}
    return before.path, campaign_links.read(before.query)
